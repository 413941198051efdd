/** A limiter's way of requests, made of its options. */
import type { Closing } from "../core/closing.js";
import { InvalidOptionError } from "../core/errors.js";
import { identifyBy } from "../core/identity.js";
import { withoutText } from "../core/shown.js";
import type { Events } from "../events/events.js";
import { addHooks } from "../events/hooks.js";
import type { Store } from "../stores/store.js";
import { blockLengthUs } from "./administer.js";
import { LimiterCounts } from "./counts.js";
import { failurePolicy } from "./on-failure.js";
import type { CheckedLimiterOptions } from "./options.js";
import { Overrides } from "./overrides.js";
import { Pipeline } from "./pipeline.js";
import { PolicyResolver } from "./policy-resolver.js";
import { DenyCache } from "./shortcuts/deny-cache.js";
import { checkPrefetch } from "./shortcuts/prefetch.js";

/** What a limiter has already. */
export interface Parts {
  readonly store: Store;
  readonly events: Events;
  readonly closing: Closing;
  /** The way of requests through a limiter that decides instead of the store. */
  readonly pipelineOf: (limiter: unknown) => Pipeline | undefined;
}

/** @throws InvalidOptionError */
export function assembled(
  options: CheckedLimiterOptions,
  { store, events, closing, pipelineOf }: Parts,
): Pipeline {
  const { namespace, enforce, blockFor, denyCache, prefetch, timeout: timeoutMs } = options;
  const { onStoreFailure = "local" } = options;
  const onFailure = failurePolicy(onStoreFailure, pipelineOf);
  const denials = denyCache === false ? undefined : new DenyCache(denyCache, onFailure.isLocal);
  if (prefetch !== undefined && blockFor !== undefined) {
    const allowed =
      "no blockFor together with prefetch: prefetched units would be spent during the block";
    throw new InvalidOptionError("prefetch", withoutText(prefetch), allowed);
  }
  const counts = new LimiterCounts();
  const identify = identifyBy(options.identity, store.external);
  const overrides = overridesOf(options, { store, events }, timeoutMs);
  return new Pipeline({
    closing,
    store,
    name: namespace,
    identify,
    timeoutMs,
    onFailure,
    breaker: options.breaker,
    blockForUs: blockFor === undefined ? 0 : blockLengthUs("blockFor", blockFor),
    enforce,
    events: withHooks(events, options.hooks),
    counts,
    // Checked, but not used if the store answers as fast as a cache.
    denials: store.external ? denials : undefined,
    prefetch: prefetch === undefined ? undefined : checkPrefetch(prefetch),
    // Last, for it claims the names in the store: nothing after it may throw.
    resolver: new PolicyResolver({
      store,
      namespace,
      policy: options.policy,
      policyCache: options.policyCache,
      timeoutMs,
      replaces: options.replace,
      events,
      counts,
      closing,
      identify,
      overrides,
    }),
  });
}

/** Undefined if the limiter has none. */
function overridesOf(
  { overrides: isShared, namespace }: CheckedLimiterOptions,
  { store, events }: Pick<Parts, "store" | "events">,
  timeoutMs: number,
): Overrides | undefined {
  if (store.external && !isShared) return undefined;
  if (isShared && store.overrides === undefined) {
    const allowed = "false: the store keeps no overrides for other processes";
    throw new InvalidOptionError("overrides", isShared, allowed);
  }
  const own = isShared ? store.overrides : undefined;
  return new Overrides({ store: own, clock: store.clock, limiter: namespace, events, timeoutMs });
}

function withHooks(events: Events, hooks: unknown): Events {
  addHooks(events, hooks);
  return events;
}

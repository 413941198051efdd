/** What a gate knows of a limiter or semaphore that requests are charged to; found out once for each. */
import type { Policy } from "../algorithms/registry.js";
import { InvalidOptionError } from "../core/errors.js";
import { refusesBraces } from "../core/identity.js";
import { withoutText } from "../core/shown.js";
import { type Quota, quotaNamed } from "../headers/stated-limit.js";
import type { Pipeline } from "../limiter/pipeline.js";
import { votersOf } from "../limiter/bound-policies.js";
import { policiesIn } from "../limiter/policies-in.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import { quotaOfSemaphore } from "../semaphore/semaphore-class.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { isSyncStore, type SyncStore } from "../stores/store.js";

export interface ChargedLimiter {
  readonly kind: "limiter";
  readonly limiter: RateLimiter;
  readonly pipeline: Pipeline;
  /** The store, if it answers at once. */
  readonly sync: SyncStore | undefined;
  /** Whether ids are the keys themselves, which then may not hold everything. */
  readonly isPlain: boolean;
  /** Those that fields state: not of a shadow, nor of a function, which are known with each decision only. */
  readonly names: readonly string[];
  /** The policies of every key; undefined if a function chooses them. */
  readonly policies: readonly Policy[] | undefined;
}

export interface ChargedSemaphore {
  readonly kind: "semaphore";
  readonly semaphore: Semaphore;
  readonly isPlain: boolean;
  readonly names: readonly string[];
  readonly quota: Quota;
}

/** A set of rules, of which a request is charged those that it meets. */
export interface ChargedRules {
  readonly kind: "rules";
  readonly meet: NonNullable<ReturnType<typeof meetOf>>;
}

export type Chargeable = ChargedLimiter | ChargedSemaphore | ChargedRules;

/** What a request can be charged to. */
export type Limit = RateLimiter | Semaphore | PolicySet;

const ALLOWED = "a RateLimiter, a Semaphore or a PolicySet";

const known = new WeakMap<object, Chargeable>();

/** undefined for what is neither a limiter, nor a semaphore, nor a set of rules. */
export function chargeableOf(value: unknown): Chargeable | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  let chargeable = known.get(value);
  if (chargeable === undefined) {
    chargeable = limiterOf(value) ?? semaphoreOf(value) ?? rulesOf(value);
    if (chargeable !== undefined) known.set(value, chargeable);
  }
  return chargeable;
}

/**
 * Checks that the value is a limiter, a semaphore or a set of rules.
 *
 * @throws InvalidOptionError
 */
export function checkChargeable(option: string, value: unknown): Chargeable {
  const chargeable = chargeableOf(value);
  if (chargeable !== undefined) return chargeable;
  throw new InvalidOptionError(option, withoutText(value), ALLOWED);
}

function limiterOf(value: object): ChargedLimiter | undefined {
  const pipeline = pipelineOf(value);
  if (pipeline === undefined) return undefined;
  const { store } = pipeline;
  // Asked each time: a limiter's policies may change.
  const policies = (): readonly Policy[] | undefined =>
    pipeline.resolver.fixed === undefined
      ? undefined
      : policiesIn(votersOf(pipeline.resolver.fixed));
  return {
    kind: "limiter",
    limiter: value as RateLimiter,
    pipeline,
    get sync() {
      const isDirect =
        pipeline.resolver.fixed !== undefined && pipeline.shortcuts.prefetch === undefined;
      return isDirect && isSyncStore(store) ? store : undefined;
    },
    isPlain: refusesBraces(pipeline.identify),
    get names() {
      return pipeline.enforce ? (policies() ?? []).filter(hasLimit).map(({ name }) => name) : [];
    },
    get policies() {
      return policies();
    },
  };
}

function rulesOf(value: object): ChargedRules | undefined {
  const meet = meetOf(value);
  return meet === undefined ? undefined : { kind: "rules", meet };
}

function hasLimit({ algorithm }: Policy): boolean {
  return algorithm !== "unlimited";
}

function semaphoreOf(value: object): ChargedSemaphore | undefined {
  const about = quotaOfSemaphore(value);
  if (about === undefined) return undefined;
  return {
    kind: "semaphore",
    semaphore: value as Semaphore,
    isPlain: refusesBraces(about.identify),
    names: [about.name],
    quota: quotaNamed(about.name, about.limit, "concurrent-requests"),
  };
}

/** Options of a limiter and of its calls, and their checks. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkName, type SlotOption } from "../core/key.js";
import {
  unchecked,
  byDefault,
  checkBoolean,
  type OptionReader,
  optional,
  optionReader,
  aText,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { nearest } from "../core/slips.js";
import { checkSignal } from "../core/abort.js";
import type { Store } from "../stores/store.js";
import { type BreakerOptions, checkBreaker } from "../resilience/breaker.js";
import { checkTimeout } from "../resilience/deadlines.js";
import type { DenyCacheOptions } from "./shortcuts/deny-cache.js";
import type { Events } from "../events/events.js";
import type { Hooks } from "../events/hooks.js";
import type { Identity } from "../core/identity.js";
import type { PrefetchOptions } from "./shortcuts/prefetch.js";
import type { PolicyCacheOptions } from "./policy-cache.js";
import type { PolicyOption } from "./policy-resolver.js";
import { isSource } from "./request.js";

/** Options of `RateLimiter`. */
export interface RateLimiterOptions<S extends Store = Store> {
  /**
   * One policy; several, decided together, all or nothing, in one round trip; or a function of the key, which may promise
   * them. Left out if each call brings its own.
   */
  readonly policy?: PolicyOption | undefined;
  /** How long policies that were promised are kept by key; default `{ maxAge: "10s", maxKeys: 10_000 }`. */
  readonly policyCache?: PolicyCacheOptions | undefined;
  /**
   * true: replaces limiters of the store that use the same names with other options, after a hot reload for instance.
   * Default false: they are shared only with the same options.
   */
  readonly replace?: boolean | undefined;
  /** Default: a new MemoryStore of this limiter's own. */
  readonly store?: S | undefined;
  /** First part of every store key: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "sluice". */
  readonly namespace?: string | undefined;
  /** How keys become ids in the store; default "sha256" if that is outside the process. */
  readonly identity?: Identity | undefined;
  /** The limiter's own deadline for a store call, 1 ms to 1 h; default 250 ms. */
  readonly timeout?: Duration | undefined;
  /** What to answer when the store fails; default "local". */
  readonly onStoreFailure?: OnStoreFailure | undefined;
  /**
   * When to stop asking a store outside the process that fails; default: after 5 failures in a row, with
   * one call a second to find out. false = every call asks, and waits for its own deadline.
   */
  readonly breaker?: false | BreakerOptions | undefined;
  /**
   * After a denial, this process refuses as much without the store until the wait is over, for at most `maxAge`. On by
   * default if the store is outside the process; unused if it is inside. Such decisions have the source "deny-cache".
   * false: every call asks the store, as it must if the store has its own clock, since the time of a denial is measured on
   * this process's monotonic clock.
   *
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RedisStore } from "sluice/redis";
   * const store = await RedisStore.connect("redis://localhost:6379");
   * const limiter = new RateLimiter({
   *   policy: tokenBucket({ limit: 1, period: "1h" }),
   *   store,
   *   denyCache: { maxAge: "500ms", maxKeys: 50_000 },
   * });
   * await limiter.consume("user:43");
   * console.log((await limiter.consume("user:43")).source); // store
   * console.log((await limiter.consume("user:43")).source); // deny-cache
   * await store.close();
   */
  readonly denyCache?: false | DenyCacheOptions | undefined;
  /**
   * For few, hot keys: takes `size` units of a key in one call and spends them in this process, with the source "prefetch".
   * Any window admits at most its bound plus `size` for each such limiter. Unused units go back after `ttl` and on `close`.
   * Only `consume` of whole units without a `policy` option; not with `blockFor`.
   *
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({
   *   policy: tokenBucket({ limit: 1000, period: "1h" }),
   *   prefetch: { size: 50, ttl: "1s" },
   * });
   * const decision = await limiter.consume("tenant:7");
   * console.log(decision.source, decision.remaining); // prefetch 999
   * await limiter.close();
   */
  readonly prefetch?: PrefetchOptions | undefined;
  /** A denial for lack of quota also blocks the key that long: 1 ms to 100 years, or Infinity. Default: no block. */
  readonly blockFor?: Duration | undefined;
  /** false = shadow mode: decide, count and report, but always allow. Default true. */
  readonly enforce?: boolean | undefined;
  /**
   * true: reads the limiter's overrides from the store, once a second, and may set them; for a store outside the process.
   * Overrides of a store inside are this process's own, and need no option. Default false.
   */
  readonly overrides?: boolean | undefined;
  /** Called for decisions and outages. Default: none. */
  readonly hooks?: Hooks | undefined;
}

/** Given options are checked at their use, because some mean nothing without others. */
export const LIMITER_OPTIONS = optionReader<RateLimiterOptions>()({
  ...unchecked(
    "policy",
    "policyCache",
    "store",
    "identity",
    "onStoreFailure",
    "denyCache",
    "prefetch",
    "blockFor",
    "hooks",
  ),
  replace: byDefault(false, checkBoolean),
  namespace: byDefault("sluice", checkName),
  timeout: checkTimeout,
  breaker: checkBreaker,
  enforce: byDefault(true, checkBoolean),
  overrides: byDefault(false, checkBoolean),
});

export type CheckedLimiterOptions = ReturnType<typeof LIMITER_OPTIONS.read>;

/**
 * "local": the same policies decide in this process's own memory until the store is back. Over every interval the store
 * admits at most its bound, and each process without it that bound once more, however many outages there are. "open" admits
 * unmetered, "closed" denies, "throw" rejects, and a fallback limiter decides instead. Prefer "closed" if a block must
 * hold, or if processes are many and short-lived.
 */
export type OnStoreFailure =
  | "local"
  | "open"
  | "closed"
  | "throw"
  | { /** The limiter that decides while the store fails. */ readonly fallback: FallbackLimiter };

/** A RateLimiter on any store. Other objects of this shape are refused: the fallback gets the request itself. */
export interface FallbackLimiter {
  /** The fallback's own store. */
  readonly store: Store;
  /** What happens in it. */
  readonly events: Events;
  /** As `RateLimiter`'s own. */
  consume(key: string, options?: AsyncCallOptions): Promise<Decision>;
}

/** Options of calls that ask for quota. */
export interface CallOptions extends SlotOption {
  /** Units: 0 to 1e9 in whole thousandths; default 1. 0 asks and never counts. */
  readonly cost?: number | undefined;
  /** Options of this call instead of the limiter's; matched by name if there are several. */
  readonly policy?: Policy | readonly Policy[] | undefined;
  /**
   * true: what the call really cost is settled later. Then its denial starts no block of `blockFor`, since calls under
   * way may still give back. Default false.
   */
  readonly settle?: boolean | undefined;
}

/** Options of verbs that ask a store: those of `CallOptions`, and a signal. */
export interface AsyncCallOptions extends CallOptions {
  /** Rejects with its reason; the call may have been counted if it was already under way. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `setPolicy`. */
export interface ChangeOptions {
  /** Who makes the change, for those who listen; any text. */
  readonly by?: string | undefined;
}

const CHANGE_OPTIONS = optionReader<ChangeOptions>()({
  by: optional(aText("text that names who makes the change")),
});

/** Who makes the change. @throws InvalidOptionError */
export function checkChange(options: ChangeOptions): string | undefined {
  return CHANGE_OPTIONS.read(options).by;
}

/** Options of `block`. */
export interface BlockOptions extends SlotOption {
  /** A block that lasts longer stays as it is; default false: it is replaced. */
  readonly keepLonger?: boolean | undefined;
  /** true: what the key has in use is forgotten too, and it starts afresh when the block ends; default false. */
  readonly reset?: boolean | undefined;
}

/** Options of `refund`. */
export interface RefundOptions extends SlotOption {
  /**
   * The decision by which the units were taken. They go back only to what took them, by its `source`: the store, this
   * process, or the fallback. Nothing comes back of a decision that took nothing, such as a denial, or one with the source
   * "fail-open". Default: they go back to what decides calls now.
   */
  readonly of?: Decision | undefined;
}

/** @throws InvalidOptionError */
export function checkTaken(of: unknown): Decision | undefined {
  if (of === undefined) return undefined;
  const { source } = (typeof of === "object" && of !== null ? of : {}) as Partial<Decision>;
  if (isSource(source)) return of as Decision;
  throw new InvalidOptionError("of", withoutText(of), "a decision that consume returned");
}

/** No options: recognised by identity, so that the usual call checks nothing. */
export const NO_OPTIONS: AsyncCallOptions = Object.freeze({});

/** The pipeline checks what they are. */
export const CALL_OPTIONS = optionReader<Omit<AsyncCallOptions, "settle">>()({
  ...unchecked("cost", "policy", "slot"),
  signal: checkSignal,
});

/** Refuses unknown names among a call's options, and what is no signal. */
export function checkCall<T extends { readonly signal?: AbortSignal | undefined }>(
  options: T,
  reader: Pick<OptionReader<T, unknown>, "known">,
): void {
  if (options === NO_OPTIONS) return;
  const { signal } = reader.known(options);
  if (signal !== undefined) checkSignal("signal", signal);
}

/** What consumeUpTo answers: how many whole units were granted. */
export type Grant = Decision & {
  /** Whole units that were granted, 0 to `cost`. */ readonly granted: number;
};

/** One call of `consumeMany`. */
export interface KeyedRequest extends SlotOption {
  /** Who is limited: any text but "". */
  readonly key: string;
  /** Units; default 1. */
  readonly cost?: number | undefined;
}

const FALLBACK = optionReader<Exclude<OnStoreFailure, string>>()(unchecked("fallback"));
const CHOICES = ["local", "open", "closed", "throw"] as const;

/** `isLimiter` knows the class, which imports this file. */
export function checkFailurePolicy(
  value: unknown,
  isLimiter: (fallback: unknown) => boolean,
): OnStoreFailure {
  const choice = CHOICES.find((each) => each === value);
  if (choice !== undefined) return choice;
  if (typeof value === "object" && value !== null) {
    const { fallback } = FALLBACK.known(value, "onStoreFailure");
    if (isLimiter(fallback)) return { fallback };
    throw new InvalidOptionError("onStoreFailure.fallback", withoutText(fallback), "a RateLimiter");
  }
  const near = typeof value === "string" ? nearest(value, CHOICES) : undefined;
  throw new InvalidOptionError(
    "onStoreFailure",
    withoutText(value),
    '"local", "open", "closed", "throw" or { fallback: a RateLimiter }',
    near === undefined ? {} : { hint: `did you mean "${near}"?` },
  );
}

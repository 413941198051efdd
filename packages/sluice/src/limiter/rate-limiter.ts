/** The limiter as users meet it: what it can do, and the class that does it. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import type { SlotOption } from "../core/key.js";
import type { Override } from "../events/changes.js";
import type { Events } from "../events/events.js";
import type { MemoryStore } from "../stores/memory/memory-store.js";
import type { StoreOf } from "../stores/store-of.js";
import type { Store, SyncStore } from "../stores/store.js";
import type { Refund, Settlement } from "./give-back.js";
import { LimiterClass } from "./limiter-class.js";
import type {
  AsyncCallOptions,
  BlockOptions,
  CallOptions,
  ChangeOptions,
  Grant,
  KeyedRequest,
  RateLimiterOptions,
  RefundOptions,
} from "./options.js";
import type { OverrideOptions } from "./override-options.js";
import type { ListedOverride } from "./overrides.js";
import type { PolicyOption } from "./policy-resolver.js";
import type { LimiterStats } from "./stats.js";
import type { Start } from "./waiting/acquire.js";
import type { Reservation, WaitOptions } from "./waiting/reserve.js";
import type { WrapOptions } from "./waiting/wrap.js";

/**
 * A limiter on a store of type `S`. A key is any well-formed text of 1 to 4,096 bytes of UTF-8; units are 0 to 1e9 in
 * whole thousandths. Every verb throws, or rejects with, an InvalidOptionError for what can never work, and a
 * ClosedError once the limiter or its store is closed.
 *
 * Verbs that decide answer by `onStoreFailure` if the store fails; with "throw" they reject with a StoreUnavailableError or
 * a StoreTimeoutError.
 */
export interface RateLimiter<S extends Store = Store> extends AsyncDisposable {
  /** The store that was passed in, or the limiter's own. */
  readonly store: S;
  /** What happens in this limiter, for listeners; hooks are listeners too. */
  readonly events: Events;
  /** Fires when the limiter, or its store, is closed; its reason is a ClosedError. */
  readonly closed: AbortSignal;

  /**
   * Takes `cost` units if every policy has them, else takes nothing and says when to come back.
   *
   * @throws InvalidOptionError, ClosedError; PolicyUnavailableError if promised policies do not come; the signal's reason;
   * with `onStoreFailure: "throw"` StoreUnavailableError, StoreTimeoutError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * console.log((await limiter.consume("user:42", { cost: 8 })).remaining); // 2
   * const { allowed, reason, retryAfterMs } = await limiter.consume("user:42", { cost: 5 });
   * console.log(allowed, reason, retryAfterMs); // false quota 1080000
   */
  consume(key: string, options?: AsyncCallOptions): Promise<Decision>;

  /**
   * `consume` without a promise: for stores inside the process.
   *
   * @throws InvalidOptionError, also if the store is outside the process or policies are promised; ClosedError
   * @example
   * import { fixedWindow, RateLimiter } from "sluice";
   * const limiter = new RateLimiter({ policy: fixedWindow({ limit: 1, window: "1h" }) });
   * console.log(limiter.consumeSync("k").allowed, limiter.consumeSync("k").allowed); // true false
   */
  consumeSync(this: RateLimiter<SyncStore>, key: string, options?: CallOptions): Decision;

  /**
   * Takes as many whole units as every policy has, up to `cost`, a whole number of at least 1; denied when that is none.
   *
   * @throws as `consume`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * console.log((await limiter.consumeUpTo("k", { cost: 25 })).granted); // 10
   */
  consumeUpTo(key: string, options: AsyncCallOptions & { readonly cost: number }): Promise<Grant>;

  /**
   * Any number of independent calls, in order: side by side, in batches, each with its own deadline.
   *
   * @throws as `consume`; then some of the calls may have been counted
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1h" }) });
   * const decisions = await limiter.consumeMany([{ key: "a" }, { key: "b", cost: 3 }]);
   * console.log(decisions.map(({ allowed }) => allowed)); // [ true, false ]
   */
  consumeMany(
    requests: readonly KeyedRequest[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<Decision[]>;

  /**
   * What `consume` would say, without counting; always asks the store.
   *
   * @throws as `consume`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * console.log((await limiter.peek("k", { cost: 11 })).reason); // too-costly
   * console.log((await limiter.peek("k")).remaining); // 10
   */
  peek(key: string, options?: AsyncCallOptions): Promise<Decision>;

  /**
   * Gives `amount` units back: never above full, and never what callers in line were promised. Answers as a peek at
   * cost 0 right after would, and with `refunded`: how many units came back.
   *
   * @throws as `consume`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * const decision = await limiter.consume("k", { cost: 4 });
   * console.log((await limiter.refund("k", 3, { of: decision })).refunded); // 3
   * console.log((await limiter.refund("k", 3)).refunded < 1.1); // true
   */
  refund(key: string, amount: number, options?: RefundOptions): Promise<Refund>;

  /**
   * Settles what was taken beforehand against what was used, in one call: refunds the rest, or penalizes what is missing.
   * Answers as `refund`. If that leaves nothing, it starts the block of `blockFor`.
   *
   * @throws as `consume`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const tokens = new RateLimiter({ policy: tokenBucket({ limit: 10_000, period: "1h" }) });
   * const start = await tokens.acquire("model", { cost: 2000 });
   * const settled = await tokens.settle("model", { reserved: 2000, actual: 500, of: start });
   * console.log(settled.refunded); // 1500
   */
  settle(key: string, settlement: Settlement): Promise<Refund>;

  /**
   * Takes `amount` units whatever is left, into debt if need be. Answers as a peek at cost 0 right after would.
   *
   * @throws as `consume`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.penalize("k", 15);
   * console.log((await limiter.consume("k")).retryAfterMs); // 2160000
   */
  penalize(key: string, amount: number, options?: SlotOption): Promise<Decision>;

  /**
   * Takes `cost` units for the first moment at which they fit, in one call to the store: first come, first
   * served over all processes. Wait `delayMs` before you start, or `cancel()`. Policies that cannot promise a
   * start ahead (windows, buckets shared with other sets) answer for now. See docs/waiting.md.
   *
   * @throws as `consume`
   * @example
   * import { gcra, RateLimiter } from "sluice";
   * const limiter = new RateLimiter({ policy: gcra({ limit: 60, period: "1h" }) });
   * await limiter.consume("k");
   * const reservation = await limiter.reserve("k", { maxWait: "5m" });
   * if (reservation.allowed) {
   *   console.log(reservation.delayMs); // 60000
   *   console.log(await reservation.cancel()); // true
   * }
   */
  reserve(key: string, options?: WaitOptions): Promise<Reservation>;

  /**
   * `reserve`, then wait: resolves when the work may start. If no start can be promised ahead, it asks again.
   *
   * @throws MaxWaitExceededError, QueueFullError at once; the signal's reason, after giving back; else as `consume`
   * @example
   * import { MaxWaitExceededError, RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
   * const start = await limiter.acquire("k");
   * console.log(start.readyAtUs === start.decidedAtUs); // true
   * const late = await limiter.acquire("k", { maxWait: "1s" }).catch((error: unknown) => error);
   * console.log(late instanceof MaxWaitExceededError && late.retryAfterMs); // 3600000
   */
  acquire(key: string, options?: WaitOptions): Promise<Start>;

  /**
   * `fn` behind `acquire`: every call waits its turn.
   *
   * @throws InvalidOptionError; the function that is returned rejects with what `acquire` and `fn` throw
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1s" }) });
   * const load = limiter.wrap(async (id: number) => `page ${id}`, { key: "pages", maxWait: "5s" });
   * console.log(await load(7)); // page 7
   */
  wrap<A extends unknown[], R>(
    fn: (...args: A) => R,
    options: WrapOptions<A>,
  ): (...args: A) => Promise<Awaited<R>>;

  /**
   * Denies the key for `duration`, 1 ms to 100 years, from now on the store's clock, instead of any block it has, unless
   * `keepLonger` is set and that one lasts longer; Infinity: until `unblock` or `reset`. With `reset` what is in use is
   * forgotten.
   *
   * @throws InvalidOptionError, ClosedError; StoreUnavailableError, StoreTimeoutError if the store fails
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.block("203.0.113.7", "1h");
   * const { reason, retryAfterMs } = await limiter.consume("203.0.113.7");
   * console.log(reason, retryAfterMs); // blocked 3600000
   */
  block(key: string, duration: Duration, options?: BlockOptions): Promise<void>;

  /**
   * Lifts a block; what is in use stays.
   *
   * @throws as `block`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.block("k", Infinity);
   * await limiter.unblock("k");
   * console.log((await limiter.consume("k")).remaining); // 9
   */
  unblock(key: string, options?: SlotOption): Promise<void>;

  /**
   * Forgets the key: full quota, no block.
   *
   * @throws as `block`
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.consume("k", { cost: 10 });
   * await limiter.reset("k");
   * console.log((await limiter.peek("k")).remaining); // 10
   */
  reset(key: string, options?: SlotOption): Promise<void>;

  /**
   * What decides on the key now, in order; promised if a function promised it and it is not known yet. Empty if each call
   * brings its policies.
   *
   * @throws InvalidOptionError, ClosedError, PolicyUnavailableError, or rejects with them
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const policy = (key: string) => tokenBucket({ limit: key === "pro" ? 100 : 10, period: "1h" });
   * const limiter = new RateLimiter({ policy });
   * console.log((await limiter.policies("pro")).map((each) => JSON.stringify(each)).join().includes("100")); // true
   */
  policies(key: string): readonly Policy[] | Promise<readonly Policy[]>;

  /**
   * Decides by `policy` from now on: calls under way are decided by what was before. Units in use stay; see
   * docs/live-limits.md. If anything is wrong with it, nothing changes. Only this process knows of it.
   *
   * @throws InvalidOptionError, also if another limiter of the store uses a name of its with other options; ClosedError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.consume("k", { cost: 8 });
   * limiter.setPolicy(tokenBucket({ limit: 20, period: "1h" }), { by: "ana" });
   * console.log((await limiter.consume("k")).remaining); // 11
   */
  setPolicy(policy: PolicyOption, options?: ChangeOptions): void;

  /**
   * What holds for the key, until `until` or until undefined removes it: a policy instead of the one with its name, or of
   * the only one; "deny"; or "exempt", which charges nothing. Other processes know of it in a second; see
   * docs/live-limits.md.
   *
   * @throws InvalidOptionError, also above 10,000 overrides; ClosedError; StoreUnavailableError, StoreTimeoutError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.override("acme", tokenBucket({ limit: 500, period: "1h" }), { comment: "ticket 12" });
   * await limiter.override("evil", "deny", { until: Date.now() + 3_600_000 });
   * console.log((await limiter.consume("acme")).limit, (await limiter.consume("evil")).reason); // 500 blocked
   * console.log((await limiter.overrides()).map(({ comment }) => comment)); // [ 'ticket 12', undefined ]
   */
  override(key: string, to: Override | undefined, options?: OverrideOptions): Promise<void>;

  /**
   * All overrides that hold now, by the ids of their keys; read again from a store outside the process.
   *
   * @throws ClosedError; StoreUnavailableError, StoreTimeoutError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.override("acme", "exempt", { by: "ana" });
   * console.log((await limiter.overrides()).map(({ override, by }) => `${override} ${by}`)); // [ 'exempt ana' ]
   */
  overrides(): Promise<readonly ListedOverride[]>;

  /**
   * What this limiter has decided since it was made, in numbers; see docs/watch.md. No call to the store.
   *
   * @throws nothing, also when it is closed
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
   * await limiter.consume("k");
   * await limiter.consume("k");
   * const { allowed, denied, withoutStore } = limiter.stats();
   * console.log(allowed, denied, withoutStore); // 1 1 0
   */
  stats(): LimiterStats;

  /**
   * Ends all waits with a ClosedError; later calls reject with one. Calls under way are answered by the store or reject,
   * never by `onStoreFailure`. Resolves when what the waits and a prefetch had taken was given back. Closes the store too
   * if the limiter made it; one that was passed in stays open. `await using limiter = …` calls it at the end of a block.
   *
   * @throws nothing for a second call: it gets the promise of the first
   * @example
   * import { ClosedError, RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.close();
   * console.log((await limiter.consume("k").catch((error: unknown) => error)) instanceof ClosedError); // true
   */
  close(): Promise<void>;
}

/** How a limiter is made: its store shows in its type, which is MemoryStore if there is none. */
export interface RateLimiterConstructor {
  new <S extends Store = MemoryStore>(
    options: RateLimiterOptions<S> & { readonly store?: S },
  ): RateLimiter<NoInfer<S>>;
  // Of a store that may be undefined. The second parameter keeps this from classes that extend RateLimiter<S>.
  new <S extends Store | undefined, _>(
    options: RateLimiterOptions & { readonly store?: S },
  ): RateLimiter<StoreOf<NoInfer<S>>>;
}

// A class declaration has one default for its type parameter: `RateLimiter` alone would mean one in memory, and a
// function that takes any limiter would refuse one on Redis. So the type and the class are declared apart.
/**
 * Limits calls by key. Denials are values; only misuse and, with `onStoreFailure: "throw"`, store failures throw.
 *
 * @throws InvalidOptionError
 * @example
 * import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
 * const limiter = new RateLimiter({
 *   policy: [
 *     tokenBucket({ name: "burst", limit: 10, period: "1s" }),
 *     fixedWindow({ name: "daily", limit: 1000, window: "1d" }),
 *   ],
 * });
 * const decision = await limiter.consume("user:42", { cost: 2 });
 * console.log(decision.allowed, decision.policy, decision.remaining); // true burst 8
 */
export const RateLimiter: RateLimiterConstructor = LimiterClass;

/** The limiter as users meet it: one method a verb, over the engine that they share. */
import { VERBS } from "../algorithms/decide.js";
import { MAX_UNITS, toThousandths } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import { CENTURY_US, type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkName } from "../core/key.js";
import { checkBoolean, checkList, checkOptions } from "../core/options.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { isSyncStore, type Store, type SyncStore } from "../stores/store.js";
import { acquire, type Start } from "./waiting/acquire.js";
import { checkBreaker } from "../resilience/breaker.js";
import { DenyCache } from "./shortcuts/deny-cache.js";
import { Engine } from "./engine.js";
import { HookRunner } from "../events/hooks.js";
import { identifyBy } from "../core/identity.js";
import { checkPrefetch } from "./shortcuts/prefetch.js";
import {
  type AsyncCallOptions,
  type BlockOptions,
  type CallOptions,
  checkCall,
  checkFailurePolicy,
  checkStore,
  type Grant,
  type KeyedRequest,
  LIMITER_OPTIONS,
  NO_OPTIONS,
  type RateLimiterOptions,
} from "./options.js";
import { attempt, type Reservation, waitOf, type WaitOptions } from "./waiting/reserve.js";
import { PolicyResolver } from "./policy-resolver.js";
import { type WrapOptions, wrapWith } from "./waiting/wrap.js";

const DEFAULT_TIMEOUT = 250;
const MAX_TIMEOUT_US = 3600e6;

const SYNC_CALL_OPTIONS = ["cost", "policy"];

const engines = new WeakMap<object, Engine>();

/** The engine of a limiter, for calls over several; undefined if `limiter` is none. */
export function engineOf(limiter: unknown): Engine | undefined {
  return typeof limiter === "object" && limiter !== null ? engines.get(limiter) : undefined;
}

function isLimiter(value: unknown): value is RateLimiter {
  return engineOf(value) !== undefined;
}

class Limiter<S extends Store = Store> {
  readonly store: S;
  readonly #sync: SyncStore | undefined;
  /** The store of consumes that nothing comes before. */
  readonly #direct: SyncStore | undefined;
  readonly #ownsStore: boolean;
  readonly #engine: Engine;

  constructor(options: RateLimiterOptions<S>) {
    checkOptions("options", options, LIMITER_OPTIONS);
    const { store = new MemoryStore(), namespace = "sluice", enforce = true } = options;
    const { blockFor, timeout = DEFAULT_TIMEOUT, onStoreFailure = "open" } = options;
    const { denyCache, prefetch } = options;
    const denials = denyCache === false ? undefined : new DenyCache(denyCache);
    if (prefetch !== undefined && blockFor !== undefined) {
      const allowed =
        "no blockFor beside prefetch: prefetched units would be spent during the block";
      throw new InvalidOptionError("prefetch", prefetch, allowed);
    }
    this.store = checkStore(store) as S;
    this.#sync = isSyncStore(this.store) ? this.store : undefined;
    this.#direct = prefetch === undefined ? this.#sync : undefined;
    this.#ownsStore = options.store === undefined;
    checkName("namespace", namespace);
    this.#engine = new Engine({
      store: this.store,
      identify: identifyBy(options.identity, this.store.external),
      timeoutMs: toMicroseconds("timeout", timeout, MIN_PERIOD_US, MAX_TIMEOUT_US) / 1e3,
      onStoreFailure: checkFailurePolicy(onStoreFailure, isLimiter),
      breaker: checkBreaker(options.breaker),
      blockForUs:
        blockFor === undefined
          ? 0
          : toMicroseconds("blockFor", blockFor, MIN_PERIOD_US, CENTURY_US),
      enforce: checkBoolean("enforce", enforce),
      hooks: new HookRunner(options.hooks),
      // Checked, but of no use where the store is asked as fast as a cache.
      denials: this.store.external ? denials : undefined,
      prefetch: prefetch === undefined ? undefined : checkPrefetch(prefetch),
      // Last, for it claims the names in the store: nothing after it may throw.
      plan: new PolicyResolver(this.store, namespace, options.policy),
    });
    engines.set(this, this.#engine);
  }

  /** Takes `cost` units if every policy has them, else takes nothing and says when to come back. */
  consume(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    // Not async: the engine's promise is the caller's, and one around it costs more than the rest of this method.
    try {
      checkCall(options);
      if (this.#direct === undefined) {
        return this.#engine.consume(key, options, (to) => to.consume(key, unpoliced(options)));
      }
      options.signal?.throwIfAborted();
      return Promise.resolve(this.#engine.consumeSync(this.#direct, key, options));
    } catch (error) {
      return rejected(error as Error);
    }
  }

  /** `consume` without a promise: for stores inside the process. */
  consumeSync(
    this: RateLimiter<SyncStore>,
    key: string,
    options: CallOptions = NO_OPTIONS,
  ): Decision {
    if (options !== NO_OPTIONS) checkCall(options, SYNC_CALL_OPTIONS);
    const limiter = this as unknown as Limiter;
    const store = limiter.#sync;
    if (store !== undefined) return limiter.#engine.consumeSync(store, key, options);
    const allowed = "a store inside the process for consumeSync";
    throw new InvalidOptionError("store", "an asynchronous store", allowed);
  }

  /** Takes as many whole units as every policy has, up to `cost`; denied when that is none. */
  async consumeUpTo(
    key: string,
    options: AsyncCallOptions & { readonly cost: number },
  ): Promise<Grant> {
    checkCall(options);
    if (!Number.isInteger(options.cost) || options.cost < 1) {
      throw new InvalidOptionError(
        "cost",
        options.cost,
        `a whole number of units from 1 to ${MAX_UNITS}`,
      );
    }
    const prepared = this.#engine.prepare(VERBS.consumeUpTo, key, options, 0);
    const { cost, signal } = options;
    return this.#engine.decide(
      prepared,
      (to) => to.consumeUpTo(key, { cost }),
      signal,
    ) as Promise<Grant>;
  }

  /** Many independent calls side by side, in one go to the store. */
  async consumeMany(
    requests: readonly KeyedRequest[],
    options: { readonly signal?: AbortSignal } = NO_OPTIONS,
  ): Promise<Decision[]> {
    checkCall(options, ["signal"]);
    checkList("requests", requests);
    const prepared = requests.map((request, i) => {
      checkOptions(`requests[${i}]`, request, ["key", "cost"]);
      return this.#engine.prepare(VERBS.consume, request.key, request, this.#engine.blockForUs);
    });
    return Promise.all(
      prepared.map(async (each) => {
        const { key, cost } = each;
        return this.#engine.consumePrepared(
          each,
          (to) => to.consume(key, { cost }),
          options.signal,
        );
      }),
    );
  }

  /** What consume would say, without counting; always asks the store. */
  async peek(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    checkCall(options);
    const prepared = this.#engine.prepare(VERBS.peek, key, options, 0);
    return this.#engine.decide(prepared, (to) => to.peek(key, unpoliced(options)), options.signal);
  }

  /** Gives `amount` units back, never above full. Answers as a peek at cost 0 right after would. */
  async refund(key: string, amount: number): Promise<Decision> {
    toThousandths("amount", amount);
    const prepared = this.#engine.prepare(VERBS.refund, key, { cost: amount }, 0);
    return this.#engine.decide(prepared, (to) => to.refund(key, amount));
  }

  /** Takes `amount` units whatever is left, into debt if need be. Answers as a peek at cost 0 right after would. */
  async penalize(key: string, amount: number): Promise<Decision> {
    toThousandths("amount", amount);
    const prepared = this.#engine.prepare(VERBS.penalize, key, { cost: amount }, 0);
    return this.#engine.decide(prepared, (to) => to.penalize(key, amount));
  }

  /**
   * Takes `cost` units for the first moment at which they fit, in one call to the store: first come, first
   * served over all processes. Wait `delayMs` before you start, or `cancel()`. Policies that cannot promise a
   * start ahead (windows, refill "interval", buckets shared with other sets) answer for now. See docs/waiting.md.
   */
  async reserve(key: string, options: WaitOptions = NO_OPTIONS): Promise<Reservation> {
    return (await attempt(this.#engine, waitOf(key, options))).reservation;
  }

  /**
   * `reserve`, then wait: resolves when the work may start. Where no start can be promised ahead, it asks again.
   * @throws MaxWaitExceededError, QueueFullError at once; the signal's reason, after giving back
   */
  async acquire(key: string, options: WaitOptions = NO_OPTIONS): Promise<Start> {
    return acquire(this.#engine, waitOf(key, options));
  }

  /** `fn` behind `acquire`: every call waits its turn. */
  wrap<A extends unknown[], R>(
    fn: (...args: A) => R,
    options: WrapOptions<A>,
  ): (...args: A) => Promise<Awaited<R>> {
    return wrapWith(this, fn, options);
  }

  /**
   * Denies the key for `duration` from now on the store's clock, in place of any block it has, unless `keepLonger` is
   * set and that one lasts longer. Throws if the store fails.
   */
  async block(key: string, duration: Duration, options: BlockOptions = {}): Promise<void> {
    const us = toMicroseconds("duration", duration, MIN_PERIOD_US, CENTURY_US);
    checkOptions("options", options, ["keepLonger"]);
    const keepsLonger = checkBoolean("keepLonger", options.keepLonger ?? false);
    await this.#engine.administer(keepsLonger ? VERBS.extendBlock : VERBS.block, key, us);
  }

  /** Lifts a block. Throws if the store fails. */
  async unblock(key: string): Promise<void> {
    await this.#engine.administer(VERBS.unblock, key, 0);
  }

  /** Forgets the key: full quota, no block. Throws if the store fails. */
  async reset(key: string): Promise<void> {
    await this.#engine.administer(VERBS.reset, key, 0);
  }

  /** Gives unused units of prefetch back and ends what the limiter itself opened; a store that was passed in stays open. */
  async close(): Promise<void> {
    await this.#engine.close();
    if (this.#ownsStore) await this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function rejected(reason: Error): Promise<never> {
  return Promise.reject(reason);
}

/** A call's options for another limiter, whose policies are its own. */
function unpoliced({ cost, signal }: AsyncCallOptions): AsyncCallOptions {
  return { ...(cost !== undefined && { cost }), ...(signal !== undefined && { signal }) };
}

interface RateLimiterConstructor {
  new (options: RateLimiterOptions & { readonly store?: undefined }): RateLimiter<MemoryStore>;
  new <S extends Store>(options: RateLimiterOptions<S> & { readonly store: S }): RateLimiter<S>;
  new (options: RateLimiterOptions): RateLimiter;
  readonly prototype: RateLimiter;
}

/** A limiter on a store of type `S`. */
export type RateLimiter<S extends Store = Store> = Limiter<S>;

/**
 * Limits calls by key. Denials are values; only misuse and, if so told, store failures throw.
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
export const RateLimiter: RateLimiterConstructor = Limiter;

/** The limiter as users meet it: each method checks its arguments and sends a request through the pipeline. */
import { type Verb, VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { MAX_UNITS, toThousandths } from "../core/amount.js";
import { Closing } from "../core/closing.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkKey, type SlotOption } from "../core/key.js";
import { checkBoolean, checkList, checkOptions } from "../core/options.js";
import { InWords } from "../core/shown.js";
import type { Override } from "../events/changes.js";
import { Events } from "../events/events.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { checkStore, isSyncStore, type Store, type SyncStore } from "../stores/store.js";
import { administer, blockLengthUs } from "./administer.js";
import { assembled } from "./assembly.js";
import {
  type AsyncCallOptions,
  type BlockOptions,
  type CallOptions,
  type ChangeOptions,
  checkCall,
  checkChange,
  type Grant,
  type KeyedRequest,
  LIMITER_OPTIONS,
  NO_OPTIONS,
  type RateLimiterOptions,
  type RefundOptions,
} from "./options.js";
import { runMany } from "./many.js";
import {
  asRefund,
  blockIfUsedUp,
  type Refund,
  refundRequest,
  type Settlement,
  settleRequest,
} from "./give-back.js";
import type { OverrideOptions } from "./override-options.js";
import type { ListedOverride } from "./overrides.js";
import type { Pipeline } from "./pipeline.js";
import type { PolicyOption } from "./policy-resolver.js";
import { gaveUp } from "./report.js";
import { listOverrides, setOverride } from "./set-override.js";
import { type LimiterStats, limiterStats } from "./stats.js";
import { acquire, type Start } from "./waiting/acquire.js";
import {
  type Reservation,
  reserveOnce,
  type WaitOptions,
  reserveRequest,
} from "./waiting/reserve.js";
import { type WrapOptions, wrapWith } from "./waiting/wrap.js";

const SYNC_CALL_OPTIONS = ["cost", "policy", "settle", "slot"];
const CONSUME_OPTIONS = [...SYNC_CALL_OPTIONS, "signal"];
const SLOT_OPTIONS = ["slot"];

let pipelineIn: (limiter: object) => Pipeline | undefined;

/** The way of requests through a limiter, for calls over several; undefined if `limiter` is none. */
export function pipelineOf(limiter: unknown): Pipeline | undefined {
  return typeof limiter === "object" && limiter !== null ? pipelineIn(limiter) : undefined;
}

class Limiter<S extends Store = Store> implements AsyncDisposable {
  static readonly name = "RateLimiter";

  static {
    pipelineIn = (limiter) => (#pipeline in limiter ? limiter.#pipeline : undefined);
  }

  readonly store: S;
  /** What happens in this limiter, for whoever listens; hooks are listeners too. */
  readonly events: Events;
  readonly #sync: SyncStore | undefined;
  /** The store of consumes that nothing comes before; another with each change of policy. */
  #direct: SyncStore | undefined;
  readonly #ownsStore: boolean;
  readonly #pipeline: Pipeline;
  readonly #closing: Closing;
  /** Fires when the limiter, or its store, is closed; its reason is a ClosedError. */
  readonly closed: AbortSignal;

  /** @throws InvalidOptionError */
  constructor(options: RateLimiterOptions<S>) {
    checkOptions("options", options, LIMITER_OPTIONS);
    const { store = new MemoryStore() } = options;
    this.store = checkStore(store) as S;
    this.#sync = isSyncStore(this.store) ? this.store : undefined;
    this.#ownsStore = options.store === undefined;
    this.events = new Events();
    this.#closing = new Closing("limiter", this.store.closed);
    this.closed = this.#closing.signal;
    const { events } = this;
    const closing = this.#closing;
    this.#pipeline = assembled(options, { store: this.store, events, closing, pipelineOf });
    this.#direct = this.#directStore();
  }

  /** Takes `cost` units if every policy has them, else takes nothing and says when to come back. */
  consume(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    // Not async: the pipeline's promise is the caller's, and one around it costs more than the rest of this method.
    try {
      if (options !== NO_OPTIONS) checkCall(options, CONSUME_OPTIONS);
      const { signal, settle } = options;
      if (settle !== undefined) checkBoolean("settle", settle);
      if (this.#direct === undefined) {
        const { cost = 1, policy, slot } = options;
        return this.#pipeline.run({ verb: VERBS.consume, key, slot, cost, policy, signal, settle });
      }
      if (signal?.aborted === true) {
        const { cost = 1, slot } = options;
        checkKey(key);
        throw gaveUp(this.#pipeline, { verb: VERBS.consume, key, slot, cost, signal });
      }
      return Promise.resolve(this.#pipeline.consumeSync(this.#direct, key, options));
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
    if (options.settle !== undefined) checkBoolean("settle", options.settle);
    const store = this.#sync;
    if (store !== undefined) return this.#pipeline.consumeSync(store, key, options);
    const allowed = "a store inside the process for consumeSync";
    throw new InvalidOptionError("store", new InWords("an asynchronous store"), allowed);
  }

  /** Takes as many whole units as every policy has, up to `cost`; denied when that is none. */
  async consumeUpTo(
    key: string,
    options: AsyncCallOptions & { readonly cost: number },
  ): Promise<Grant> {
    checkCall(options);
    const { cost, policy, signal, slot } = options;
    if (!Number.isInteger(cost) || cost < 1) {
      const allowed = `a whole number of units from 1 to ${MAX_UNITS}`;
      throw new InvalidOptionError("cost", cost, allowed);
    }
    const request = { verb: VERBS.consumeUpTo, key, slot, cost, policy, signal };
    return this.#pipeline.run(request) as Promise<Grant>;
  }

  /** Any number of independent calls, in order: side by side, in batches, each with its own deadline. */
  async consumeMany(
    requests: readonly KeyedRequest[],
    options: { readonly signal?: AbortSignal | undefined } = NO_OPTIONS,
  ): Promise<Decision[]> {
    checkCall(options, ["signal"]);
    checkList("requests", requests);
    const { signal } = options;
    const asked = requests.map((request, i) => {
      checkOptions(`requests[${i}]`, request, ["key", "cost", "slot"]);
      const { key, cost = 1, slot } = request;
      return { verb: VERBS.consume, key, slot, cost, signal };
    });
    return runMany(this.#pipeline, asked);
  }

  /** What consume would say, without counting; always asks the store. */
  async peek(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    checkCall(options);
    const { cost = 1, policy, signal, slot } = options;
    return this.#pipeline.run({ verb: VERBS.peek, key, slot, cost, policy, signal });
  }

  /**
   * Gives `amount` units back: never above full, and never what callers in line were promised. Answers as a peek at
   * cost 0 right after would, and with `refunded`: how many units came back.
   *
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * const decision = await limiter.consume("k", { cost: 4 });
   * console.log((await limiter.refund("k", 3, { of: decision })).refunded); // 3
   * console.log((await limiter.refund("k", 3)).refunded < 1.1); // true
   */
  async refund(key: string, amount: number, options: RefundOptions = {}): Promise<Refund> {
    return asRefund(await this.#pipeline.run(refundRequest(key, amount, options)));
  }

  /**
   * Settles what was taken beforehand against what was used, in one call: refunds the rest, or penalizes what is
   * missing. Answers as `refund`. Where that leaves nothing, it starts the block of `blockFor`.
   *
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const tokens = new RateLimiter({ policy: tokenBucket({ limit: 10_000, period: "1h" }) });
   * const start = await tokens.acquire("model", { cost: 2000 });
   * const settled = await tokens.settle("model", { reserved: 2000, actual: 500, of: start });
   * console.log(settled.refunded); // 1500
   */
  async settle(key: string, settlement: Settlement): Promise<Refund> {
    const answer = await this.#pipeline.run(settleRequest(key, settlement));
    await blockIfUsedUp(this.#pipeline, key, settlement, answer);
    return asRefund(answer);
  }

  /** Takes `amount` units whatever is left, into debt if need be. Answers as a peek at cost 0 right after would. */
  async penalize(key: string, amount: number, options: SlotOption = NO_OPTIONS): Promise<Decision> {
    const { slot } = checkOptions("options", options, SLOT_OPTIONS) as SlotOption;
    toThousandths("amount", amount);
    return this.#pipeline.run({ verb: VERBS.penalize, key, slot, cost: amount });
  }

  /**
   * Takes `cost` units for the first moment at which they fit, in one call to the store: first come, first
   * served over all processes. Wait `delayMs` before you start, or `cancel()`. Policies that cannot promise a
   * start ahead (windows, buckets shared with other sets) answer for now. See docs/waiting.md.
   */
  async reserve(key: string, options: WaitOptions = NO_OPTIONS): Promise<Reservation> {
    const request = reserveRequest(key, options);
    const { reservation } = await this.#closing.during(request.signal, (signal) =>
      reserveOnce(this.#pipeline, { ...request, signal }),
    );
    return reservation;
  }

  /**
   * `reserve`, then wait: resolves when the work may start. Where no start can be promised ahead, it asks again.
   * @throws MaxWaitExceededError, QueueFullError at once; the signal's reason, after giving back
   */
  async acquire(key: string, options: WaitOptions = NO_OPTIONS): Promise<Start> {
    const request = reserveRequest(key, options);
    return this.#closing.during(request.signal, (signal) =>
      acquire(this.#pipeline, { ...request, signal }),
    );
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
   * set and that one lasts longer; Infinity: until `unblock` or `reset`. With `reset` what is in use is forgotten.
   * Throws if the store fails.
   */
  async block(key: string, duration: Duration, options: BlockOptions = {}): Promise<void> {
    const blockUs = blockLengthUs("duration", duration);
    checkOptions("options", options, ["keepLonger", "reset", "slot"]);
    const { keepLonger = false, reset = false, slot } = options;
    const keepsLonger = checkBoolean("keepLonger", keepLonger);
    const [plain, keeping] = checkBoolean("reset", reset)
      ? [VERBS.clearBlock, VERBS.clearExtendBlock]
      : [VERBS.block, VERBS.extendBlock];
    const verb = keepsLonger ? keeping : plain;
    await administer(this.#pipeline, { verb, key, slot, cost: 0, blockUs });
  }

  /** Lifts a block. Throws if the store fails. */
  async unblock(key: string, options: SlotOption = NO_OPTIONS): Promise<void> {
    await this.#administer(VERBS.unblock, key, options);
  }

  /** Forgets the key: full quota, no block. Throws if the store fails. */
  async reset(key: string, options: SlotOption = NO_OPTIONS): Promise<void> {
    await this.#administer(VERBS.reset, key, options);
  }

  /**
   * What decides on the key now, in order; promised where a function promised it and it is not known yet. Empty where
   * each call brings its policies. Throws, or rejects, where there are none to be had.
   */
  policies(key: string): readonly Policy[] | Promise<readonly Policy[]> {
    this.#closing.throwIfClosed();
    checkKey(key);
    return this.#pipeline.resolver.policies(key);
  }

  /**
   * Decides by `policy` from now on: calls under way are decided by what was before. Units in use stay; see
   * docs/live-limits.md. Where anything is wrong with it, nothing changes. Only this process knows of it.
   *
   * @throws InvalidOptionError, also where another limiter of the store uses a name of its with other options
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.consume("k", { cost: 8 });
   * limiter.setPolicy(tokenBucket({ limit: 20, period: "1h" }), { by: "ana" });
   * console.log((await limiter.consume("k")).remaining); // 11
   */
  setPolicy(policy: PolicyOption, options: ChangeOptions = {}): void {
    this.#pipeline.setPolicy(policy, checkChange(options));
    this.#direct = this.#directStore();
  }

  /**
   * What holds for the key, until `until` or until undefined removes it: a policy in place of that of its name, or of the
   * only one; "deny"; or "exempt", which charges nothing. Other processes know of it in a second; see docs/live-limits.md.
   *
   * @throws InvalidOptionError, also above 10,000 overrides; what the store fails with
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
   * await limiter.override("acme", tokenBucket({ limit: 500, period: "1h" }), { comment: "ticket 12" });
   * await limiter.override("evil", "deny", { until: Date.now() + 3_600_000 });
   * console.log((await limiter.consume("acme")).limit, (await limiter.consume("evil")).reason); // 500 blocked
   * console.log((await limiter.overrides()).map(({ comment }) => comment)); // [ 'ticket 12', undefined ]
   */
  override(key: string, to: Override | undefined, options: OverrideOptions = {}): Promise<void> {
    return setOverride(this.#pipeline, key, to, options);
  }

  /** All overrides that hold now, by the ids of their keys; read anew from a store outside the process. */
  async overrides(): Promise<readonly ListedOverride[]> {
    return listOverrides(this.#pipeline);
  }

  /**
   * What this limiter has decided since it was made, in numbers; see docs/watch.md. Asks nobody.
   *
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
   * await limiter.consume("k");
   * await limiter.consume("k");
   * const { allowed, denied, withoutStore } = limiter.stats();
   * console.log(allowed, denied, withoutStore); // 1 1 0
   */
  stats(): LimiterStats {
    return limiterStats(this.#pipeline);
  }

  /**
   * Ends all waits with a ClosedError; later calls reject with one. Calls under way are answered by the store or reject,
   * never by `onStoreFailure`. Resolves when what the waits and a prefetch had taken was given back. Closes the store too
   * if the limiter made it; one that was passed in stays open.
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {
      await this.#pipeline.close();
      if (this.#ownsStore) await this.store.close();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #directStore(): SyncStore | undefined {
    const { shortcuts, resolver } = this.#pipeline;
    return shortcuts.prefetch === undefined && !resolver.isFunction ? this.#sync : undefined;
  }

  #administer(verb: Verb, key: string, options: SlotOption): Promise<void> {
    const { slot } = checkOptions("options", options, SLOT_OPTIONS) as SlotOption;
    return administer(this.#pipeline, { verb, key, slot, cost: 0 });
  }
}

function rejected(reason: Error): Promise<never> {
  return Promise.reject(reason);
}

/** Without a store a limiter has a MemoryStore of its own; one whose store is not named may have any. */
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

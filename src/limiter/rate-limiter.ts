/** The limiter: keys, options, hooks and failure policy around a store that decides. */
import { type Verb, VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { MAX_UNITS, toThousandths, UNIT } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import { CENTURY_US, type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import {
  InvalidOptionError,
  SluiceError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import { checkKey, checkName } from "../core/key.js";
import { checkOptions } from "../core/options.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import {
  type Answer,
  isSyncStore,
  type Store,
  type StoreCall,
  type StoreSeat,
  type SyncStore,
} from "../stores/store.js";
import { Deadlines } from "./deadlines.js";
import { decisionOf } from "./decision-of.js";
import { degradedDecision } from "./degraded.js";
import { HookRunner, type Hooks } from "./hooks.js";
import { type Identify, type Identity, identifyBy } from "./identity.js";
import { type PolicyOption, SeatingPlan } from "./seating.js";

export interface RateLimiterOptions<S extends Store = Store> {
  /** One policy; several, decided together, all or nothing, in one round trip; or a function of the key. */
  readonly policy: PolicyOption;
  /** Default: a new MemoryStore of this limiter's own. */
  readonly store?: S | undefined;
  /** First part of every store key; default "sluice". */
  readonly namespace?: string;
  readonly identity?: Identity;
  /** The limiter's own deadline for a store call, 1 ms to 1 h; default 250 ms. */
  readonly timeout?: Duration;
  /** What to answer when the store fails; default "open". */
  readonly onStoreFailure?: OnStoreFailure;
  /** A denial for lack of quota also blocks the key that long. */
  readonly blockFor?: Duration;
  /** false = shadow mode: decide, count and report, but always allow. */
  readonly enforce?: boolean;
  readonly hooks?: Hooks;
}

/**
 * "open" admits unmetered, "closed" denies, "throw" rejects, and a fallback limiter decides instead.
 * Prefer "closed" or a fallback where a flood that downs the store must not open the door.
 */
export type OnStoreFailure = "open" | "closed" | "throw" | { readonly fallback: RateLimiter };

export interface CallOptions {
  /** Units: 0 to 1e9 in whole thousandths; default 1. 0 asks and never counts. */
  readonly cost?: number;
  /** Options of this call in place of the limiter's; matched by name where there are several. */
  readonly policy?: Policy | readonly Policy[];
}

export interface AsyncCallOptions extends CallOptions {
  /** Rejects with its reason; the call may have been counted if it was already under way. */
  readonly signal?: AbortSignal;
}

/** What consumeUpTo answers: how many whole units were granted. */
export type Grant = Decision & { readonly granted: number };

export interface KeyedRequest {
  readonly key: string;
  readonly cost?: number;
}

export interface AtomicRequest extends KeyedRequest {
  readonly limiter: RateLimiter;
}

export interface AtomicOptions {
  /** Default true. false: one after another, those before a denial refunded. */
  readonly atomic?: boolean;
  readonly signal?: AbortSignal;
}

export interface AtomicDecision {
  readonly allowed: boolean;
  /** Each request's own decision. Where one denied, the others were not charged, whatever they say. */
  readonly decisions: readonly Decision[];
}

const OPTIONS = [
  "policy",
  "store",
  "namespace",
  "identity",
  "timeout",
  "onStoreFailure",
  "blockFor",
  "enforce",
  "hooks",
];
const DEFAULT_TIMEOUT = 250;
const MAX_TIMEOUT_US = 3600e6;
const NO_OPTIONS: AsyncCallOptions = Object.freeze({});

/** One call of one verb, checked and ready for the store. */
interface Prepared {
  readonly key: string;
  /** Units, as the caller named them. */
  readonly cost: number;
  readonly call: StoreCall;
}

class Limiter<S extends Store = Store> {
  readonly store: S;
  readonly #ownsStore: boolean;
  readonly #plan: SeatingPlan;
  readonly #identify: Identify;
  readonly #deadlines: Deadlines;
  readonly #onStoreFailure: OnStoreFailure;
  readonly #blockForUs: number;
  readonly #enforce: boolean;
  readonly #hooks: HookRunner;

  constructor(options: RateLimiterOptions<S>) {
    checkOptions("options", options, OPTIONS);
    this.#ownsStore = options.store === undefined;
    this.store = checkStore(options.store ?? new MemoryStore()) as S;
    const namespace = checkName("namespace", options.namespace ?? "sluice");
    this.#identify = identifyBy(options.identity, this.store.external);
    const timeoutUs = toMicroseconds(
      "timeout",
      options.timeout ?? DEFAULT_TIMEOUT,
      MIN_PERIOD_US,
      MAX_TIMEOUT_US,
    );
    this.#deadlines = new Deadlines(timeoutUs / 1e3);
    this.#onStoreFailure = checkFailurePolicy(options.onStoreFailure ?? "open");
    this.#blockForUs =
      options.blockFor === undefined
        ? 0
        : toMicroseconds("blockFor", options.blockFor, MIN_PERIOD_US, CENTURY_US);
    this.#enforce = checkBoolean("enforce", options.enforce ?? true);
    this.#hooks = new HookRunner(options.hooks);
    this.#plan = new SeatingPlan(this.store, namespace, options.policy);
  }

  /** Takes `cost` units if every policy has them, else takes nothing and says when to come back. */
  async consume(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    if (isSyncStore(this.store)) {
      options.signal?.throwIfAborted();
      return this.#consumeNow(this.store, key, options);
    }
    return this.#decide(
      this.#prepare(VERBS.consume, key, options, this.#blockForUs),
      options.signal,
    );
  }

  /** `consume` without a promise: for stores inside the process. */
  consumeSync(
    this: RateLimiter<SyncStore>,
    key: string,
    options: CallOptions = NO_OPTIONS,
  ): Decision {
    const limiter = this as unknown as Limiter<SyncStore>;
    if (!isSyncStore(limiter.store)) {
      throw new InvalidOptionError(
        "store",
        "an asynchronous store",
        "a store inside the process for consumeSync",
      );
    }
    return limiter.#consumeNow(limiter.store, key, options);
  }

  /** Takes as many whole units as every policy has, up to `cost`; denied when that is none. */
  async consumeUpTo(
    key: string,
    options: AsyncCallOptions & { readonly cost: number },
  ): Promise<Grant> {
    const prepared = this.#prepare(VERBS.consumeUpTo, key, options, 0);
    if (!Number.isInteger(prepared.cost) || prepared.cost < 1) {
      throw new InvalidOptionError(
        "cost",
        options.cost,
        `a whole number of units from 1 to ${MAX_UNITS}`,
      );
    }
    const [outcome] = await this.#ask([prepared.call], options.signal);
    if (outcome instanceof Error)
      return this.#withoutStore(outcome, prepared, (to) => to.consumeUpTo(key, options));
    const decision = decisionOf(prepared.call.seats, outcome as Answer, "store");
    return { ...this.#report(prepared, decision), granted: (outcome as Answer).granted / UNIT };
  }

  /** Many independent calls side by side, in one go to the store. */
  async consumeMany(
    requests: readonly KeyedRequest[],
    options: { readonly signal?: AbortSignal } = NO_OPTIONS,
  ): Promise<Decision[]> {
    const prepared = requests.map((request) =>
      this.#prepare(VERBS.consume, request.key, request, this.#blockForUs),
    );
    if (prepared.length === 0) return [];
    const outcomes = await this.#ask(
      prepared.map(({ call }) => call),
      options.signal,
    );
    return Promise.all(
      prepared.map((each, i) => this.#conclude(each, outcomes[i] as Answer | Error)),
    );
  }

  /** What consume would say, without counting; always asks the store. */
  async peek(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    const prepared = this.#prepare(VERBS.peek, key, options, 0);
    const [outcome] = await this.#ask([prepared.call], options.signal);
    if (outcome instanceof Error)
      return this.#withoutStore(outcome, prepared, (to) => to.peek(key, options));
    return decisionOf(prepared.call.seats, outcome as Answer, "store");
  }

  /** Gives `amount` units back, never above full. Answers as a peek at cost 0 right after would. */
  refund(key: string, amount: number): Promise<Decision> {
    return this.#adjust(VERBS.refund, key, amount, (to) => to.refund(key, amount));
  }

  /** Takes `amount` units whatever is left, into debt if need be. Answers as a peek at cost 0 right after would. */
  penalize(key: string, amount: number): Promise<Decision> {
    return this.#adjust(VERBS.penalize, key, amount, (to) => to.penalize(key, amount));
  }

  /** Denies the key for `duration` from now on the store's clock, in place of any block it has. Throws if the store fails. */
  async block(key: string, duration: Duration): Promise<void> {
    const us = toMicroseconds("duration", duration, MIN_PERIOD_US, CENTURY_US);
    await this.#administer(VERBS.block, key, us);
  }

  /** Lifts a block. Throws if the store fails. */
  async unblock(key: string): Promise<void> {
    await this.#administer(VERBS.unblock, key, 0);
  }

  /** Forgets the key: full quota, no block. Throws if the store fails. */
  async reset(key: string): Promise<void> {
    await this.#administer(VERBS.reset, key, 0);
  }

  /** Ends what the limiter itself opened; a store that was passed in stays open. */
  async close(): Promise<void> {
    this.#plan.release();
    if (this.#ownsStore) await this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #prepare(verb: Verb, key: string, options: CallOptions, extraUs: number): Prepared {
    checkKey(key);
    const { cost = 1, policy } = options;
    const thousandths = toThousandths("cost", cost);
    const id = this.#identify(key);
    const seatings = this.#plan.of(key, policy);
    const seats = seatings.map(
      ({ name, rule, space }): StoreSeat => ({ name, rule, space, id, cost: thousandths }),
    );
    return { key, cost, call: { verb, seats, extraUs } };
  }

  #consumeNow(store: SyncStore, key: string, options: CallOptions): Decision {
    const prepared = this.#prepare(VERBS.consume, key, options, this.#blockForUs);
    return this.#report(
      prepared,
      decisionOf(prepared.call.seats, store.executeSync(prepared.call), "store"),
    );
  }

  async #decide(prepared: Prepared, signal: AbortSignal | undefined): Promise<Decision> {
    const [outcome] = await this.#ask([prepared.call], signal);
    return this.#conclude(prepared, outcome as Answer | Error);
  }

  /** From the store's outcome of a consume to the caller's decision. */
  #conclude(prepared: Prepared, outcome: Answer | Error): Decision | Promise<Decision> {
    if (outcome instanceof Error) {
      const { key, cost } = prepared;
      return this.#withoutStore(outcome, prepared, (to) => to.consume(key, { cost }));
    }
    return this.#report(prepared, decisionOf(prepared.call.seats, outcome, "store"));
  }

  /** Tells the hooks, then lets a shadowed denial pass: its reason still says why it would have been one. */
  #report(prepared: Prepared, decision: Decision): Decision {
    this.#hooks.decided(prepared.key, prepared.cost, decision);
    if (this.#enforce || decision.allowed) return decision;
    return { ...decision, allowed: true, retryAfterMs: 0 };
  }

  async #adjust(
    verb: Verb,
    key: string,
    amount: number,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Promise<Decision> {
    toThousandths("amount", amount);
    const prepared = this.#prepare(verb, key, { cost: amount }, 0);
    const [outcome] = await this.#ask([prepared.call], undefined);
    if (outcome instanceof Error) return this.#withoutStore(outcome, prepared, fallBack);
    return decisionOf(prepared.call.seats, outcome as Answer, "store");
  }

  async #administer(verb: Verb, key: string, extraUs: number): Promise<void> {
    const prepared = this.#prepare(verb, key, { cost: 0 }, extraUs);
    const [outcome] = await this.#ask([prepared.call], undefined);
    if (outcome instanceof Error) {
      this.#hooks.failed({ error: outcome, key, cost: 0 });
      throw outcome;
    }
  }

  /**
   * Asks the store within the deadline. Failures are outcomes; misuse and an aborted signal throw.
   */
  async #ask(
    calls: readonly StoreCall[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (Answer | Error)[]> {
    signal?.throwIfAborted();
    let outcomes: readonly (Answer | Error)[];
    try {
      const late = (): Error => new StoreTimeoutError(this.#deadlines.timeoutMs);
      const work = this.store.execute(calls);
      outcomes = await (this.store.external ? this.#deadlines.run(work, late, signal) : work);
    } catch (error) {
      signal?.throwIfAborted();
      const failure = asStoreError(error);
      return calls.map(() => failure);
    }
    return outcomes.map((outcome) => {
      if (outcome instanceof InvalidOptionError) throw outcome;
      return outcome instanceof Error ? asStoreError(outcome) : outcome;
    });
  }

  /** Applies the failure policy. `granted` is what consumeUpTo promises beside the decision. */
  async #withoutStore<D extends Decision>(
    error: Error,
    { key, cost, call }: Prepared,
    fallBack: (to: RateLimiter) => Promise<D>,
  ): Promise<D> {
    if (error instanceof InvalidOptionError) throw error;
    const failure = this.#onStoreFailure;
    if (failure === "throw") {
      this.#hooks.failed({ error, key, cost });
      throw error;
    }
    let decision: Decision;
    if (typeof failure === "object") {
      decision = { ...(await fallBack(failure.fallback)), source: "fallback" };
    } else {
      decision = degradedDecision(call.seats, failure === "open");
      if (call.verb === VERBS.consumeUpTo) {
        decision = { ...decision, granted: decision.allowed ? cost : 0 } as Decision;
      }
    }
    this.#hooks.failed({ error, key, cost, decision });
    const counts = call.verb === VERBS.consume || call.verb === VERBS.consumeUpTo;
    return (counts ? this.#report({ key, cost, call }, decision) : decision) as D;
  }

  /** See consumeAtomic: here because only the class reaches into several limiters. */
  static async consumeAtomic(
    requests: readonly AtomicRequest[],
    options: AtomicOptions = NO_OPTIONS,
  ): Promise<AtomicDecision> {
    checkOptions("options", options, ["atomic", "signal"]);
    const first = requests[0];
    if (first === undefined) return { allowed: true, decisions: [] };
    const limiters = requests.map(({ limiter }, i) =>
      Limiter.#own(limiter, `requests[${i}].limiter`),
    );
    for (const [i, { store }] of limiters.entries()) {
      if (store !== first.limiter.store) {
        throw new InvalidOptionError(
          `requests[${i}].limiter.store`,
          "another store",
          "the store of the first limiter",
        );
      }
    }
    if (!checkBoolean("atomic", options.atomic ?? true))
      return consumeInOrder(requests, options.signal);
    const prepared = requests.map((request, i) =>
      (limiters[i] as Limiter).#prepare(VERBS.consume, request.key, request, 0),
    );
    // Who only shadows has no vote: those are calls of their own.
    const voters = prepared.map((_, i) => i).filter((i) => (limiters[i] as Limiter).#enforce);
    const shadows = prepared.map((_, i) => i).filter((i) => !(limiters[i] as Limiter).#enforce);
    const { call: together, places } = joined(voters.map((i) => (prepared[i] as Prepared).call));
    const calls = shadows.map((i) => (prepared[i] as Prepared).call);
    const outcomes = await (limiters[0] as Limiter).#ask(
      voters.length > 0 ? [together, ...calls] : calls,
      options.signal,
    );

    const decisions = new Array<Decision>(requests.length);
    const settle = async (i: number, outcome: Answer | Error): Promise<void> => {
      const limiter = limiters[i] as Limiter;
      const each = prepared[i] as Prepared;
      decisions[i] = await limiter.#concludeAtomic(each, outcome);
    };
    const vote = outcomes[0] as Answer | Error;
    await Promise.all([
      ...voters.map((i, v) => settle(i, placed(vote, places[v] as readonly number[]))),
      ...shadows.map((i, s) =>
        settle(i, outcomes[s + (voters.length > 0 ? 1 : 0)] as Answer | Error),
      ),
    ]);
    const allowed = decisions.every((decision) => decision.allowed);
    await Promise.all(
      decisions.map(async (decision, i) => {
        const limiter = limiters[i] as Limiter;
        const each = prepared[i] as Prepared;
        if (decision.source !== "store") return;
        if (allowed || !decision.allowed || !limiter.#enforce)
          decisions[i] = limiter.#report(each, decision);
        if (decision.reason === "quota" && limiter.#blockForUs > 0) {
          await limiter.#administer(VERBS.block, each.key, limiter.#blockForUs);
        }
      }),
    );
    return { allowed: decisions.every((decision) => decision.allowed), decisions };
  }

  #concludeAtomic(prepared: Prepared, outcome: Answer | Error): Decision | Promise<Decision> {
    if (outcome instanceof Error) return this.#conclude(prepared, outcome);
    return decisionOf(prepared.call.seats, outcome, "store");
  }

  static #own(limiter: unknown, option: string): Limiter {
    if (limiter instanceof Limiter) return limiter as Limiter;
    throw new InvalidOptionError(option, limiter, "a RateLimiter");
  }
}

/** One call out of several: seats of the same space and id share one state, so their costs add up. */
function joined(calls: readonly StoreCall[]): {
  call: StoreCall;
  places: readonly (readonly number[])[];
} {
  const seats: StoreSeat[] = [];
  const places = calls.map((call) =>
    call.seats.map((seat) => {
      const at = seats.findIndex(({ space, id }) => space === seat.space && id === seat.id);
      if (at < 0) return seats.push({ ...seat }) - 1;
      (seats[at] as StoreSeat).cost += seat.cost;
      return at;
    }),
  );
  return { call: { verb: VERBS.consume, seats, extraUs: 0 }, places };
}

/** The part of a joint answer that concerns one of its calls. */
function placed(outcome: Answer | Error, places: readonly number[]): Answer | Error {
  if (outcome instanceof Error) return outcome;
  return { ...outcome, seats: places.map((at) => outcome.seats[at] as Answer["seats"][number]) };
}

async function consumeInOrder(
  requests: readonly AtomicRequest[],
  signal: AbortSignal | undefined,
): Promise<AtomicDecision> {
  const call = signal === undefined ? {} : { signal };
  const decisions: Decision[] = [];
  let allowed = true;
  for (const { limiter, key, cost = 1 } of requests) {
    const decision = allowed
      ? await limiter.consume(key, { cost, ...call })
      : await limiter.peek(key, { cost, ...call });
    decisions.push(decision);
    if (allowed && !decision.allowed) {
      allowed = false;
      // What was admitted without the store was not counted there and has nothing to get back.
      const charged = requests
        .slice(0, decisions.length - 1)
        .filter((_, i) => decisions[i]?.source === "store");
      await Promise.all(
        charged.map((request) => request.limiter.refund(request.key, request.cost ?? 1)),
      );
    }
  }
  return { allowed, decisions };
}

function asStoreError(error: unknown): Error {
  if (error instanceof SluiceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StoreUnavailableError(`the store failed: ${message}`, { cause: error });
}

function checkStore(store: unknown): Store {
  const execute: unknown =
    typeof store === "object" && store !== null ? Reflect.get(store, "execute") : undefined;
  if (typeof execute === "function") return store as Store;
  throw new InvalidOptionError(
    "store",
    store,
    "a store such as new MemoryStore() or new RedisStore({ client })",
  );
}

function checkFailurePolicy(value: unknown): OnStoreFailure {
  if (value === "open" || value === "closed" || value === "throw") return value;
  if (typeof value === "object" && value !== null) {
    const { fallback } = checkOptions("onStoreFailure", value, ["fallback"]);
    if (fallback instanceof Limiter) return { fallback: fallback as RateLimiter };
  }
  throw new InvalidOptionError(
    "onStoreFailure",
    value,
    '"open", "closed", "throw" or { fallback: a RateLimiter }',
  );
}

function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidOptionError(option, value, "true or false");
}

interface RateLimiterConstructor {
  new (options: RateLimiterOptions & { readonly store?: undefined }): RateLimiter<MemoryStore>;
  new <S extends Store>(options: RateLimiterOptions<S> & { readonly store: S }): RateLimiter<S>;
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

/**
 * Consumes from several limiters and identities of one store, all or nothing, in one round trip.
 * A limiter in shadow mode is asked but has no vote. On a Cluster the keys must share a slot, or pass
 * `atomic: false`.
 *
 * @throws InvalidOptionError
 * @example
 * import { consumeAtomic, MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * const store = new MemoryStore();
 * const perUser = new RateLimiter({ policy: tokenBucket({ name: "user", limit: 5, period: "1s" }), store });
 * const perTeam = new RateLimiter({ policy: tokenBucket({ name: "team", limit: 20, period: "1s" }), store });
 * const { allowed } = await consumeAtomic([
 *   { limiter: perUser, key: "alice" },
 *   { limiter: perTeam, key: "blue", cost: 2 },
 * ]);
 * console.log(allowed); // true
 */
export const consumeAtomic: (
  requests: readonly AtomicRequest[],
  options?: AtomicOptions,
) => Promise<AtomicDecision> = Limiter.consumeAtomic;

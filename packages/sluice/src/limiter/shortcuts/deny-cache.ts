/**
 * Denials remembered for a moment: after one, the process refuses what the store would refuse anyway. A
 * denial with wait r that was asked for at t stays true until t + r, as long as nobody gives quota back.
 */
import { NEVER, REASON } from "../../algorithms/decide.js";
import { monotonicMs } from "../../core/clock.js";
import type { Decision, PolicyVerdict } from "../../core/decision.js";
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../../core/duration.js";
import { checkCount, checkOptions } from "../../core/options.js";
import type { StoreResult } from "../../stores/store.js";
import { alike, type BoundPolicy } from "../policy-resolver.js";

export interface DenyCacheOptions {
  /** How long a denial is repeated at most, 1 ms to 1 s; default 1 s. */
  readonly maxAge?: Duration;
  /** Keys remembered at most, 1 to 1,000,000; default 10,000. When full the oldest goes. */
  readonly maxKeys?: number;
}

const LONGEST_MS = 1000;
const DEFAULT_MAX_KEYS = 10_000;
const MOST_KEYS = 1e6;
/** A key of more UTF-16 units is not remembered: who floods with long keys must not fill the memory. */
const LONGEST_KEY = 512;
/** Clears remembered for the sake of calls under way. */
const MOST_CLEARS = 1000;
/** Entries looked at for each new one: two are enough to keep up with what expires. */
const SWEPT = 2;
/** What the rounding of doubles may add to a moment; the store counts whole µs. */
const ROUNDING_MS = 1e-3;

/** A call that goes to the store: what its denial, if it is one, was decided under. */
export interface DenialContext {
  readonly key: string;
  /** Thousandths. */
  readonly cost: number;
  readonly bound: readonly BoundPolicy[];
  readonly sentAtMs: number;
  /** How many clears there had been. */
  readonly clears: number;
}

interface Denial {
  readonly bound: readonly BoundPolicy[];
  readonly cost: number;
  readonly untilMs: number;
  /** From now on one call asks ahead, while the others are still refused. */
  askAheadAtMs: number;
  readonly answeredAtMs: number;
  readonly decision: Decision;
}

/** Of a full cache, the oldest such part makes room. */
const DROPPED_SHARE = 256;

export class DenyCache {
  readonly #maxAgeMs: number;
  readonly #maxKeys: number;
  readonly #denials = new Map<string, Denial>();
  /** Goes round over all entries, on with every denial: an iterator that rests keeps the map's old tables alive. */
  #sweep = this.#denials.entries();
  #clears = 0;
  /** The number of the last clear of a key. */
  readonly #cleared = new Map<string, number>();
  /** Clears up to this number are no longer known by key: they count for every key. */
  #forgotten = 0;

  constructor(options: DenyCacheOptions = {}) {
    checkOptions("denyCache", options, ["maxAge", "maxKeys"]);
    const { maxAge = LONGEST_MS, maxKeys = DEFAULT_MAX_KEYS } = options;
    const maxAgeUs = toMicroseconds("denyCache.maxAge", maxAge, MIN_PERIOD_US, LONGEST_MS * 1e3);
    this.#maxAgeMs = maxAgeUs / 1e3;
    this.#maxKeys = checkCount("denyCache.maxKeys", maxKeys, 1, MOST_KEYS);
  }

  /** Keys remembered, those whose time is over included. */
  get size(): number {
    return this.#denials.size;
  }

  /** The refusal, where the store is sure to deny; undefined if only the store can tell. */
  find(key: string, cost: number, bound: readonly BoundPolicy[]): Decision | undefined {
    const denial = this.#denials.get(key);
    if (denial === undefined || cost < denial.cost) return undefined;
    const nowMs = monotonicMs();
    if (nowMs >= denial.untilMs || !alike(denial.bound, bound)) return undefined;
    if (nowMs >= denial.askAheadAtMs) {
      denial.askAheadAtMs = denial.untilMs;
      return undefined;
    }
    return later(denial.decision, nowMs - denial.answeredAtMs);
  }

  /** A consume is about to be sent. Quota drains by the options of the call: what was denied under others ends. */
  ask(key: string, cost: number, bound: readonly BoundPolicy[], nowMs: number): DenialContext {
    this.differs(key, bound);
    return { key, cost, bound, sentAtMs: nowMs, clears: this.#clears };
  }

  /** Clears the key if its denial was decided under other options than `bound`. */
  differs(key: string, bound: readonly BoundPolicy[]): void {
    const denial = this.#denials.get(key);
    if (denial !== undefined && !alike(denial.bound, bound)) this.clear(key);
  }

  /** Remembers what the store answered, if that was a denial that still holds. */
  remember(
    { key, cost, bound, sentAtMs, clears }: DenialContext,
    answer: StoreResult,
    decision: Decision,
  ): void {
    const known = this.#denials.get(key);
    if (decision.allowed) {
      // Somebody gave back: another process, for a clear of this one would have been known.
      if (known !== undefined && known.cost <= cost) this.#denials.delete(key);
      return;
    }
    if (key.length > LONGEST_KEY) return;
    if (clears < this.#forgotten || clears < (this.#cleared.get(key) ?? 0)) return;
    const nowMs = monotonicMs();
    const truthMs = waitMs(answer, bound.length);
    const untilMs = sentAtMs + Math.min(truthMs, this.#maxAgeMs) - ROUNDING_MS;
    if (untilMs <= nowMs) return;
    // Of two that hold, the one that refuses more calls.
    if (known !== undefined && known.untilMs > nowMs && known.cost < cost) return;
    this.#denials.delete(key);
    this.#makeRoom(nowMs);
    // If all denials ended by age, all calls of a flood would go to the store at once.
    const askAheadAtMs = truthMs > this.#maxAgeMs ? sentAtMs + this.#maxAgeMs / 2 : untilMs;
    const answeredAtMs = nowMs;
    // A copy: the caller has the decision itself, and may change it.
    const own = later(decision, 0);
    this.#denials.set(key, { bound, cost, untilMs, askAheadAtMs, answeredAtMs, decision: own });
  }

  /** Forgets the key, and so does every call about it that is under way. */
  clear(key: string): void {
    this.#denials.delete(key);
    if (key.length > LONGEST_KEY) return;
    this.#clears += 1;
    this.#cleared.delete(key);
    this.#cleared.set(key, this.#clears);
    if (this.#cleared.size <= MOST_CLEARS) return;
    const all = this.#cleared;
    this.#forgotten = this.#clears;
    all.clear();
  }

  #makeRoom(nowMs: number): void {
    for (let i = 0; i < SWEPT; i++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = this.#denials.entries();
        break;
      }
      const [key, { untilMs }] = next.value;
      if (untilMs <= nowMs) this.#denials.delete(key);
    }
    if (this.#denials.size >= this.#maxKeys) this.#dropOldest();
  }

  /**
   * Several at once, since each look for the oldest passes all holes before it. Not by an iterator that stays: one that
   * rests keeps the map's old tables alive.
   */
  #dropOldest(): void {
    let left = Math.ceil(this.#maxKeys / DROPPED_SHARE);
    for (const key of this.#denials.keys()) {
      this.#denials.delete(key);
      left -= 1;
      if (left === 0) return;
    }
  }
}

/** Until the call would be admitted; Infinity if never. */
function waitMs({ debits }: StoreResult, count: number): number {
  let longestUs = 0;
  for (let i = 0; i < count; i++) {
    const debit = debits[i];
    if (debit === undefined || debit.reason === REASON.ok) continue;
    if (debit.waitUs === NEVER) return Number.POSITIVE_INFINITY;
    if (debit.waitUs > longestUs) longestUs = debit.waitUs;
  }
  return longestUs / 1e3;
}

/** A denial as it reads some time after it arrived: the same, with the waits counted down. */
function later(decision: Decision, passedMs: number): Decision {
  const { policies } = decision;
  const refusal: Decision = {
    allowed: false,
    reason: decision.reason,
    limit: decision.limit,
    remaining: decision.remaining,
    retryAfterMs: retryLater(decision.retryAfterMs, passedMs),
    resetAfterMs: resetLater(decision.resetAfterMs, passedMs),
    decidedAtUs: decision.decidedAtUs + Math.round(passedMs * 1e3),
    windowMs: decision.windowMs,
    policy: decision.policy,
    source: "deny-cache",
  };
  if (policies === undefined) return refusal;
  return {
    ...refusal,
    policies: policies.map(
      (verdict): PolicyVerdict => ({
        ...verdict,
        retryAfterMs: retryLater(verdict.retryAfterMs, passedMs),
        resetAfterMs: resetLater(verdict.resetAfterMs, passedMs),
      }),
    ),
  };
}

/** Of several policies the first to have enough still says that it refused. */
function retryLater(ms: number, passedMs: number): number {
  return ms === 0 ? 0 : Math.max(1, Math.ceil(ms - passedMs));
}

function resetLater(ms: number, passedMs: number): number {
  return ms > passedMs ? Math.ceil(ms - passedMs) : 0;
}

/**
 * Denials remembered for a moment: after one, the process refuses what the store would refuse anyway. A denial with wait r
 * of a call made at t stays true until t + r, as long as no quota is given back. While the store answers, a denial is
 * repeated for `maxAge` at most; while it is away no better answer is to be had, and what is kept for that time is repeated
 * to its own end.
 */
import { NEVER, REASON } from "../../algorithms/decide.js";
import { monotonicMs } from "../../core/clock.js";
import type { Decision, PolicyVerdict } from "../../core/decision.js";
import { type Duration, MIN_PERIOD_US } from "../../core/duration.js";
import { byDefault, aCount, milliseconds, optionReader } from "../../core/options.js";
import type { StoreCall, StoreResult } from "../../stores/store.js";
import { alike, type BoundPolicy } from "../bound-policies.js";

/** How long, and for how many keys, denials are remembered in this process. */
export interface DenyCacheOptions {
  /** How long a denial is repeated at most, 1 ms to 1 s; default 1 s. */
  readonly maxAge?: Duration | undefined;
  /** Keys remembered at most, 1 to 1,000,000; default 10,000. When full the oldest goes. */
  readonly maxKeys?: number | undefined;
}

const LONGEST_MS = 1000;
const OPTIONS = optionReader<DenyCacheOptions>()({
  maxAge: byDefault(LONGEST_MS, milliseconds(MIN_PERIOD_US, LONGEST_MS * 1e3)),
  maxKeys: byDefault(10_000, aCount(1, 1e6)),
});
/** A key of more UTF-16 units is not remembered: who floods with long keys must not fill the memory. */
const LONGEST_KEY = 512;
/** Clears remembered for the sake of calls under way. */
const MOST_CLEARS = 1000;
/** Entries looked at for each new one: two are enough to keep up with what expires. */
const SWEPT = 2;
/** What the rounding of doubles may add to a moment; the store counts whole µs. */
const ROUNDING_MS = 1e-3;

/** A call that went to the store: what its denial, if it is one, was decided under. */
export interface AskedCall {
  /** Of its cost the first debit is read. */
  readonly call: Pick<StoreCall, "debits">;
  readonly bound: readonly BoundPolicy[];
  /** When it was about to be sent, on the monotonic clock. */
  readonly atMs: number;
  /** What `ask` said then; undefined if its denial is not remembered. */
  readonly clears: number | undefined;
}

interface Denial {
  readonly bound: readonly BoundPolicy[];
  readonly cost: number;
  /** Until when it is repeated while the store answers. */
  untilMs: number;
  /** From now on one call asks ahead, while the others are still refused. */
  askAheadAtMs: number;
  readonly answeredAtMs: number;
  readonly decision: Decision;
  /** Costs from this one on are refused to the end: less than `cost` if the key is blocked. */
  readonly heldCost: number;
  /** Until when it is repeated while the store is away. */
  readonly heldUntilMs: number;
  /** Earlier denials that hold to their own end: of less cost, or for longer. */
  readonly earlier: readonly Denial[];
}

/** What is refused while the store is away. */
export interface HeldDenial {
  /** The least cost that is refused now, in thousandths. */
  readonly leastCost: number;
  readonly decision: Decision;
}

/** Of a full cache, the oldest such part makes room. */
const DROPPED_SHARE = 256;
/** Earlier denials of a key that are kept. Callers use few different costs. */
const MOST_EARLIER = 3;

export class DenyCache {
  readonly #maxAgeMs: number;
  readonly #maxKeys: number;
  /** Whether denials are kept to their own end, for outages. */
  readonly #holds: boolean;
  readonly #denials = new Map<string, Denial>();
  /** Goes round over all entries, on with every denial: an iterator that rests keeps the map's old tables alive. */
  #sweep = this.#denials.entries();
  #clears = 0;
  /** The number of the last clear of a key. */
  readonly #cleared = new Map<string, number>();
  /** Clears up to this number are no longer known by key: they count for every key. */
  #forgotten = 0;

  constructor(options: DenyCacheOptions = {}, holds = false) {
    const { maxAge, maxKeys } = OPTIONS.read(options, "denyCache");
    this.#maxAgeMs = maxAge;
    this.#holds = holds;
    this.#maxKeys = maxKeys;
  }

  /** Keys remembered, those whose time is over included. */
  get size(): number {
    return this.#denials.size;
  }

  /** The refusal, if the store is sure to deny; undefined if only the store can tell. */
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

  /** The refusal while the store is away; undefined if nothing is known against the call. */
  held(key: string, cost: number, bound: readonly BoundPolicy[]): HeldDenial | undefined {
    const latest = this.#denials.get(key);
    if (latest === undefined) return undefined;
    const nowMs = monotonicMs();
    const holding = [latest, ...latest.earlier].filter(
      (each) => each.heldCost <= cost && nowMs < each.heldUntilMs && alike(each.bound, bound),
    );
    const longest = holding.reduce<Denial | undefined>(
      (a, b) => (a !== undefined && a.heldUntilMs >= b.heldUntilMs ? a : b),
      undefined,
    );
    if (longest === undefined) return undefined;
    const leastCost = Math.min(...holding.map(({ heldCost }) => heldCost));
    return { leastCost, decision: later(longest.decision, nowMs - longest.answeredAtMs) };
  }

  /**
   * A consume is about to be sent. Quota drains by the options of the call: what was denied under others ends. Tells how many
   * clears there have been, by which those that come meanwhile will be known.
   */
  ask(key: string, bound: readonly BoundPolicy[]): number {
    this.differs(key, bound);
    return this.#clears;
  }

  /** The store is asked about the key under `bound`: a denial that was decided under other options is not repeated. */
  differs(key: string, bound: readonly BoundPolicy[]): void {
    const denial = this.#denials.get(key);
    if (denial !== undefined && !alike(denial.bound, bound)) this.expire(key);
  }

  /** The store has answered about the key under `bound`: a denial that was decided under other options is over. */
  differed(key: string, bound: readonly BoundPolicy[]): void {
    const denial = this.#denials.get(key);
    if (denial !== undefined && !alike(denial.bound, bound)) this.clear(key);
  }

  /** Remembers what the store answered, if that was a denial that still holds. */
  remember(
    key: string,
    { call, bound, atMs: sentAtMs, clears }: AskedCall,
    answer: StoreResult,
    decision: Decision,
  ): void {
    if (clears === undefined) return;
    const cost = call.debits[0]?.cost ?? 0;
    const last = this.#denials.get(key);
    const known = last !== undefined && alike(last.bound, bound) ? last : undefined;
    if (decision.allowed) {
      // Quota was given back by another process: a clear of this one would have been known.
      if (last !== undefined && (known === undefined || refuses(known, cost))) {
        this.#denials.delete(key);
      }
      return;
    }
    if (key.length > LONGEST_KEY) return;
    if (clears < this.#forgotten || clears < (this.#cleared.get(key) ?? 0)) return;
    const nowMs = monotonicMs();
    const truthMs = waitMs(answer, bound.length);
    const untilMs = sentAtMs + Math.min(truthMs, this.#maxAgeMs) - ROUNDING_MS;
    const heldUntilMs = this.#holds ? sentAtMs + truthMs - ROUNDING_MS : untilMs;
    if (heldUntilMs <= nowMs) return;
    // If all denials ended by age, all calls of a flood would go to the store at once.
    const askAheadAtMs = truthMs > this.#maxAgeMs ? sentAtMs + this.#maxAgeMs / 2 : untilMs;
    const denial: Denial = {
      // A copy: the caller has the decision itself, and may change it.
      decision: later(decision, 0),
      answeredAtMs: nowMs,
      bound,
      cost,
      untilMs,
      askAheadAtMs,
      heldCost: isBlockAlone(answer, bound.length, cost) ? 0 : cost,
      heldUntilMs,
      earlier: [],
    };
    // Of two that hold, the one that refuses more calls is repeated; the other is kept for outages.
    const isLess = known !== undefined && known.untilMs > nowMs && known.cost < cost;
    const [shown, other] = isLess ? [known, denial] : [denial, known];
    this.#denials.delete(key);
    this.#makeRoom(nowMs);
    this.#denials.set(key, this.#holds ? withEarlier(shown, other, nowMs) : shown);
  }

  /** A call is sent that may end the denial: it is not repeated before the store has said so again. */
  expire(key: string): void {
    const denial = this.#holds ? this.#denials.get(key) : undefined;
    this.clear(key);
    if (denial === undefined) return;
    denial.untilMs = 0;
    this.#denials.set(key, denial);
  }

  /** Forgets the key, and so does every call about it that is under way. */
  clear(key: string): void {
    this.#denials.delete(key);
    if (key.length > LONGEST_KEY) return;
    this.#clears += 1;
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
      const [key, { heldUntilMs, earlier }] = next.value;
      if (heldUntilMs > nowMs || earlier.some((each) => each.heldUntilMs > nowMs)) continue;
      this.#denials.delete(key);
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

/** Whether an admission of `cost` shows that the denial, or one before it, is over. */
function refuses(denial: Denial, cost: number): boolean {
  return denial.cost <= cost || denial.earlier.some((each) => each.cost <= cost);
}

/** `shown` with what else holds: not what it refuses itself, and for as long. */
function withEarlier(shown: Denial, other: Denial | undefined, nowMs: number): Denial {
  const all = [...(other === undefined ? [] : [other, ...other.earlier]), ...shown.earlier];
  const earlier: Denial[] = [];
  for (const each of all) {
    if (each.heldUntilMs <= nowMs || earlier.length === MOST_EARLIER) continue;
    const isCovered = [shown, ...earlier].some(
      ({ heldCost, heldUntilMs }) => heldCost <= each.heldCost && heldUntilMs >= each.heldUntilMs,
    );
    if (!isCovered) earlier.push({ ...each, earlier: [] });
  }
  return { ...shown, earlier };
}

/** Whether the key is blocked and the cost would fit: then every cost is refused until the block ends. */
function isBlockAlone({ debits }: StoreResult, count: number, cost: number): boolean {
  let isBlocked = false;
  for (let i = 0; i < count; i++) {
    const debit = debits[i];
    if (debit === undefined || debit.available < cost) return false;
    if (debit.reason === REASON.blocked) isBlocked = true;
  }
  return isBlocked;
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
  // A copy, not field by field: where keys were admitted before they were denied, that took twice the time of a whole denial.
  const refusal: Decision = {
    ...decision,
    allowed: false,
    retryAfterMs: retryLater(decision.retryAfterMs, passedMs),
    resetAfterMs: resetLater(decision.resetAfterMs, passedMs),
    decidedAtUs: decision.decidedAtUs + Math.round(passedMs * 1e3),
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

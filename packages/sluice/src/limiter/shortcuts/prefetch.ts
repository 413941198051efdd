/**
 * Units of hot keys that this process takes in advance and spends without the store: one store call instead of many. While
 * a key's refill is under way, calls on it wait for it in order and are served from it; what it does not cover goes on to
 * the store. Unused units go back when a holding is over.
 */
import { REASON, VERBS } from "../../algorithms/decide.js";
import { MAX_UNITS, UNIT } from "../../core/amount.js";
import { monotonicMs, startTimer, systemClock, type Timer } from "../../core/clock.js";
import { type Duration, MIN_PERIOD_US } from "../../core/duration.js";
import { keyWithoutSlot } from "../../core/key.js";
import { aCount, milliseconds, optionReader } from "../../core/options.js";
import type { Prefetched } from "../../events/events.js";
import {
  type StoreResult,
  type Done,
  type DebitResult,
  type Store,
  type StoreCall,
  type Debit,
} from "../../stores/store.js";
import { alike, type BoundPolicy } from "../bound-policies.js";

/** How many units of a hot key are taken ahead, and for how long. */
export interface PrefetchOptions {
  /** Units taken at once, and held unspent at most, by each limiter: whole, 1 to 1e9. */
  readonly size: number;
  /** How long units are held, 1 ms to 1 h; what is unused then goes back. */
  readonly ttl: Duration;
}

/** The option, checked. */
export interface PrefetchTerms {
  /** Thousandths. */
  readonly size: number;
  readonly ttlMs: number;
}

const LONGEST_TTL_US = 3600e6;
const OPTIONS = optionReader<PrefetchOptions>()({
  size: aCount(1, MAX_UNITS),
  ttl: milliseconds(MIN_PERIOD_US, LONGEST_TTL_US),
});

export function checkPrefetch(options: PrefetchOptions): PrefetchTerms {
  const { size, ttl } = OPTIONS.read(options, "prefetch");
  return { size: size * UNIT, ttlMs: ttl };
}

/** An answer made of prefetched units. */
export class PrefetchedResult implements StoreResult {
  readonly nowUs: number;
  readonly granted: number;
  readonly debits: readonly DebitResult[];

  /** `left` thousandths are here beside what the store still had at `answer`, `passedMs` ago. */
  constructor(answer: StoreResult, granted: number, left: number, passedMs: number) {
    const passedUs = Math.round(passedMs * 1e3);
    this.nowUs = answer.nowUs + passedUs;
    this.granted = granted;
    this.debits = answer.debits.map(({ available, resetUs }) => ({
      reason: REASON.ok,
      available: available + left,
      waitUs: 0,
      resetUs: Math.max(0, resetUs - passedUs),
    }));
  }
}

interface Waiting {
  readonly call: StoreCall;
  readonly done: Done;
}

/** A refill under way; a holding has one at most, so that it never takes more than the size. */
interface Refill {
  readonly call: StoreCall;
  readonly sentAtMs: number;
  readonly waiting: Waiting[];
  landed: () => void;
}

interface Holding {
  readonly key: string;
  readonly debits: readonly Debit[];
  /** Thousandths, whole units. */
  left: number;
  endsAtMs: number;
  refill: Refill | undefined;
  /** What the store said to the last refill, and when. */
  answer: StoreResult | undefined;
  answeredAtMs: number;
  /** The debits that units go back to: not those that have been reset since. */
  returnTo: readonly Debit[];
}

/** Keys held at once: a flood of keys must neither fill the memory nor hoard quota. */
const MOST_HOLDINGS = 10_000;
/** A refill that is overtaken after this long without an answer was sent on a dead connection. */
const LOST_MS = 1000;

export interface PrefetchContext {
  readonly store: Store;
  readonly timeoutMs: number;
  /** Called when units were taken or go back. */
  readonly changed: (change: Prefetched["change"], key: string, units: number) => void;
  /** Sends a refund within the limiter's deadline; never rejects. */
  readonly refund: (key: string, call: StoreCall) => Promise<void>;
}

export class Prefetch {
  readonly #context: PrefetchContext;
  /** Thousandths. */
  readonly #size: number;
  readonly #ttlMs: number;
  /** In the order in which they end: a refill moves its holding to the end. */
  readonly #holdings = new Map<string, Holding>();
  /** Those that are over, but for a refill under way. Their keys are held again when that is answered. */
  readonly #ending = new Map<string, Holding>();
  readonly #refunds = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(terms: PrefetchTerms, context: PrefetchContext) {
    this.#size = terms.size;
    this.#ttlMs = terms.ttlMs;
    this.#context = context;
  }

  /** Units that are here now, of all keys. */
  get heldUnits(): number {
    return [...this.#holdings.values()].reduce((sum, { left }) => sum + left, 0) / UNIT;
  }

  /** Takes `cost` thousandths of what is here; undefined if the store must be asked. */
  spend(key: string, cost: number, bound: readonly BoundPolicy[]): StoreResult | undefined {
    const holding = this.#holdings.get(key);
    if (holding === undefined || holding.refill !== undefined) return undefined;
    if (holding.left < cost) return undefined;
    if (!this.#covers(cost) || !alike(holding.debits, bound)) return undefined;
    const nowMs = monotonicMs();
    return nowMs < holding.endsAtMs ? take(holding, cost, nowMs) : undefined;
  }

  /** Takes back what `spend` has just given and was not used. */
  unspend(key: string, cost: number): void {
    const holding = this.#holdings.get(key);
    if (holding !== undefined) holding.left += cost;
  }

  /** Answers a consume from a refill if it may, else from the store. As `Store.submit`. */
  submit(key: string, call: StoreCall, done: Done): void {
    const holding = this.#holdingFor(key, call);
    if (holding === undefined) {
      this.#ask(this.#ending.get(key), call, done);
      return;
    }
    const { refill } = holding;
    if (refill === undefined) this.#serve(holding, { call, done });
    else if (this.#isOverdue(refill)) this.#ask(holding, call, done);
    else {
      call.carrier = refill.call;
      refill.waiting.push({ call, done });
    }
  }

  /**
   * `call` is about to be sent: a verb that adjusts the key. What is here goes back before, unless the
   * verb makes the store forget that it was taken.
   */
  drop(key: string, { verb, debits }: StoreCall): void {
    const holding = this.#holdings.get(key) ?? this.#ending.get(key);
    if (holding === undefined) return;
    const { returnTo } = holding;
    const others = returnTo.filter((debit) => !debits.some((other) => isSame(debit, other)));
    if (others.length === returnTo.length) return;
    if (verb === VERBS.reset || verb >= VERBS.clearBlock) holding.returnTo = others;
    this.#end(holding);
  }

  /** Gives everything back, and waits until that is done or the deadline has passed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const holding of this.#holdings.values()) this.#end(holding);
    const landed = [...this.#ending.values()].map(
      ({ refill }) => new Promise<void>((land) => ((refill as Refill).landed = land)),
    );
    if (landed.length > 0) {
      const late = new AbortController();
      await Promise.race([
        Promise.all(landed),
        systemClock.sleep(this.#context.timeoutMs, late.signal).catch(() => {}),
      ]);
      late.abort();
    }
    await Promise.all(this.#refunds);
  }

  /** Whether the call that a refill was sent for waits no more. */
  #isOverdue({ sentAtMs }: Refill): boolean {
    return monotonicMs() - sentAtMs >= this.#context.timeoutMs;
  }

  #isLost(refill: Refill): boolean {
    return this.#isOverdue(refill) && monotonicMs() - refill.sentAtMs >= LOST_MS;
  }

  /** Asks the store for a call that the holding of its key, if there is one, does not serve. */
  #ask(holding: Holding | undefined, call: StoreCall, done: Done): void {
    const { store } = this.#context;
    const refill = holding?.refill;
    if (holding === undefined || refill === undefined || !this.#isOverdue(refill)) {
      store.submit(call, done);
      return;
    }
    // Not worth sending any more; if it was sent and still succeeds, it serves later calls.
    refill.call.abandoned = true;
    store.submit(call, (outcome) => {
      // Calls are answered in order: a refill that was overtaken has no answer to come.
      if (!(outcome instanceof Error) && holding.refill === refill && this.#isLost(refill)) {
        this.#giveUp(holding, refill);
      }
      done(outcome);
    });
  }

  #covers(cost: number): boolean {
    return cost > 0 && cost <= this.#size && cost % UNIT === 0;
  }

  /** The holding that a call may use, made if need be. */
  #holdingFor(key: string, call: StoreCall): Holding | undefined {
    if (this.#closed || !this.#covers((call.debits[0] as Debit).cost)) return undefined;
    const known = this.#holdings.get(key);
    if (known !== undefined) {
      if (alike(known.debits, call.debits) && monotonicMs() < known.endsAtMs) return known;
      this.#end(known);
    }
    if (this.#ending.has(key) || !this.#makeRoom()) return undefined;
    return {
      key,
      debits: call.debits,
      left: 0,
      endsAtMs: 0,
      refill: undefined,
      answer: undefined,
      answeredAtMs: 0,
      returnTo: call.debits,
    };
  }

  /** For one more holding; false if there is none. */
  #makeRoom(): boolean {
    if (this.#holdings.size + this.#ending.size < MOST_HOLDINGS) return true;
    for (const holdings of [this.#ending, this.#holdings]) {
      const oldest = holdings.values().next().value;
      const refill = oldest?.refill;
      if (oldest === undefined || (refill !== undefined && !this.#isLost(refill))) continue;
      if (refill !== undefined) this.#giveUp(oldest, refill);
      this.#end(oldest);
      return true;
    }
    return false;
  }

  #serve(holding: Holding, first: Waiting): void {
    const { cost } = first.call.debits[0] as Debit;
    if (holding.left >= cost) {
      first.done(take(holding, cost, monotonicMs()));
      return;
    }
    const sentAtMs = monotonicMs();
    const asked = this.#size - holding.left;
    const debits = holding.debits.map((debit) => ({ ...debit, cost: asked }));
    const call: StoreCall = { verb: VERBS.consumeUpTo, debits, blockUs: 0, maxWaitUs: 0 };
    const refill: Refill = { call, sentAtMs, waiting: [first], landed: () => {} };
    first.call.carrier = call;
    holding.refill = refill;
    holding.endsAtMs = sentAtMs + this.#ttlMs;
    this.#holdings.delete(holding.key);
    this.#holdings.set(holding.key, holding);
    this.#watch();
    this.#context.store.submit(call, (outcome) => {
      this.#land(holding, refill, outcome);
    });
  }

  #land(holding: Holding, refill: Refill, outcome: StoreResult | Error): void {
    // What is given up may have been replaced: taking it too would be more than the size.
    if (holding.refill !== refill) return;
    holding.refill = undefined;
    if (!(outcome instanceof Error)) {
      holding.answer = outcome;
      holding.answeredAtMs = monotonicMs();
      holding.left += outcome.granted;
      this.#emit("taken", holding.key, outcome.granted);
      this.#spread(holding, refill, outcome);
    } else if (refill.call.abandoned === true) {
      this.#passOn(refill);
    } else {
      for (const { done } of refill.waiting) done(outcome);
    }
    this.#landed(holding, refill);
  }

  /** What the refill took, if it did, comes back only as quota does. */
  #giveUp(holding: Holding, refill: Refill): void {
    refill.call.abandoned = true;
    holding.refill = undefined;
    this.#passOn(refill);
    this.#landed(holding, refill);
  }

  #landed(holding: Holding, refill: Refill): void {
    if (this.#ending.get(holding.key) === holding) this.#end(holding);
    else if (holding.left === 0) this.#holdings.delete(holding.key);
    refill.landed();
  }

  /** Calls that still wait for a refill without an answer are sent separately. */
  #passOn({ waiting }: Refill): void {
    for (const { call, done } of waiting) {
      if (call.abandoned !== true) this.#submit(call, done);
    }
  }

  /** Serves those who waited for a refill, in order. */
  #spread(holding: Holding, { waiting }: Refill, answer: StoreResult): void {
    for (const [i, { call, done }] of waiting.entries()) {
      if (call.abandoned === true) continue;
      const { cost } = call.debits[0] as Debit;
      if (cost <= holding.left) done(take(holding, cost, holding.answeredAtMs));
      // The refill got nothing. To the first caller, if it asked for one unit, that is already the store's denial.
      else if (i === 0 && answer.granted === 0 && cost === UNIT) done(answer);
      else this.#submit(call, done);
    }
  }

  /** A call that no refill covers is sent alone. */
  #submit(call: StoreCall, done: Done): void {
    call.carrier = undefined;
    this.#context.store.submit(call, done);
  }

  /** Ends a holding: what is left goes back, and so does what is still to come when it lands. */
  #end(holding: Holding): void {
    const { key, left, returnTo } = holding;
    this.#holdings.delete(key);
    if (holding.refill === undefined) this.#ending.delete(key);
    else this.#ending.set(key, holding);
    holding.left = 0;
    if (left === 0 || returnTo.length === 0) return;
    this.#emit("returned", key, left);
    const debits = returnTo.map((debit) => ({ ...debit, cost: left }));
    const refund = this.#context.refund(key, {
      verb: VERBS.refund,
      debits,
      blockUs: 0,
      maxWaitUs: 0,
    });
    this.#refunds.add(refund);
    void refund.finally(() => this.#refunds.delete(refund));
  }

  #emit(change: Prefetched["change"], key: string, thousandths: number): void {
    if (thousandths > 0) this.#context.changed(change, keyWithoutSlot(key), thousandths / UNIT);
  }

  /** One timer for all holdings; it keeps no process alive. */
  #watch(): void {
    const next = this.#holdings.values().next().value;
    if (this.#timer !== undefined || next === undefined || this.#closed) return;
    this.#timer = startTimer(Math.max(1, next.endsAtMs - monotonicMs()), () => {
      this.#timer = undefined;
      this.#endDue();
      this.#watch();
    });
    this.#timer.unref();
  }

  #endDue(): void {
    const nowMs = monotonicMs();
    for (const holding of this.#holdings.values()) {
      if (holding.endsAtMs > nowMs) return;
      this.#end(holding);
    }
  }
}

function take(holding: Holding, cost: number, nowMs: number): StoreResult {
  holding.left -= cost;
  return new PrefetchedResult(
    holding.answer as StoreResult,
    cost,
    holding.left,
    nowMs - holding.answeredAtMs,
  );
}

function isSame(a: Debit, b: Debit): boolean {
  return a.keyspace === b.keyspace && a.id === b.id;
}

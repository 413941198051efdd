/**
 * Units of hot keys that this process takes in advance and spends by itself: one store call in place of
 * many. While a key's debit is under way, calls on it wait for it in order and are served from it; what it
 * does not cover goes on to the store. Unused units go back when a lease is over.
 */
import { STANDING, VERBS } from "../algorithms/decide.js";
import { MAX_UNITS, UNIT } from "../core/amount.js";
import { monotonicMs, startTimer, systemClock, type Timer } from "../core/clock.js";
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { checkCount, checkOptions } from "../core/options.js";
import {
  type Answer,
  type Done,
  isAwaited,
  type SeatAnswer,
  type Store,
  type StoreCall,
  type StoreSeat,
} from "../stores/store.js";
import { alike, type Seating } from "./seating.js";

export interface LeaseOptions {
  /** Units debited at once, and held unspent at most, by each limiter: whole, 1 to 1e9. */
  readonly size: number;
  /** How long units are held, 1 ms to 1 h; what is unused then goes back. */
  readonly ttl: Duration;
}

/** The option, checked. */
export interface LeaseTerms {
  /** Thousandths. */
  readonly size: number;
  readonly ttlMs: number;
}

export function checkLease(options: LeaseOptions): LeaseTerms {
  checkOptions("lease", options, ["size", "ttl"]);
  const { size, ttl } = options;
  return {
    size: checkCount("lease.size", size, 1, MAX_UNITS) * UNIT,
    ttlMs: toMicroseconds("lease.ttl", ttl, MIN_PERIOD_US, LONGEST_TTL_US) / 1e3,
  };
}

/** An answer made of leased units. */
export class LeaseAnswer implements Answer {
  readonly nowUs: number;
  readonly granted: number;
  readonly seats: readonly SeatAnswer[];

  /** `left` thousandths are here beside what the store still had at `answer`, `passedMs` ago. */
  constructor(answer: Answer, granted: number, left: number, passedMs: number) {
    const passedUs = Math.round(passedMs * 1e3);
    this.nowUs = answer.nowUs + passedUs;
    this.granted = granted;
    this.seats = answer.seats.map(({ room, resetUs }) => ({
      standing: STANDING.ok,
      room: room + left,
      waitUs: 0,
      resetUs: Math.max(0, resetUs - passedUs),
    }));
  }
}

interface Waiting {
  readonly call: StoreCall;
  readonly done: Done;
}

/** A debit under way; a lease has one at most, so that it never takes more than the size. */
interface Debit {
  readonly call: StoreCall;
  readonly sentAtMs: number;
  readonly waiting: Waiting[];
  landed: () => void;
}

interface Lease {
  readonly key: string;
  readonly seats: readonly StoreSeat[];
  /** Thousandths, whole units. */
  left: number;
  endsAtMs: number;
  debit: Debit | undefined;
  /** What the store said to the last debit, and when. */
  answer: Answer | undefined;
  answeredAtMs: number;
  /** The seats that units go back to: not those that were reset meanwhile. */
  returnTo: readonly StoreSeat[];
}

/** Keys leased at once: a flood of keys must neither fill the memory nor hoard quota. */
const MOST_LEASES = 10_000;
const LONGEST_TTL_US = 3600e6;
/** A debit that was overtaken after so long without an answer is of a dead connection. */
const LOST_MS = 1000;

export interface LeasesContext {
  readonly store: Store;
  readonly timeoutMs: number;
  /** Sends a refund within the limiter's deadline; never rejects. */
  readonly refund: (key: string, call: StoreCall) => Promise<void>;
}

export class Leases {
  readonly #context: LeasesContext;
  /** Thousandths. */
  readonly #size: number;
  readonly #ttlMs: number;
  /** In the order in which they end: a debit moves its lease to the end. */
  readonly #leases = new Map<string, Lease>();
  /** Those that are over, but for a debit under way. Their keys are leased again when that has landed. */
  readonly #ending = new Map<string, Lease>();
  readonly #refunds = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(terms: LeaseTerms, context: LeasesContext) {
    this.#size = terms.size;
    this.#ttlMs = terms.ttlMs;
    this.#context = context;
  }

  /** Takes `cost` thousandths of what is here; undefined if the store must be asked. */
  spend(key: string, cost: number, seatings: readonly Seating[]): Answer | undefined {
    const lease = this.#leases.get(key);
    if (lease === undefined || lease.debit !== undefined || lease.left < cost) return undefined;
    if (!this.#covers(cost) || !alike(lease.seats, seatings)) return undefined;
    const nowMs = monotonicMs();
    return nowMs < lease.endsAtMs ? take(lease, cost, nowMs) : undefined;
  }

  /** Answers a consume from a debit where that may be, else from the store. As `Store.submit`. */
  submit(key: string, call: StoreCall, done: Done): void {
    const lease = this.#leaseFor(key, call);
    if (lease === undefined) {
      this.#ask(this.#ending.get(key), call, done);
      return;
    }
    const { debit } = lease;
    if (debit === undefined) this.#serve(lease, { call, done });
    else if (this.#isOverdue(debit)) this.#ask(lease, call, done);
    else debit.waiting.push({ call, done });
  }

  /**
   * `call` is about to be sent: a verb that adjusts the key. What is here goes back before, unless the
   * verb makes the store forget that it was taken.
   */
  drop(key: string, { verb, seats }: StoreCall): void {
    const lease = this.#leases.get(key) ?? this.#ending.get(key);
    if (lease === undefined) return;
    const { returnTo } = lease;
    const others = returnTo.filter((seat) => !seats.some((other) => isSame(seat, other)));
    if (others.length === returnTo.length) return;
    if (verb === VERBS.reset) lease.returnTo = others;
    this.#end(lease);
  }

  /** Gives everything back, and waits until that is done or the deadline has passed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const lease of this.#leases.values()) this.#end(lease);
    const landed = [...this.#ending.values()].map(
      ({ debit }) => new Promise<void>((land) => ((debit as Debit).landed = land)),
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

  /** Whether the call that a debit was sent for waits no more. */
  #isOverdue({ sentAtMs }: Debit): boolean {
    return monotonicMs() - sentAtMs >= this.#context.timeoutMs;
  }

  #isLost(debit: Debit): boolean {
    return this.#isOverdue(debit) && monotonicMs() - debit.sentAtMs >= LOST_MS;
  }

  /** Asks the store for a call that the lease of its key, if there is one, does not serve. */
  #ask(lease: Lease | undefined, call: StoreCall, done: Done): void {
    const { store } = this.#context;
    const debit = lease?.debit;
    if (lease === undefined || debit === undefined || !this.#isOverdue(debit)) {
      store.submit(call, done);
      return;
    }
    // Not worth sending any more; if it was sent and still lands, it serves those who come later.
    debit.call.abandoned = true;
    store.submit(call, (outcome) => {
      // Calls are answered in order: a debit that was overtaken has no answer to come.
      if (!(outcome instanceof Error) && lease.debit === debit && this.#isLost(debit)) {
        this.#giveUp(lease, debit);
      }
      done(outcome);
    });
  }

  #covers(cost: number): boolean {
    return cost > 0 && cost <= this.#size && cost % UNIT === 0;
  }

  /** The lease that a call may use, made if need be. */
  #leaseFor(key: string, call: StoreCall): Lease | undefined {
    if (this.#closed || !this.#covers((call.seats[0] as StoreSeat).cost)) return undefined;
    const known = this.#leases.get(key);
    if (known !== undefined) {
      if (alike(known.seats, call.seats) && monotonicMs() < known.endsAtMs) return known;
      this.#end(known);
    }
    if (this.#ending.has(key) || !this.#makeRoom()) return undefined;
    return {
      key,
      seats: call.seats,
      left: 0,
      endsAtMs: 0,
      debit: undefined,
      answer: undefined,
      answeredAtMs: 0,
      returnTo: call.seats,
    };
  }

  /** For one more lease; false if there is none. */
  #makeRoom(): boolean {
    if (this.#leases.size + this.#ending.size < MOST_LEASES) return true;
    for (const leases of [this.#ending, this.#leases]) {
      const oldest = leases.values().next().value;
      const debit = oldest?.debit;
      if (oldest === undefined || (debit !== undefined && !this.#isLost(debit))) continue;
      if (debit !== undefined) this.#giveUp(oldest, debit);
      this.#end(oldest);
      return true;
    }
    return false;
  }

  #serve(lease: Lease, first: Waiting): void {
    const { cost } = first.call.seats[0] as StoreSeat;
    if (lease.left >= cost) {
      first.done(take(lease, cost, monotonicMs()));
      return;
    }
    const sentAtMs = monotonicMs();
    const asked = this.#size - lease.left;
    const seats = lease.seats.map((seat) => ({ ...seat, cost: asked }));
    const call: StoreCall = { verb: VERBS.consumeUpTo, seats, extraUs: 0 };
    const debit: Debit = { call, sentAtMs, waiting: [first], landed: () => {} };
    lease.debit = debit;
    lease.endsAtMs = sentAtMs + this.#ttlMs;
    this.#leases.delete(lease.key);
    this.#leases.set(lease.key, lease);
    this.#watch();
    this.#context.store.submit(call, (outcome) => {
      this.#land(lease, debit, outcome);
    });
  }

  #land(lease: Lease, debit: Debit, outcome: Answer | Error): void {
    // What is given up may have been replaced: taking it too would be more than the size.
    if (lease.debit !== debit) return;
    lease.debit = undefined;
    if (!(outcome instanceof Error)) {
      lease.answer = outcome;
      lease.answeredAtMs = monotonicMs();
      lease.left += outcome.granted;
      this.#spread(lease, debit, outcome);
    } else if (!isAwaited(debit.call)) {
      this.#passOn(debit);
    } else {
      for (const { done } of debit.waiting) done(outcome);
    }
    this.#landed(lease, debit);
  }

  /** What the debit took, if it did, comes back only as quota does. */
  #giveUp(lease: Lease, debit: Debit): void {
    debit.call.abandoned = true;
    lease.debit = undefined;
    this.#passOn(debit);
    this.#landed(lease, debit);
  }

  #landed(lease: Lease, debit: Debit): void {
    if (this.#ending.get(lease.key) === lease) this.#end(lease);
    else if (lease.left === 0) this.#leases.delete(lease.key);
    debit.landed();
  }

  /** Those who still wait for a debit that has no answer ask by themselves. */
  #passOn({ waiting }: Debit): void {
    for (const { call, done } of waiting) {
      if (isAwaited(call)) this.#context.store.submit(call, done);
    }
  }

  /** Serves those who waited for a debit, in order. */
  #spread(lease: Lease, { waiting }: Debit, answer: Answer): void {
    for (const [i, { call, done }] of waiting.entries()) {
      if (!isAwaited(call)) continue;
      const { cost } = call.seats[0] as StoreSeat;
      if (cost <= lease.left) done(take(lease, cost, lease.answeredAtMs));
      // Not even one unit: for who asked for one, and asked first, that is the store's own denial.
      else if (i === 0 && answer.granted === 0 && cost === UNIT) done(answer);
      else this.#context.store.submit(call, done);
    }
  }

  /** Ends a lease: what is left goes back, and so does what is still to come when it lands. */
  #end(lease: Lease): void {
    const { key, left, returnTo } = lease;
    this.#leases.delete(key);
    if (lease.debit === undefined) this.#ending.delete(key);
    else this.#ending.set(key, lease);
    lease.left = 0;
    if (left === 0 || returnTo.length === 0) return;
    const seats = returnTo.map((seat) => ({ ...seat, cost: left }));
    const refund = this.#context.refund(key, { verb: VERBS.refund, seats, extraUs: 0 });
    this.#refunds.add(refund);
    void refund.finally(() => this.#refunds.delete(refund));
  }

  /** One timer for all leases; it keeps no process alive. */
  #watch(): void {
    const next = this.#leases.values().next().value;
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
    for (const lease of this.#leases.values()) {
      if (lease.endsAtMs > nowMs) return;
      this.#end(lease);
    }
  }
}

function take(lease: Lease, cost: number, nowMs: number): Answer {
  lease.left -= cost;
  return new LeaseAnswer(lease.answer as Answer, cost, lease.left, nowMs - lease.answeredAtMs);
}

function isSame(a: StoreSeat, b: StoreSeat): boolean {
  return a.space === b.space && a.id === b.id;
}

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
import type { Answer, Done, SeatAnswer, Store, StoreCall, StoreSeat } from "../stores/store.js";
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

/** A debit under way. */
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
  /** Set when the lease is over: the seats that units which are still to come go back to. */
  returnTo: readonly StoreSeat[] | undefined;
}

/** Keys leased at once: a flood of keys must neither fill the memory nor hoard quota. */
const MOST_LEASES = 10_000;
const LONGEST_TTL_US = 3600e6;

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
  readonly #debits = new Set<Debit>();
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
      this.#context.store.submit(call, done);
      return;
    }
    const { debit } = lease;
    if (debit === undefined) this.#serve(lease, { call, done });
    else if (monotonicMs() - debit.sentAtMs < this.#context.timeoutMs) {
      debit.waiting.push({ call, done });
    } else {
      // Too late for those who waited for it. If it still comes, it serves those who come later.
      debit.call.abandoned = true;
      this.#context.store.submit(call, done);
    }
  }

  /**
   * `call` is about to be sent: a verb that adjusts the key. What is here goes back before, unless the
   * verb makes the store forget that it was taken.
   */
  drop(key: string, { verb, seats }: StoreCall): void {
    const lease = this.#leases.get(key);
    if (lease === undefined) return;
    const others = lease.seats.filter((seat) => !seats.some((other) => isSame(seat, other)));
    if (others.length === lease.seats.length) return;
    this.#end(lease, verb === VERBS.reset ? others : lease.seats);
  }

  /** Gives everything back, and waits until that is done or the deadline has passed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const debits = [...this.#debits];
    for (const lease of this.#leases.values()) this.#end(lease, lease.seats);
    if (debits.length > 0) {
      const landed = debits.map((debit) => new Promise<void>((land) => (debit.landed = land)));
      const late = new AbortController();
      await Promise.race([
        Promise.all(landed),
        systemClock.sleep(this.#context.timeoutMs, late.signal).catch(() => {}),
      ]);
      late.abort();
    }
    await Promise.all(this.#refunds);
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
      this.#end(known, known.seats);
    }
    if (this.#leases.size >= MOST_LEASES) {
      const oldest = this.#leases.values().next().value as Lease;
      if (oldest.debit !== undefined) return undefined;
      this.#end(oldest, oldest.seats);
    }
    return {
      key,
      seats: call.seats,
      left: 0,
      endsAtMs: 0,
      debit: undefined,
      answer: undefined,
      answeredAtMs: 0,
      returnTo: undefined,
    };
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
    this.#debits.add(debit);
    this.#watch();
    this.#context.store.submit(call, (outcome) => {
      this.#land(lease, debit, outcome);
    });
  }

  #land(lease: Lease, debit: Debit, outcome: Answer | Error): void {
    lease.debit = undefined;
    this.#debits.delete(debit);
    if (outcome instanceof Error) {
      for (const { done } of debit.waiting) done(outcome);
    } else {
      lease.answer = outcome;
      lease.answeredAtMs = monotonicMs();
      lease.left += outcome.granted;
      this.#spread(lease, debit, outcome);
    }
    if (lease.returnTo !== undefined) this.#end(lease, lease.returnTo);
    else if (lease.left === 0) this.#leases.delete(lease.key);
    debit.landed();
  }

  /** Serves those who waited for a debit, in order. */
  #spread(lease: Lease, { waiting }: Debit, answer: Answer): void {
    for (const [i, { call, done }] of waiting.entries()) {
      if (call.abandoned === true) continue;
      const { cost } = call.seats[0] as StoreSeat;
      if (cost <= lease.left) done(take(lease, cost, lease.answeredAtMs));
      // Not even one unit: for who asked for one, and asked first, that is the store's own denial.
      else if (i === 0 && answer.granted === 0 && cost === UNIT) done(answer);
      else this.#context.store.submit(call, done);
    }
  }

  /** Ends a lease: what is left, and what is still to come, goes back to these seats. */
  #end(lease: Lease, returnTo: readonly StoreSeat[]): void {
    const { key, left } = lease;
    if (this.#leases.get(key) === lease) this.#leases.delete(key);
    lease.returnTo = returnTo;
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
      const { debit } = lease;
      // What comes so late is lost, as with any call without an answer: meanwhile the key may have been reset.
      if (debit !== undefined) this.#debits.delete(debit);
      this.#end(lease, debit === undefined ? lease.seats : []);
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

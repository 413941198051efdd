/**
 * Waiting in line by its definition: exact fractions, and a list of who stands in line in place of a counter.
 * Shares nothing with src. Amounts are thousandths, times µs; schedule times are kept times `limit`, so that
 * they are whole. Clocks do not go back here.
 */

const bigMax = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** Someone who was admitted while somebody waited. */
interface Standing {
  readonly amount: bigint;
}

export interface ModelBooking {
  readonly readyAt: bigint;
  readonly amount: bigint;
  readonly standing: Standing | undefined;
}

/** One bucket: `limit` comes back each `period`, up to `capacity`. */
export class LineModel {
  /** When all that was taken and promised will have drained, times limit. */
  #tat = 0n;
  /** Who was admitted since somebody began to wait, in order; the last may leave again. */
  #line: Standing[] = [];
  #endsAt = -1n;

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
    readonly isQueue: boolean,
  ) {}

  /** Undefined: refused, because it can never fit, the queue is full, or the wait would be longer than `maxWait`. */
  reserve(now: bigint, amount: bigint, maxWait: bigint): ModelBooking | undefined {
    this.#pass(now);
    const free = this.#freeAt(now);
    if (amount > this.capacity) return undefined;
    if (this.isQueue && amount * this.period > free) return undefined;
    const missing = this.isQueue ? this.#tat - now * this.limit : amount * this.period - free;
    const wait = missing > 0n ? (missing + this.limit - 1n) / this.limit : 0n;
    if (wait > maxWait) return undefined;
    const readyAt = now + wait;
    if (amount === 0n) return { readyAt, amount, standing: undefined };
    // A start is a whole µs, and the schedule goes on from it.
    const level = this.isQueue ? amount : this.capacity;
    if (wait > 0n) this.#tat = readyAt * this.limit + level * this.period;
    else this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
    const standing = wait > 0n || this.#line.length > 0 ? { amount } : undefined;
    if (standing !== undefined) this.#line.push(standing);
    if (standing !== undefined) this.#endsAt = bigMax(this.#endsAt, readyAt);
    return { readyAt, amount, standing };
  }

  consume(now: bigint, amount: bigint): boolean {
    this.#pass(now);
    if (amount > this.capacity || amount * this.period > this.#freeAt(now)) return false;
    if (amount === 0n) return true;
    this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
    if (this.#line.length > 0) this.#line.push({ amount });
    return true;
  }

  /** What it gave back. */
  cancel(now: bigint, { readyAt, amount, standing }: ModelBooking): bigint {
    this.#pass(now);
    if (readyAt < now) return 0n;
    // Who did not wait stands before all who began to in this same µs.
    const place = standing === undefined ? -1 : this.#line.indexOf(standing);
    if (standing !== undefined && place < 0) return 0n;
    const later = this.#line.slice(place + 1).reduce((sum, each) => sum + each.amount, 0n);
    let back = bigMax(0n, amount - later);
    if (this.isQueue && later > 0n) back = 0n;
    if (later === 0n && standing !== undefined) {
      this.#line.pop();
    }
    this.#tat = bigMax(now * this.limit, this.#tat - back * this.period);
    return back;
  }

  /** What it gave back, at most: nothing while anybody waits. */
  refund(now: bigint, amount: bigint): void {
    this.#pass(now);
    if (this.#line.length === 0) this.#tat -= amount * this.period;
  }

  penalize(now: bigint, amount: bigint): void {
    this.#pass(now);
    this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
  }

  reset(): void {
    this.#tat = 0n;
    this.#line = [];
  }

  /** Whole thousandths that are free. */
  room(now: bigint): bigint {
    const free = this.#freeAt(now);
    return free >= 0n ? free / this.period : -((-free + this.period - 1n) / this.period);
  }

  #freeAt(now: bigint): bigint {
    return this.capacity * this.period - bigMax(0n, this.#tat - now * this.limit);
  }

  #pass(now: bigint): void {
    if (this.#line.length > 0 && this.#endsAt < now) this.#line = [];
    if (this.#line.length === 0) this.#endsAt = -1n;
  }
}

/**
 * The rule as schedules tell it, without refunds and penalties: `tat`, and `sold`, the schedule's end with
 * what was cancelled in it; after golang.org/x/time/rate, where `sold` is lastEvent.
 */
export class ScheduleModel {
  #tat = 0n;
  #sold = 0n;

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
  ) {}

  reserve(now: bigint, amount: bigint): { readyAt: bigint; amount: bigint; mySold: bigint } {
    const end = bigMax(this.#tat, now * this.limit) + amount * this.period;
    const ahead = end - this.capacity * this.period - now * this.limit;
    const readyAt = ahead > 0n ? now + (ahead + this.limit - 1n) / this.limit : now;
    this.#tat = readyAt > now ? readyAt * this.limit + this.capacity * this.period : end;
    this.#sold = bigMax(this.#sold, now * this.limit) + amount * this.period;
    return { readyAt, amount, mySold: this.#sold };
  }

  cancel(now: bigint, booking: { readyAt: bigint; amount: bigint; mySold: bigint }): void {
    if (booking.readyAt < now) return;
    const later = this.#sold - booking.mySold;
    const back = bigMax(0n, booking.amount * this.period - later);
    this.#tat = bigMax(now * this.limit, this.#tat - back);
    if (later === 0n) this.#sold -= booking.amount * this.period;
  }
}

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
  readonly reason: Standing | undefined;
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
    const wait = this.wait(now, amount);
    if (wait === undefined || wait > maxWait) return undefined;
    const readyAt = now + wait;
    return { readyAt, amount, reason: this.enter(now, amount, wait, readyAt) };
  }

  /** Whole µs until the amount fits; undefined where it cannot wait. */
  wait(now: bigint, amount: bigint): bigint | undefined {
    this.#pass(now);
    const free = this.#freeAt(now);
    if (amount > this.capacity) return undefined;
    if (this.isQueue && amount * this.period > free) return undefined;
    const missing = this.isQueue ? this.#tat - now * this.limit : amount * this.period - free;
    return missing > 0n ? (missing + this.limit - 1n) / this.limit : 0n;
  }

  /** Takes the amount for this bucket's own `wait` from now, for a call that starts at `readyAt`. */
  enter(now: bigint, amount: bigint, wait: bigint, readyAt: bigint): Standing | undefined {
    if (amount === 0n) return undefined;
    // A start is a whole µs, and the schedule goes on from it.
    const level = this.isQueue ? amount : this.capacity;
    if (wait > 0n) this.#tat = (now + wait) * this.limit + level * this.period;
    else this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
    if (readyAt === now && this.#line.length === 0) return undefined;
    const reason = { amount };
    this.#line.push(reason);
    this.#endsAt = bigMax(this.#endsAt, readyAt);
    return reason;
  }

  /** What was admitted behind someone; undefined where the line knows nothing of them any more. */
  behind(now: bigint, reason: Standing | undefined): bigint | undefined {
    this.#pass(now);
    // Who did not wait stands before all who began to in this same µs.
    const place = reason === undefined ? -1 : this.#line.indexOf(reason);
    if (reason !== undefined && place < 0) return undefined;
    return this.#line.slice(place + 1).reduce((sum, each) => sum + each.amount, 0n);
  }

  /** Gives back, and out of the line goes who stood at its end. */
  leave(now: bigint, reason: Standing | undefined, back: bigint): void {
    if (reason !== undefined && this.#line.at(-1) === reason) this.#line.pop();
    this.#tat = bigMax(now * this.limit, this.#tat - back * this.period);
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
  cancel(now: bigint, { readyAt, amount, reason }: ModelBooking): bigint {
    const later = this.behind(now, reason);
    if (readyAt < now || later === undefined) return 0n;
    const back = this.isQueue && later > 0n ? 0n : bigMax(0n, amount - later);
    this.leave(now, reason, back);
    return back;
  }

  /** What it gave back, at most: nothing while anybody waits. */
  refund(now: bigint, amount: bigint): void {
    if (!this.hasLine(now)) this.#tat -= amount * this.period;
  }

  hasLine(now: bigint): boolean {
    this.#pass(now);
    return this.#line.length > 0;
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

export interface SetBooking {
  readonly readyAt: bigint;
  readonly amount: bigint;
  readonly reasons: readonly (Standing | undefined)[];
}

/** Some buckets that one call charges together; other calls may charge some of them with others, or alone. */
export class SetModel {
  constructor(readonly buckets: readonly LineModel[]) {}

  reserve(now: bigint, amount: bigint, maxWait: bigint): SetBooking | undefined {
    const waits = this.buckets.map((bucket) => bucket.wait(now, amount));
    if (!waits.every((wait) => wait !== undefined)) return undefined;
    const wait = waits.reduce(bigMax, 0n);
    if (wait > maxWait) return undefined;
    const readyAt = now + wait;
    const reasons = this.buckets.map((bucket, i) =>
      bucket.enter(now, amount, waits[i] as bigint, readyAt),
    );
    return { readyAt, amount, reasons };
  }

  /** The most that may come back: of several buckets all or nothing, and nothing that anybody behind holds. */
  mayGiveBack(now: bigint, { readyAt, amount, reasons }: SetBooking): bigint {
    if (readyAt < now) return 0n;
    const behind = this.buckets.map((bucket, i) => bucket.behind(now, reasons[i]));
    if (!behind.every((later) => later !== undefined)) return 0n;
    const later = behind.reduce(bigMax, 0n);
    return later > 0n && this.buckets.length > 1 ? 0n : bigMax(0n, amount - later);
  }

  leave(now: bigint, { reasons }: SetBooking, back: bigint): void {
    for (const [i, bucket] of this.buckets.entries()) bucket.leave(now, reasons[i], back);
  }

  consume(now: bigint, amount: bigint): boolean {
    const fits = this.buckets.every((bucket) => bucket.wait(now, amount) === 0n);
    return fits && this.buckets.every((bucket) => bucket.consume(now, amount));
  }

  refund(now: bigint, amount: bigint): void {
    if (this.buckets.some((bucket) => bucket.hasLine(now))) return;
    for (const bucket of this.buckets) bucket.refund(now, amount);
  }

  penalize(now: bigint, amount: bigint): void {
    for (const bucket of this.buckets) bucket.penalize(now, amount);
  }

  reset(): void {
    for (const bucket of this.buckets) bucket.reset();
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

  cancel(now: bigint, receipt: { readyAt: bigint; amount: bigint; mySold: bigint }): void {
    if (receipt.readyAt < now) return;
    const later = this.#sold - receipt.mySold;
    const back = bigMax(0n, receipt.amount * this.period - later);
    this.#tat = bigMax(now * this.limit, this.#tat - back);
    if (later === 0n) this.#sold -= receipt.amount * this.period;
  }
}

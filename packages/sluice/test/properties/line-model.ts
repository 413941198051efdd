/**
 * Waiting in line by its definition: exact fractions, and a list of who stands in line in place of a counter.
 * Shares nothing with src. Amounts are thousandths, times µs; schedule times are kept times `limit`, so that
 * they are whole. Clocks do not go back here.
 */

const bigMax = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const bigMin = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Someone who was admitted while somebody waited. */
interface Standing {
  readonly amount: bigint;
}

/** Where somebody stands. */
interface Spot {
  /** The line's. */
  readonly name: bigint;
  /** Undefined for who did not wait while nobody did. */
  readonly standing: Standing | undefined;
  /** Where the line ended before it. */
  readonly endedAt: bigint;
}

/** What a booking did to a bucket, so that the last in line can undo it. */
interface Place extends Spot {
  /** By how much it moved the schedule. */
  readonly took: bigint;
}

/**
 * Who was admitted since somebody began to wait, in order; the last may leave again. A line is called by the time at which
 * it opened. If that has not passed when a reset ends it, the next has a later name, and lasts at least until then.
 */
class Line {
  #standings: Standing[] = [];
  #name = -1n;
  #endsAt = -1n;

  /** The latest start that was promised; -1 = none. */
  get lastStart(): bigint {
    return this.#standings.length === 0 ? -1n : this.#endsAt;
  }

  get promised(): bigint {
    return this.#standings.reduce((sum, each) => sum + each.amount, 0n);
  }

  pass(now: bigint): void {
    if (this.#endsAt >= now) return;
    this.#standings = [];
    this.#endsAt = -1n;
  }

  enter(now: bigint, readyAt: bigint, amount: bigint): Spot {
    const endedAt = this.#endsAt;
    const isAlone = readyAt === now && this.#standings.length === 0;
    if (amount === 0n || isAlone) return { name: this.#nameAt(now), standing: undefined, endedAt };
    this.#name = this.#nameAt(now);
    const standing = { amount };
    this.#standings.push(standing);
    this.#endsAt = bigMax(this.#endsAt, readyAt);
    return { name: this.#name, standing, endedAt };
  }

  /** Who does not come back. */
  add(amount: bigint): void {
    if (this.#standings.length > 0 && amount > 0n) this.#standings.push({ amount });
  }

  /** What was admitted behind someone: all for who never stood in it. Undefined where the line does not know them. */
  behind(now: bigint, { name, standing }: Spot): bigint | undefined {
    const place = standing === undefined ? -1 : this.#standings.indexOf(standing);
    if (name !== this.#nameAt(now) || (standing !== undefined && place < 0)) return undefined;
    return this.#standings.slice(place + 1).reduce((sum, each) => sum + each.amount, 0n);
  }

  /** Whether nobody stands behind; if so, who did stand in it does no more. */
  leave({ standing, endedAt }: Spot): boolean {
    if (this.#standings.at(-1) !== standing) return false;
    if (standing === undefined) return true;
    this.#standings.pop();
    this.#endsAt = endedAt;
    return true;
  }

  reset(now: bigint): void {
    this.pass(now);
    const isTaken = this.#endsAt >= 0n && this.#name >= now;
    if (isTaken) this.#name += 1n;
    this.#endsAt = isTaken ? this.#name : -1n;
    this.#standings = [];
  }

  /** That of the line, or of one that opens now. */
  #nameAt(now: bigint): bigint {
    return this.#endsAt < 0n ? now : this.#name;
  }
}

export interface ModelBooking {
  readonly readyAt: bigint;
  readonly amount: bigint;
  readonly place: Place;
}

/** What a property asks of a bucket. */
export interface BucketModel {
  reserve(now: bigint, amount: bigint, maxWait: bigint): ModelBooking | undefined;
  cancel(now: bigint, booking: ModelBooking): bigint;
  consume(now: bigint, amount: bigint): boolean;
  refund(now: bigint, amount: bigint): bigint;
  penalize(now: bigint, amount: bigint): void;
  reset(now: bigint): void;
  room(now: bigint): bigint;
}

/** One bucket: `limit` comes back each `period`, up to `capacity`. */
export class LineModel implements BucketModel {
  /** When all that was taken and promised will have drained, times limit. */
  #tat = 0n;
  readonly #line = new Line();

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
    return { readyAt, amount, place: this.enter(now, amount, wait, readyAt) };
  }

  /** Whole µs until the amount fits; undefined where it cannot wait. */
  wait(now: bigint, amount: bigint): bigint | undefined {
    this.#line.pass(now);
    const free = this.#freeAt(now);
    if (amount > this.capacity) return undefined;
    if (this.isQueue && amount * this.period > free) return undefined;
    const missing = this.isQueue ? this.#tat - now * this.limit : amount * this.period - free;
    return missing > 0n ? (missing + this.limit - 1n) / this.limit : 0n;
  }

  /** Takes the amount for this bucket's own `wait` from now, for a call that starts at `readyAt`. */
  enter(now: bigint, amount: bigint, wait: bigint, readyAt: bigint): Place {
    const { lastStart } = this.#line;
    const spot = this.#line.enter(now, readyAt, amount);
    if (amount === 0n) return { ...spot, took: 0n };
    const before = bigMax(this.#tat, now * this.limit);
    // A start is a whole µs, and the schedule goes on from it.
    const level = this.isQueue ? amount : this.capacity;
    if (wait > 0n) this.#tat = (now + wait) * this.limit + level * this.period;
    else this.#tat = before + amount * this.period;
    // Who starts before another stands in nobody's way, and keeps its fraction of a µs.
    const took = readyAt > lastStart ? this.#tat - before : amount * this.period;
    return { ...spot, took };
  }

  /** What was admitted behind someone; undefined where the line knows nothing of them any more. */
  behind(now: bigint, place: Place): bigint | undefined {
    this.#line.pass(now);
    return this.#line.behind(now, place);
  }

  /** Gives back: the last of the line all that it took, as if it had never come, anyone else `back`. */
  leave(now: bigint, place: Place, back: bigint): void {
    const isLast = this.#line.leave(place);
    const freed = isLast && back > 0n ? place.took : back * this.period;
    this.#tat = bigMax(now * this.limit, this.#tat - freed);
  }

  consume(now: bigint, amount: bigint): boolean {
    this.#line.pass(now);
    if (amount > this.capacity || amount * this.period > this.#freeAt(now)) return false;
    if (amount === 0n) return true;
    this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
    this.#line.add(amount);
    return true;
  }

  /** What it gave back. */
  cancel(now: bigint, { readyAt, amount, place }: ModelBooking): bigint {
    const later = this.behind(now, place);
    if (readyAt < now || later === undefined) return 0n;
    const back = this.isQueue && later > 0n ? 0n : bigMax(0n, amount - later);
    this.leave(now, place, back);
    return back;
  }

  /** What came back: at most what is in use behind the last start, and is not those in line's. */
  refund(now: bigint, amount: bigint): bigint {
    return this.giveBack(now, bigMin(amount, this.refundable(now)));
  }

  refundable(now: bigint): bigint {
    this.#line.pass(now);
    const { lastStart, promised } = this.#line;
    if (lastStart < 0n) return 1n << 60n;
    const left = this.#tat - lastStart * this.limit;
    return bigMax(0n, (left < 0n ? 0n : left / this.period) - promised);
  }

  giveBack(now: bigint, amount: bigint): bigint {
    const before = this.room(now);
    this.#tat -= amount * this.period;
    return this.room(now) - before;
  }

  penalize(now: bigint, amount: bigint): void {
    this.#line.pass(now);
    this.#tat = bigMax(this.#tat, now * this.limit) + amount * this.period;
  }

  reset(now: bigint): void {
    this.#tat = 0n;
    this.#line.reset(now);
  }

  /** Whole thousandths that are free. */
  room(now: bigint): bigint {
    const free = this.#freeAt(now);
    return free >= 0n ? free / this.period : -((-free + this.period - 1n) / this.period);
  }

  #freeAt(now: bigint): bigint {
    return this.capacity * this.period - bigMax(0n, this.#tat - now * this.limit);
  }
}

/** One bucket that gets all of `limit` at the end of each period: as `LineModel`, but refill by refill. */
export class IntervalModel implements BucketModel {
  /** What will be in use once all the refills up to a moment have come, if nobody else does. */
  #used = 0n;
  #refilledAt = 0n;
  readonly #line = new Line();

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
  ) {}

  reserve(now: bigint, amount: bigint, maxWait: bigint): ModelBooking | undefined {
    this.#pass(now);
    if (amount > this.capacity) return undefined;
    let [left, readyAt] = [this.#used, now];
    for (let at = this.#refilledAt; left + amount > this.capacity; ) {
      at += this.period;
      left -= this.limit;
      readyAt = at;
    }
    if (readyAt - now > maxWait) return undefined;
    // An empty bucket is not refilled any more: what it would have got is lost.
    const took = readyAt > now && left < 0n ? amount - left : amount;
    if (amount > 0n) this.#used += took;
    const spot = this.#line.enter(now, readyAt, amount);
    return { readyAt, amount, place: { ...spot, took } };
  }

  cancel(now: bigint, { readyAt, amount, place }: ModelBooking): bigint {
    this.#pass(now);
    const later = this.#line.behind(now, place);
    if (readyAt < now || later === undefined || amount === 0n) return 0n;
    if (later === 0n) {
      this.#free(place.took);
      this.#line.leave(place);
      return amount;
    }
    const back = bigMax(0n, bigMin(amount, this.#left(this.#line.lastStart)) - later);
    this.#free(back);
    return back;
  }

  consume(now: bigint, amount: bigint): boolean {
    this.#pass(now);
    if (amount > this.room(now)) return false;
    this.#used += amount;
    this.#line.add(amount);
    return true;
  }

  refund(now: bigint, amount: bigint): bigint {
    this.#pass(now);
    const before = this.#used;
    const { lastStart, promised } = this.#line;
    const most = lastStart < 0n ? amount : this.#left(lastStart) - promised;
    this.#free(bigMax(0n, bigMin(amount, most)));
    return before - this.#used;
  }

  penalize(now: bigint, amount: bigint): void {
    this.#pass(now);
    this.#used += amount;
  }

  reset(now: bigint): void {
    this.#used = 0n;
    this.#line.reset(now);
  }

  room(now: bigint): bigint {
    this.#pass(now);
    return this.capacity - this.#used;
  }

  #left(at: bigint): bigint {
    let left = this.#used;
    for (let refill = this.#refilledAt + this.period; refill <= at; refill += this.period) {
      left -= this.limit;
    }
    return left;
  }

  #free(amount: bigint): void {
    this.#used = bigMax(0n, this.#used - amount);
  }

  #pass(now: bigint): void {
    while (this.#used > 0n && this.#refilledAt + this.period <= now) {
      this.#free(this.limit);
      this.#refilledAt += this.period;
    }
    if (this.#used === 0n) this.#refilledAt = now;
    this.#line.pass(now);
  }
}

export interface SetBooking {
  readonly readyAt: bigint;
  readonly amount: bigint;
  readonly places: readonly Place[];
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
    const places = this.buckets.map((bucket, i) =>
      bucket.enter(now, amount, waits[i] as bigint, readyAt),
    );
    return { readyAt, amount, places };
  }

  /** The most that may come back: of several buckets all or nothing, and nothing that anybody behind holds. */
  mayGiveBack(now: bigint, { readyAt, amount, places }: SetBooking): bigint {
    if (readyAt < now) return 0n;
    const behind = this.buckets.map((bucket, i) => bucket.behind(now, places[i] as Place));
    if (!behind.every((later) => later !== undefined)) return 0n;
    const later = behind.reduce(bigMax, 0n);
    return later > 0n && this.buckets.length > 1 ? 0n : bigMax(0n, amount - later);
  }

  leave(now: bigint, { places }: SetBooking, back: bigint): void {
    for (const [i, bucket] of this.buckets.entries()) bucket.leave(now, places[i] as Place, back);
  }

  consume(now: bigint, amount: bigint): boolean {
    const fits = this.buckets.every((bucket) => bucket.wait(now, amount) === 0n);
    return fits && this.buckets.every((bucket) => bucket.consume(now, amount));
  }

  /** What came back in every bucket. */
  refund(now: bigint, amount: bigint): bigint {
    const most = this.buckets.map((bucket) => bucket.refundable(now)).reduce(bigMin, amount);
    return this.buckets.map((bucket) => bucket.giveBack(now, most)).reduce(bigMin, amount);
  }

  penalize(now: bigint, amount: bigint): void {
    for (const bucket of this.buckets) bucket.penalize(now, amount);
  }

  reset(now: bigint): void {
    for (const bucket of this.buckets) bucket.reset(now);
  }
}

/**
 * The rule as schedules tell it, without refunds and penalties: `tat`, and `sold`, the schedule's end with
 * what was cancelled in it; after golang.org/x/time/rate, where `sold` is lastEvent.
 */
export class ScheduleModel {
  #tat = 0n;
  #sold = 0n;
  #endsAt = -1n;

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
  ) {}

  reserve(now: bigint, amount: bigint): ScheduledBooking {
    const endedAt = this.#endsAt;
    const before = bigMax(this.#tat, now * this.limit);
    const end = before + amount * this.period;
    const ahead = end - this.capacity * this.period - now * this.limit;
    const readyAt = ahead > 0n ? now + (ahead + this.limit - 1n) / this.limit : now;
    this.#tat = readyAt > now ? readyAt * this.limit + this.capacity * this.period : end;
    this.#sold = bigMax(this.#sold, now * this.limit) + amount * this.period;
    const took = readyAt > endedAt ? this.#tat - before : amount * this.period;
    if (readyAt > now) this.#endsAt = bigMax(endedAt, readyAt);
    return { readyAt, amount, mySold: this.#sold, took, endedAt };
  }

  cancel(now: bigint, { readyAt, amount, mySold, took, endedAt }: ScheduledBooking): void {
    if (readyAt < now) return;
    const later = this.#sold - mySold;
    const back = later === 0n ? took : bigMax(0n, amount * this.period - later);
    this.#tat = bigMax(now * this.limit, this.#tat - back);
    if (later !== 0n) return;
    this.#sold -= amount * this.period;
    this.#endsAt = endedAt;
  }
}

/** What it took of the schedule, its fraction of a µs included, and where the promises ended before it. */
export interface ScheduledBooking {
  readonly readyAt: bigint;
  readonly amount: bigint;
  readonly mySold: bigint;
  readonly took: bigint;
  readonly endedAt: bigint;
}

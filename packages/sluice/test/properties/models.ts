/**
 * Plain models of the algorithms to hold the kernels against: exact fractions and lists, no cleverness, nothing
 * shared with src. Amounts are thousandths and times µs, all BigInt.
 */

export type ModelVerb = "consume" | "consumeUpTo" | "peek" | "refund" | "penalize" | "reset";

/** What a model says of a call. */
export interface Expected {
  readonly allowed: boolean;
  readonly reason: "ok" | "quota" | "too-costly";
  readonly remaining: number;
  readonly retryAfterMs: number;
  readonly resetAfterMs: number;
  readonly decidedAtUs: number;
  readonly granted?: number;
}

/** How much of one policy is used on one key. */
export interface Usage {
  readonly capacity: bigint;
  /** Brings it to `now`, which never goes back. */
  advance(now: bigint): void;
  /** Whether `amount` fits at `at`, a time not before now, if nothing else happens. */
  fits(amount: bigint, at: bigint): boolean;
  /** Adds an amount, past the capacity too. */
  add(amount: bigint): void;
  /** Gives back, never above full. */
  giveBack(amount: bigint): void;
  /** No wait is longer than this. */
  longest(): bigint;
  copy(): Usage;
}

const UNIT = 1000n;

const ceilMs = (us: bigint): number => Number((us + 999n) / 1000n);

/** The least `at` in [low, high] for which `holds`, which is false and then true. */
function first(low: bigint, high: bigint, holds: (at: bigint) => boolean): bigint {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = (from + to) / 2n;
    if (holds(middle)) to = middle;
    else from = middle + 1n;
  }
  return from;
}

/** The verbs over any usage: what the limiter's answers must be. */
export class Model {
  readonly #fresh: () => Usage;
  #usage: Usage;
  #lastUs = 0n;

  constructor(fresh: () => Usage) {
    this.#fresh = fresh;
    this.#usage = fresh();
  }

  ask(verb: ModelVerb, cost: bigint, rawUs: number): Expected {
    const raw = BigInt(rawUs);
    const now = raw > this.#lastUs ? raw : this.#lastUs;
    const usage = verb === "reset" ? this.#fresh() : this.#usage.copy();
    usage.advance(now);
    const asked = { consume: cost, peek: cost, consumeUpTo: UNIT }[verb as string] ?? 0n;
    if (verb === "refund") usage.giveBack(cost);
    if (verb === "penalize") usage.add(cost);
    const tooCostly = asked > usage.capacity;
    const allowed = !tooCostly && usage.fits(asked, now);
    let granted = 0n;
    if (allowed && verb === "consume") granted = cost;
    if (allowed && verb === "consumeUpTo") {
      const most = mostOf(usage, now) / UNIT;
      granted = least(most, cost / UNIT) * UNIT;
    }
    if (granted > 0n) usage.add(granted);
    const answer = answerOf(usage, allowed, tooCostly, asked, now, raw);
    const adjusts = cost > 0n && (verb === "refund" || verb === "penalize");
    // What only asked leaves everything as it was, the time of the last change included.
    if (granted > 0n || adjusts || verb === "reset") {
      // Full is the same as never seen.
      const isFull = answer.resetAfterMs === 0;
      this.#usage = isFull ? this.#fresh() : usage;
      this.#lastUs = isFull ? 0n : now;
    }
    return verb === "consumeUpTo" ? { ...answer, granted: Number(granted / UNIT) } : answer;
  }
}

function answerOf(
  usage: Usage,
  allowed: boolean,
  tooCostly: boolean,
  asked: bigint,
  now: bigint,
  raw: bigint,
): Expected {
  const latest = now + usage.longest();
  const untilFits = (amount: bigint): number => {
    const at = first(now, latest, (time) => usage.fits(amount, time));
    return at === now ? 0 : ceilMs(at - raw);
  };
  return {
    allowed,
    reason: tooCostly ? "too-costly" : allowed ? "ok" : "quota",
    remaining: Number(mostOf(usage, now) / UNIT),
    retryAfterMs: tooCostly ? Number.POSITIVE_INFINITY : allowed ? 0 : untilFits(asked),
    resetAfterMs: untilFits(usage.capacity),
    decidedAtUs: Number(now),
  };
}

/** The most that fits at `now`: 0 in debt. */
function mostOf(usage: Usage, now: bigint): bigint {
  const tooMuch = first(0n, usage.capacity + 1n, (amount) => !usage.fits(amount, now));
  return tooMuch === 0n ? 0n : tooMuch - 1n;
}

const CENTURY_US = 36_525n * 86_400_000_000n;

/** Where a debt saturates: at what comes back in a hundred years, and at 2^45 thousandths in any case. */
function centuryOf(limit: bigint, period: bigint): bigint {
  return least((CENTURY_US * limit) / period, 2n ** 45n);
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** A bucket as the fraction level/period that is in use; `limit` drains each `period`. */
export class RationalBucket implements Usage {
  #level = 0n;
  #now = 0n;

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
  ) {}

  copy(): RationalBucket {
    const copy = new RationalBucket(this.limit, this.period, this.capacity);
    copy.#level = this.#level;
    copy.#now = this.#now;
    return copy;
  }

  advance(now: bigint): void {
    this.#level = this.#levelAt(now);
    this.#now = now;
  }

  fits(amount: bigint, at: bigint): boolean {
    return this.#levelAt(at) + amount * this.period <= this.capacity * this.period;
  }

  add(amount: bigint): void {
    const fraction = this.#level % this.period;
    const whole = this.#level / this.period + amount;
    this.#level = least(whole, centuryOf(this.limit, this.period)) * this.period + fraction;
  }

  giveBack(amount: bigint): void {
    this.#level = this.#level < amount * this.period ? 0n : this.#level - amount * this.period;
  }

  longest(): bigint {
    return this.#level / this.limit + 1n;
  }

  #levelAt(at: bigint): bigint {
    const left = this.#level - (at - this.#now) * this.limit;
    return left > 0n ? left : 0n;
  }
}

/** A bucket that gets `limit` back at the end of each period since it was last full. */
export class IntervalBucket implements Usage {
  #used = 0n;
  /** When the running period began. */
  #anchor = 0n;
  #now = 0n;

  constructor(
    readonly limit: bigint,
    readonly period: bigint,
    readonly capacity: bigint,
  ) {}

  copy(): IntervalBucket {
    const copy = new IntervalBucket(this.limit, this.period, this.capacity);
    copy.#used = this.#used;
    copy.#anchor = this.#anchor;
    copy.#now = this.#now;
    return copy;
  }

  advance(now: bigint): void {
    const periods = this.#used === 0n ? 0n : (now - this.#anchor) / this.period;
    this.#used = this.#usedAt(now);
    this.#anchor = this.#used === 0n ? now : this.#anchor + periods * this.period;
    this.#now = now;
  }

  fits(amount: bigint, at: bigint): boolean {
    return this.#usedAt(at) + amount <= this.capacity;
  }

  add(amount: bigint): void {
    if (this.#used === 0n) this.#anchor = this.#now;
    this.#used = least(this.#used + amount, centuryOf(this.limit, this.period));
  }

  giveBack(amount: bigint): void {
    this.#used = this.#used < amount ? 0n : this.#used - amount;
  }

  longest(): bigint {
    return (this.#used / this.limit + 1n) * this.period;
  }

  #usedAt(at: bigint): bigint {
    const left = this.#used - ((at - this.#anchor) / this.period) * this.limit;
    return left > 0n ? left : 0n;
  }
}

/** Every hit on its own, with what is left of it after refunds; each is gone a window later. */
export class HitList implements Usage {
  #hits: { readonly at: bigint; amount: bigint }[] = [];
  #now = 0n;

  constructor(
    readonly window: bigint,
    readonly capacity: bigint,
  ) {}

  copy(): HitList {
    const copy = new HitList(this.window, this.capacity);
    copy.#hits = this.#hits.map((hit) => ({ ...hit }));
    copy.#now = this.#now;
    return copy;
  }

  advance(now: bigint): void {
    this.#now = now;
    this.#hits = this.#hits.filter(({ at, amount }) => now < at + this.window && amount > 0n);
  }

  fits(amount: bigint, at: bigint): boolean {
    const inWindow = this.#hits.filter((hit) => at < hit.at + this.window);
    return inWindow.reduce((sum, hit) => sum + hit.amount, 0n) + amount <= this.capacity;
  }

  add(amount: bigint): void {
    this.#hits.push({ at: this.#now, amount });
  }

  giveBack(amount: bigint): void {
    let left = amount;
    for (const hit of this.#hits) {
      const given = left < hit.amount ? left : hit.amount;
      hit.amount -= given;
      left -= given;
    }
  }

  longest(): bigint {
    return this.window;
  }
}

/** Where the window of a time ends. */
export type WindowEnd = (at: bigint) => bigint;

/** One counter for the window that is open, thrown away at its end. */
export class OneCounter implements Usage {
  #count = 0n;
  #end = 0n;
  #now = 0n;

  constructor(
    readonly capacity: bigint,
    readonly endOf: WindowEnd,
  ) {}

  copy(): OneCounter {
    const copy = new OneCounter(this.capacity, this.endOf);
    copy.#count = this.#count;
    copy.#end = this.#end;
    copy.#now = this.#now;
    return copy;
  }

  advance(now: bigint): void {
    if (now >= this.#end) this.#count = 0n;
    this.#now = now;
  }

  fits(amount: bigint, at: bigint): boolean {
    return (at < this.#end ? this.#count : 0n) + amount <= this.capacity;
  }

  add(amount: bigint): void {
    if (this.#count === 0n) this.#end = this.endOf(this.#now);
    this.#count += amount;
  }

  giveBack(amount: bigint): void {
    this.#count = this.#count < amount ? 0n : this.#count - amount;
  }

  longest(): bigint {
    return this.#end > this.#now ? this.#end - this.#now : 0n;
  }
}

/** A counter for every window there ever was; the last one counts by what of it the last length overlaps. */
export class WeightedCounters implements Usage {
  #counts = new Map<bigint, bigint>();
  #now = 0n;

  constructor(
    readonly window: bigint,
    readonly capacity: bigint,
  ) {}

  copy(): WeightedCounters {
    const copy = new WeightedCounters(this.window, this.capacity);
    copy.#counts = new Map(this.#counts);
    copy.#now = this.#now;
    return copy;
  }

  advance(now: bigint): void {
    this.#now = now;
  }

  fits(amount: bigint, at: bigint): boolean {
    const index = at / this.window;
    const overlap = (index + 1n) * this.window - at;
    const weighted = this.#count(index - 1n) * overlap;
    return weighted + (this.#count(index) + amount) * this.window <= this.capacity * this.window;
  }

  add(amount: bigint): void {
    const index = this.#now / this.window;
    this.#counts.set(index, this.#count(index) + amount);
  }

  giveBack(amount: bigint): void {
    let left = amount;
    const running = this.#now / this.window;
    for (const index of [running, running - 1n]) {
      const count = this.#count(index);
      const given = left < count ? left : count;
      this.#counts.set(index, count - given);
      left -= given;
    }
  }

  longest(): bigint {
    return 2n * this.window;
  }

  #count(index: bigint): bigint {
    return this.#counts.get(index) ?? 0n;
  }
}

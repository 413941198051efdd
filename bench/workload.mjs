/** What every contender is asked: the same keys in the same order, under the same limit. */
import { inspect } from "node:util";

export const KEYS = 100_000;
/** Above what one key gets in a run, so that every call must be allowed: a denial is an error. */
export const LIMIT = 1000;
/** Longer than a measurement, so that no contender's keys expire during it: some keep them for seconds, some for all of it. */
export const PERIOD_MS = 3_600_000;

/** @typedef {{ limit: number, periodMs: number, policies: number }} Quota several policies are alike but for their names */

/** @type {Quota} */
export const USUAL = { limit: LIMIT, periodMs: PERIOD_MS, policies: 1 };
/** For few keys: more than all calls of a run together, and hardly any of it comes back. @type {Quota} */
export const AMPLE = { limit: 10_000_000, periodMs: 30 * 86_400_000, policies: 1 };
/** For keys that are to be denied: used up at once. @type {Quota} */
export const SCARCE = { limit: 5, periodMs: PERIOD_MS, policies: 1 };

/** What `remaining` says of a denied or degraded reply. */
export const DENIED = -1;

/** A power of two, so that the sequence is walked in a ring with a mask. */
const SEQUENCE = 2 ** 20;
const MASK = SEQUENCE - 1;

/** Keys as flat strings: concatenated ones would be flattened by the contender that uses them first. */
export function makeKeys(count = KEYS, name = "user") {
  return Array.from({ length: count }, (_, i) => Buffer.from(`${name}:${i}`).toString("latin1"));
}

/**
 * Uniformly random numbers of keys, as an endless ring; the same for the same seed.
 * @param {number} seed
 * @param {number} [keys] numbers below this
 */
export function makeSequence(seed, keys = KEYS) {
  const ring = new Uint32Array(SEQUENCE);
  let state = seed;
  for (let i = 0; i < SEQUENCE; i++) {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    ring[i] = Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * keys);
  }
  let at = 0;
  return () => /** @type {number} */ (ring[at++ & MASK]);
}

/** Part of the calls that may come out otherwise, as they do when the machine stalls past a deadline. */
const TOLERATED = 0.01;

/**
 * Checks replies against the number of calls that each key got. A window says exactly what is left; a bucket at least that,
 * and more by what has come back since.
 */
export class Ledger {
  /** @readonly */
  #calls;
  /** @readonly */
  #startMs = performance.now();
  /** @readonly */
  #refills;
  /** What a bucket may have got back; brought up to date when it does not suffice. */
  #refilled = 0;
  #checked = 0;
  #refused = 0;

  /** @readonly */
  #quota;

  /**
   * @param {import("./contenders/index.mjs").Algorithm} algorithm
   * @param {number} [keys]
   * @param {Quota} [quota]
   */
  constructor(algorithm, keys = KEYS, quota = USUAL) {
    this.#refills = algorithm === "token bucket";
    this.#calls = new Uint32Array(keys);
    this.#quota = quota;
  }

  /**
   * Notes one more call on a key; how many it has had.
   * @param {number} key
   */
  sent(key) {
    const calls = (this.#calls[key] ?? 0) + 1;
    this.#calls[key] = calls;
    return calls;
  }

  /**
   * @param {number} key
   * @param {number} calls what `sent` said before the call
   * @param {number | undefined} remaining undefined if the contender does not tell
   * @param {unknown} reply
   */
  check(key, calls, remaining, reply) {
    this.#checked += 1;
    const least = this.#quota.limit - calls;
    if (remaining === least || remaining === undefined) return;
    if (remaining === DENIED) this.#refused += 1;
    else if (!this.#mayRemain(least, remaining)) {
      throw new Error(
        `call ${calls} on key ${key} of limit ${this.#quota.limit} got ${inspect(reply)}`,
      );
    }
  }

  /**
   * More than the least, by what came back and by what refused calls did not take.
   * @param {number} least
   * @param {number} remaining
   */
  #mayRemain(least, remaining) {
    const { limit, periodMs } = this.#quota;
    if (!(remaining > least && remaining < limit)) return false;
    if (remaining <= least + this.#refilled + this.#refused) return true;
    if (this.#refills) {
      this.#refilled = Math.ceil(((performance.now() - this.#startMs) / periodMs) * limit) + 1;
    }
    return remaining <= least + this.#refilled + this.#refused;
  }

  /** Part of the calls that came out as they should; throws if that is too little to compare anything. */
  asExpected() {
    return partOf(this.#checked, this.#refused, "denied or degraded");
  }
}

/** Checks replies on keys that have nothing left: each is a denial. */
export class Denials {
  #checked = 0;
  #admitted = 0;

  sent() {
    return 0;
  }

  /**
   * @param {number} _key
   * @param {number} _calls
   * @param {number | undefined} remaining
   */
  check(_key, _calls, remaining) {
    this.#checked += 1;
    if (remaining !== DENIED) this.#admitted += 1;
  }

  /** Part of the calls that came out as they should; throws if that is too little to compare anything. */
  asExpected() {
    return partOf(this.#checked, this.#admitted, "admitted");
  }
}

/**
 * @param {number} all
 * @param {number} others
 * @param {string} what became of the others
 */
function partOf(all, others, what) {
  if (others > all * TOLERATED) throw new Error(`${others} of ${all} calls were ${what}`);
  return 1 - others / all;
}

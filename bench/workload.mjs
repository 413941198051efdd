/** What every contender is asked: the same keys in the same order, under the same limit. */
import { inspect } from "node:util";

export const KEYS = 100_000;
/** Above what one key gets in a run, so that every call must be allowed: a denial is an error. */
export const LIMIT = 1000;
/** Longer than a measurement, so that nobody's keys expire under it: some keep them for seconds, some for all of it. */
export const PERIOD_MS = 3_600_000;

/** What `remaining` says of a denied or degraded reply. */
export const DENIED = -1;

/** A power of two, so that the sequence is walked in a ring with a mask. */
const SEQUENCE = 2 ** 20;
const MASK = SEQUENCE - 1;

/** Keys as flat strings: concatenated ones would be flattened by whoever touches them first. */
export function makeKeys(count = KEYS) {
  return Array.from({ length: count }, (_, i) => Buffer.from(`user:${i}`).toString("latin1"));
}

/**
 * Uniformly random numbers of keys, as an endless ring; the same for the same seed.
 * @param {number} seed
 */
export function makeSequence(seed) {
  const ring = new Uint32Array(SEQUENCE);
  let state = seed;
  for (let i = 0; i < SEQUENCE; i++) {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    ring[i] = Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * KEYS);
  }
  let at = 0;
  return () => /** @type {number} */ (ring[at++ & MASK]);
}

/** Part of the calls that may be refused, as they are when the machine stalls past a deadline. */
const TOLERATED = 0.01;

/**
 * Checks replies against the number of calls that each key got. A window says exactly what is left;
 * a bucket at least that, and more by what came back meanwhile.
 */
export class Ledger {
  #calls = new Uint32Array(KEYS);
  /** @readonly */
  #startMs = performance.now();
  /** @readonly */
  #refills;
  /** What a bucket may have got back; brought up to date when it does not suffice. */
  #refilled = 0;
  #checked = 0;
  #refused = 0;

  /** @param {import("./contenders/index.mjs").Algorithm} algorithm */
  constructor(algorithm) {
    this.#refills = algorithm === "token bucket";
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
   * @param {number | undefined} remaining undefined where the contender does not tell
   * @param {unknown} reply
   */
  check(key, calls, remaining, reply) {
    this.#checked += 1;
    const least = LIMIT - calls;
    if (remaining === least || remaining === undefined) return;
    if (remaining === DENIED) this.#refused += 1;
    else if (!this.#mayRemain(least, remaining)) {
      throw new Error(`call ${calls} on key ${key} of limit ${LIMIT} got ${inspect(reply)}`);
    }
  }

  /**
   * More than the least, by what came back and by what refused calls did not take.
   * @param {number} least
   * @param {number} remaining
   */
  #mayRemain(least, remaining) {
    if (!(remaining > least && remaining < LIMIT)) return false;
    if (remaining <= least + this.#refilled + this.#refused) return true;
    if (this.#refills) {
      this.#refilled = Math.ceil(((performance.now() - this.#startMs) / PERIOD_MS) * LIMIT) + 1;
    }
    return remaining <= least + this.#refilled + this.#refused;
  }

  /** Part of the calls that were allowed; throws if that is too little to compare anything. */
  allowed() {
    if (this.#refused > this.#checked * TOLERATED) {
      throw new Error(`${this.#refused} of ${this.#checked} calls were denied or degraded`);
    }
    return 1 - this.#refused / this.#checked;
  }
}

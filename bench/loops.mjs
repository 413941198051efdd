/** The timed loops, and what every measurement needs around them. */
import { setImmediate as turn } from "node:timers/promises";
import { quantile } from "./statistics.mjs";

/** @typedef {import("./contenders/index.mjs").Session} Session */
/** @typedef {Pick<import("./workload.mjs").Ledger, "sent" | "check" | "asExpected">} Check */
/** A session at work. `next` says which key comes next. */
/** @typedef {{ session: Session, keys: readonly string[], ledger: Check, answersHere?: boolean }} Drive */
/** @typedef {() => number} Next */
/** @typedef {{ latenciesMs: readonly number[], elapsedMs: number }} Loop */

/** Who may answer from memory leaves the event loop no turn by himself; real calls come in from outside. */
const TURN_MS = 1;

/**
 * @template T
 * @param {Readonly<Record<string, () => Promise<T>>>} registry
 * @param {string} name
 */
export function load(registry, name) {
  const entry = registry[name];
  if (entry === undefined) throw new Error(`no contender ${name}`);
  return entry();
}

/**
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} count
 */
export async function runAwaited({ session, keys, ledger }, next, count) {
  for (let i = 0; i < count; i++) {
    const key = next();
    const calls = ledger.sent(key);
    const reply = await session.call(/** @type {string} */ (keys[key]));
    ledger.check(key, calls, session.remaining(reply), reply);
  }
}

/**
 * The same for who answers without a promise.
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} count
 */
export async function runSync({ session, keys, ledger }, next, count) {
  for (let i = 0; i < count; i++) {
    const key = next();
    const calls = ledger.sent(key);
    const reply = session.call(/** @type {string} */ (keys[key]));
    ledger.check(key, calls, session.remaining(reply), reply);
  }
}

/**
 * `workers` callers, each sending its next call when the last was answered.
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} workers
 * @param {(nowMs: number) => boolean} done
 * @returns {Promise<Loop>}
 */
export async function closedLoop(drive, next, workers, done) {
  const { session, keys, ledger, answersHere = false } = drive;
  /** @type {number[]} */
  const latenciesMs = [];
  const beganMs = performance.now();
  let turnedMs = beganMs;
  /** @type {Promise<void> | undefined} */
  let turning;
  const turned = async () => {
    await turn();
    turnedMs = performance.now();
    turning = undefined;
  };
  const work = async () => {
    let sentMs = performance.now();
    while (!done(sentMs)) {
      const key = next();
      const calls = ledger.sent(key);
      const reply = await session.call(/** @type {string} */ (keys[key]));
      const nowMs = performance.now();
      latenciesMs.push(nowMs - sentMs);
      ledger.check(key, calls, session.remaining(reply), reply);
      sentMs = nowMs;
      if (answersHere && nowMs - turnedMs > TURN_MS) {
        turning ??= turned();
        await turning;
        sentMs = performance.now();
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return { latenciesMs, elapsedMs: performance.now() - beganMs };
}

/** @param {number} ms */
export function timeUp(ms) {
  const endMs = performance.now() + ms;
  return (/** @type {number} */ nowMs) => nowMs >= endMs;
}

/** @param {number} calls of all callers together */
export function countUp(calls) {
  let begun = 0;
  return () => begun++ >= calls;
}

/** @param {readonly Loop[]} loops */
export function summary(loops) {
  const sorted = Float64Array.from(loops.flatMap(({ latenciesMs }) => latenciesMs)).sort();
  const elapsedMs = loops.reduce((sum, loop) => sum + loop.elapsedMs, 0);
  return {
    calls: sorted.length,
    callsPerSecond: (sorted.length / elapsedMs) * 1e3,
    p50Us: quantile(sorted, 0.5) * 1e3,
    p99Us: quantile(sorted, 0.99) * 1e3,
  };
}

/** Full collections until nothing more is found: garbage of the fill must not count in a measurement. */
export async function collect() {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await turn();
  }
}

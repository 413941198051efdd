/** The measurements, each of one contender, in a process of its own. */
import { setImmediate as turn } from "node:timers/promises";
import { openClient } from "./clients.mjs";
import { FLOOR, memoryContenders, redisContenders } from "./contenders/index.mjs";
import { quantile } from "./statistics.mjs";
import { KEYS, Ledger, makeKeys, makeSequence } from "./workload.mjs";

/** @typedef {import("./contenders/index.mjs").Session} Session */
/** A session at work. `next` says which key comes next. */
/** @typedef {{ session: Session, keys: readonly string[], ledger: Ledger }} Drive */
/** @typedef {() => number} Next */
/** @typedef {{ latenciesMs: readonly number[], elapsedMs: number }} Loop */
/**
 * @typedef {object} Load
 * @property {number} callsPerSecond
 * @property {number} p50Us
 * @property {number} p99Us
 * @property {number} [floorP50Us] of the floor in turns with this, where they took turns
 */

/** Calls between two looks at the clock. */
const STRIDE = 1024;
/** In flight while every key gets its first call. */
const FILL_IN_FLIGHT = 256;
/** Of a measurement's length, before it. */
const WARM_UP = 0.25;
/** Of lone calls after the fill: the server resizes its tables and collects its scripts' garbage by and by. */
const SETTLE_MS = 400;
/** Slices of a measurement that takes turns with the floor. */
const TURNS = 8;

/**
 * @template T
 * @param {Readonly<Record<string, () => Promise<T>>>} registry
 * @param {string} name
 */
function load(registry, name) {
  const entry = registry[name];
  if (entry === undefined) throw new Error(`no contender ${name}`);
  return entry();
}

/** Every key once, in order. */
function eachKey() {
  let key = 0;
  return () => key++ % KEYS;
}

/**
 * Calls one after another, on keys that have all been used before.
 * @param {{ contender: string, seed: number, ms: number }} job
 */
export async function memoryThroughput({ contender, seed, ms }) {
  const { algorithm, sync = false, open } = await load(memoryContenders, contender);
  const run = sync ? runSync : runAwaited;
  const drive = { session: open(), keys: makeKeys(), ledger: new Ledger(algorithm) };
  await run(drive, eachKey(), KEYS);
  await collect();
  const next = makeSequence(seed);
  await runFor(ms * WARM_UP);
  const callsPerSecond = await runFor(ms);
  await drive.session.close();
  return { callsPerSecond, allowed: drive.ledger.allowed() };

  /** @param {number} durationMs */
  async function runFor(durationMs) {
    const beganMs = performance.now();
    let calls = 0;
    let elapsedMs = 0;
    for (; elapsedMs < durationMs; elapsedMs = performance.now() - beganMs) {
      await run(drive, next, STRIDE);
      calls += STRIDE;
    }
    return (calls / elapsedMs) * 1e3;
  }
}

/**
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} count
 */
async function runSync({ session, keys, ledger }, next, count) {
  for (let i = 0; i < count; i++) {
    const key = next();
    const calls = ledger.sent(key);
    const reply = session.call(/** @type {string} */ (keys[key]));
    ledger.check(key, calls, session.remaining(reply), reply);
  }
}

/**
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} count
 */
async function runAwaited({ session, keys, ledger }, next, count) {
  for (let i = 0; i < count; i++) {
    const key = next();
    const calls = ledger.sent(key);
    const reply = await session.call(/** @type {string} */ (keys[key]));
    ledger.check(key, calls, session.remaining(reply), reply);
  }
}

/**
 * What 100,000 keys add to the heap and to buffers outside it, without the callers' own strings.
 * @param {{ contender: string }} job
 */
export async function heapPerKey({ contender }) {
  const { algorithm, sync = false, open } = await load(memoryContenders, contender);
  const run = sync ? runSync : runAwaited;
  const keys = makeKeys();
  /** @param {number} count */
  const use = async (count) => {
    const drive = { session: open(), keys, ledger: new Ledger(algorithm) };
    await run(drive, eachKey(), count);
    return drive;
  };
  // Code and feedback of the first calls are no state of a key. A function of its own, that nothing
  // of the rehearsal stays reachable.
  const rehearse = async () => {
    const { session } = await use(KEYS / 10);
    await session.close();
  };
  await rehearse();
  const before = await settledBytes();
  const { session, ledger } = await use(KEYS);
  const bytes = (await settledBytes()) - before;
  await session.close();
  return { bytesPerKey: bytes / KEYS, allowed: ledger.allowed() };
}

async function settledBytes() {
  await collect();
  // `external` has the array buffers in it.
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Full collections until nothing more is found: what the fill left behind is nobody's measurement. */
async function collect() {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await turn();
  }
}

/**
 * A closed loop for each number of calls in flight, on keys that have all been used before.
 * @param {{ contender: string, client: import("./clients.mjs").ClientKind, url: string, seed: number, ms: number, inFlight: readonly number[] }} job
 */
export async function redisLoads({ contender, client: kind, url, seed, ms, inFlight }) {
  const client = await openClient(kind, url);
  /** @param {string} name */
  const drive = async (name) => {
    const { algorithm, open } = await load(redisContenders, name);
    const opened = { session: await open(client), keys: makeKeys(), ledger: new Ledger(algorithm) };
    // One call alone: it may have to load a script.
    await runAwaited(opened, () => 0, 1);
    return opened;
  };
  const subject = await drive(contender);
  const floor = await drive(FLOOR);
  let filled = 0;
  await closedLoop(
    subject,
    () => filled++ % KEYS,
    FILL_IN_FLIGHT,
    () => filled >= KEYS,
  );
  await collect();
  const next = makeSequence(seed);
  await closedLoop(subject, next, 1, timeUp(SETTLE_MS));
  const loads = [];
  for (const workers of inFlight) {
    await closedLoop(subject, next, workers, timeUp(ms * WARM_UP));
    loads.push(await alternate(subject, floor, next, workers, ms));
  }
  await subject.session.close();
  await client.close();
  return { loads, allowed: subject.ledger.allowed() };
}

/**
 * Takes turns with the floor where a call's latency is the point: how long a lone call takes depends
 * on whether the machine has fallen asleep meanwhile, and that changes from second to second.
 * @param {Drive} subject
 * @param {Drive} floor
 * @param {Next} next
 * @param {number} workers
 * @param {number} ms
 * @returns {Promise<Load>}
 */
async function alternate(subject, floor, next, workers, ms) {
  if (workers > 1) return summary([await closedLoop(subject, next, workers, timeUp(ms))]);
  const loops = [];
  const floors = [];
  for (let i = 0; i < TURNS; i++) {
    loops.push(await closedLoop(subject, next, workers, timeUp(ms / TURNS)));
    floors.push(await closedLoop(floor, next, workers, timeUp(ms / TURNS)));
  }
  return { ...summary(loops), floorP50Us: summary(floors).p50Us };
}

/** @param {number} ms */
function timeUp(ms) {
  const endMs = performance.now() + ms;
  return (/** @type {number} */ nowMs) => nowMs >= endMs;
}

/**
 * `workers` callers, each sending its next call when the last was answered.
 * @param {Drive} drive
 * @param {Next} next
 * @param {number} workers
 * @param {(nowMs: number) => boolean} done
 * @returns {Promise<Loop>}
 */
async function closedLoop({ session, keys, ledger }, next, workers, done) {
  /** @type {number[]} */
  const latenciesMs = [];
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
    }
  };
  const beganMs = performance.now();
  await Promise.all(Array.from({ length: workers }, work));
  return { latenciesMs, elapsedMs: performance.now() - beganMs };
}

/**
 * @param {readonly Loop[]} loops
 * @returns {Load}
 */
function summary(loops) {
  const sorted = Float64Array.from(loops.flatMap(({ latenciesMs }) => latenciesMs)).sort();
  const elapsedMs = loops.reduce((sum, loop) => sum + loop.elapsedMs, 0);
  return {
    callsPerSecond: (sorted.length / elapsedMs) * 1e3,
    p50Us: quantile(sorted, 0.5) * 1e3,
    p99Us: quantile(sorted, 0.99) * 1e3,
  };
}

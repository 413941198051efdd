/** Measurements of contenders that share state through Redis, each in a separate process. */
import { openClient } from "./clients.mjs";
import { FLOOR, floodContenders, redisContenders } from "./contenders/index.mjs";
import { closedLoop, collect, countUp, load, runAwaited, summary, timeUp } from "./loops.mjs";
import { serverTime, serverTimeBetween } from "./server.mjs";
import { Denials, Ledger, makeKeys, makeSequence, SCARCE } from "./workload.mjs";

/** @typedef {import("./loops.mjs").Drive} Drive */
/** @typedef {import("./loops.mjs").Next} Next */
/** @typedef {import("./workload.mjs").Quota} Quota */
/**
 * The given number of keys, all used before; `warmCalls` calls come before the measurement, or as many as a part of its
 * time allows.
 * @typedef {{ keys: number, inFlight: number, ms: number, warmCalls?: number }} Stage
 */
/**
 * @typedef {object} Load
 * @property {number} keys
 * @property {number} inFlight
 * @property {number} callsPerSecond
 * @property {number} p50Us
 * @property {number} p99Us
 * @property {number} clientUs of this process's CPU a call
 * @property {number} commandUs of the server's time in commands a call
 * @property {number} serverUs of the server's CPU a call
 * @property {number} [floorP50Us] of the floor in turns with this, where they took turns
 */

/** In flight while every key gets its first call. */
const FILL_IN_FLIGHT = 512;
/** Of a measurement's length, before it. */
const WARM_UP = 0.25;
/** Before the first measurement of a process: compiling would be most of what is measured, and takes another core. */
const COMPILE_MS = 1000;
/** Of lone calls after a large fill: the server resizes its tables and collects its scripts' garbage gradually. */
const SETTLE_MS = 400;
const LARGE_FILL = 50_000;
/** Slices of a measurement that takes turns with the floor. */
const TURNS = 8;

/**
 * A closed loop for each stage, in order.
 * @param {{ contender: string, client: import("./clients.mjs").ClientKind, url: string, seed: number, quota: Quota, stages: readonly Stage[] }} job
 */
export async function redisLoads({ contender, client: kind, url, seed, quota, stages }) {
  const client = await openClient(kind, url);
  const most = Math.max(...stages.map(({ keys }) => keys));
  const allKeys = makeKeys(most);
  /** @param {string} name */
  const drive = async (name) => {
    const { algorithm, open } = await load(redisContenders, name);
    const session = await open(client, quota);
    const opened = { session, keys: allKeys, ledger: new Ledger(algorithm, most, quota) };
    // One call alone: it may have to load a script.
    await runAwaited(opened, () => 0, 1);
    return opened;
  };
  const subject = await drive(contender);
  const floor = await drive(FLOOR);
  /** @type {Load[]} */
  const loads = [];
  let filled = 0;
  for (const { keys, inFlight, ms, warmCalls } of stages) {
    const next = makeSequence(seed, keys);
    const missing = keys - filled;
    await closedLoop(
      subject,
      () => filled++ % keys,
      FILL_IN_FLIGHT,
      () => filled >= keys,
    );
    filled = keys;
    await collect();
    if (missing >= LARGE_FILL) await closedLoop(subject, next, 1, timeUp(SETTLE_MS));
    if (warmCalls !== undefined) await closedLoop(subject, next, inFlight, countUp(warmCalls));
    else {
      if (loads.length === 0) await closedLoop(subject, next, inFlight, timeUp(COMPILE_MS));
      await closedLoop(subject, next, inFlight, timeUp(ms * WARM_UP));
    }
    const turns = inFlight === 1 ? floor : undefined;
    loads.push({ keys, inFlight, ...(await measure(client, subject, next, inFlight, ms, turns)) });
  }
  await subject.session.close();
  await client.close();
  return { loads, allowed: subject.ledger.asExpected() };
}

/**
 * Calls on keys that have nothing left.
 * @param {{ contender: string, client: import("./clients.mjs").ClientKind, url: string, seed: number, stage: Stage }} job
 */
export async function floodLoad({ contender, client: kind, url, seed, stage }) {
  const client = await openClient(kind, url);
  const { open } = await load(floodContenders, contender);
  const { keys: count, inFlight, ms } = stage;
  const session = await open(client, SCARCE);
  const keys = makeKeys(count);
  const ledger = new Denials();
  const useUp = async (/** @type {string} */ key) => {
    for (let i = 0; i <= SCARCE.limit; i++) await session.call(key);
  };
  await Promise.all(keys.map(useUp));
  const drive = { session, keys, ledger, answersHere: true };
  const next = makeSequence(seed, count);
  await collect();
  await closedLoop(drive, next, inFlight, timeUp(COMPILE_MS));
  const flooded = await measure(client, drive, next, inFlight, ms, undefined);
  await session.close();
  await client.close();
  return { loads: [{ keys: count, inFlight, ...flooded }], allowed: ledger.asExpected() };
}

/**
 * Takes turns with a floor if there is one: how long a lone call takes depends on whether the machine has fallen asleep
 * since, and that changes from second to second.
 * @param {import("./clients.mjs").Client} client
 * @param {Drive} subject
 * @param {Next} next
 * @param {number} workers
 * @param {number} ms
 * @param {Drive | undefined} floor
 */
async function measure({ raw }, subject, next, workers, ms, floor) {
  const loops = [];
  const floors = [];
  const turns = floor === undefined ? 1 : TURNS;
  const spent = { clientUs: 0, commandUs: 0, serverUs: 0 };
  for (let i = 0; i < turns; i++) {
    const serverBefore = await serverTime(raw);
    const before = process.cpuUsage();
    loops.push(await closedLoop(subject, next, workers, timeUp(ms / turns)));
    const { user, system } = process.cpuUsage(before);
    const { commandUs, cpuUs } = serverTimeBetween(serverBefore, await serverTime(raw));
    spent.clientUs += user + system;
    spent.commandUs += commandUs;
    spent.serverUs += cpuUs;
    if (floor === undefined) continue;
    floors.push(await closedLoop(floor, next, workers, timeUp(ms / turns)));
  }
  const { calls, ...speed } = summary(loops);
  const costs = {
    clientUs: spent.clientUs / calls,
    commandUs: spent.commandUs / calls,
    serverUs: spent.serverUs / calls,
  };
  if (floor === undefined) return { ...speed, ...costs };
  return { ...speed, ...costs, floorP50Us: summary(floors).p50Us };
}

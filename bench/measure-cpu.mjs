/** CPU time a call of one limiter. Those that it is compared with have processes of their own, and they take turns. */
import { once } from "node:events";
import { openClient } from "./clients.mjs";
import { memoryContenders, redisContenders, REFERENCE } from "./contenders/index.mjs";
import { closedLoop, countUp, load, runAwaited, runSync } from "./loops.mjs";
import { serverTime, serverTimeBetween } from "./server.mjs";
import { limiterOf, memoryLimiter, modulesOf, remaining } from "./sluice.mjs";
import { Ledger, makeKeys, makeSequence } from "./workload.mjs";

/** A build of Sluice; without one it is the reference. @typedef {{ name: string, build: import("./build.mjs").Build | undefined }} Subject */
/**
 * None in flight: in memory; `sync`: builds are asked without a promise there.
 * @typedef {{ keys: number, keyName?: string, inFlight: number, sync?: boolean, quota: import("./workload.mjs").Quota, calls: number, warmCalls: number }} Load
 */
/** µs a call: of this process, of the server, and of that in commands. @typedef {{ clientUs: number, serverUs: number, commandUs: number }} Spent */
/** @typedef {import("./loops.mjs").Drive} Drive */
/** @typedef {import("./clients.mjs").ClientKind} ClientKind */

/** @typedef {{ algorithm: import("./contenders/index.mjs").Algorithm, session: import("./contenders/index.mjs").Session, sync?: boolean, close: () => Promise<unknown> }} Opened */

/** While every key gets its first call. */
const FILL_IN_FLIGHT = 512;

/** What a process is asked for. */
export const TURN = "turn";
/** What it says first. */
const READY = "ready";

/**
 * Makes a limiter ready, and tells of each turn what it took. It is ended from outside.
 * @param {{ contender: string, client: ClientKind, url: string, subject: Subject, keyName: string, load: Load }} job
 * @returns {Promise<never>}
 */
export async function cpuTurns({ client: kind, url, subject, keyName, load: load_ }) {
  const { keys: count, inFlight, calls, warmCalls, quota } = load_;
  const admin = await openClient(kind, url);
  const next = makeSequence(1, count);
  const { session, sync = false, algorithm } = await open(subject, kind, url, load_);
  const ledger = new Ledger(algorithm, count, quota);
  const drive = { session, keys: makeKeys(count, `${load_.keyName ?? "use"}${keyName}`), ledger };
  /** @param {number} many */
  const run = async (many) => {
    if (sync) await runSync(drive, next, many);
    else if (inFlight <= 1) await runAwaited(drive, next, many);
    else await closedLoop(drive, next, inFlight, countUp(many));
  };
  let filled = 0;
  await runAwaited(drive, () => filled++, 1);
  await closedLoop(drive, () => filled++, FILL_IN_FLIGHT, countUp(count - 1));
  await run(warmCalls);
  process.send?.(READY);
  for (;;) {
    await once(process, "message");
    globalThis.gc?.({ type: "minor" });
    const serverBefore = await serverTime(admin.raw);
    const before = process.cpuUsage();
    await run(calls);
    const { user, system } = process.cpuUsage(before);
    const { commandUs, cpuUs } = serverTimeBetween(serverBefore, await serverTime(admin.raw));
    ledger.asExpected();
    /** @type {Spent} */
    const spent = {
      clientUs: (user + system) / calls,
      serverUs: cpuUs / calls,
      commandUs: commandUs / calls,
    };
    process.send?.(spent);
  }
}

/**
 * Each with its own connection.
 * @param {Subject} subject
 * @param {ClientKind} kind
 * @param {string} url
 * @param {Load} load_
 * @returns {Promise<Opened>}
 */
async function open({ build }, kind, url, { inFlight, sync = false, quota }) {
  if (inFlight === 0) return inMemory(build, quota, sync);
  const client = await openClient(kind, url);
  const close = () => client.close();
  if (build === undefined) {
    const { algorithm, open: openReference } = await load(redisContenders, REFERENCE);
    return { algorithm, session: await openReference(client, quota), close };
  }
  const limiter = limiterOf(await modulesOf(build), client, quota);
  return { algorithm: "token bucket", session: sessionOf(limiter), close };
}

/**
 * @param {import("./build.mjs").Build | undefined} build
 * @param {import("./workload.mjs").Quota} quota
 * @param {boolean} sync
 * @returns {Promise<Opened>}
 */
async function inMemory(build, quota, sync) {
  const close = async () => {};
  if (build === undefined) {
    const { algorithm, open: openReference } = await load(memoryContenders, REFERENCE);
    return { algorithm, session: openReference(quota), close };
  }
  const limiter = memoryLimiter(quota, await modulesOf(build));
  const awaited = sessionOf(limiter);
  const session = sync
    ? { ...awaited, call: (/** @type {string} */ key) => limiter.consumeSync(key) }
    : awaited;
  return { algorithm: "token bucket", session, sync, close };
}

/** @param {import("./sluice.mjs").RateLimiter} limiter */
function sessionOf(limiter) {
  return {
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining,
    close: () => limiter.close(),
  };
}

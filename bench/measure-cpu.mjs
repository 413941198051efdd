/** CPU time a call, of limiters that take turns in this process. */
import { openClient } from "./clients.mjs";
import { memoryContenders, redisContenders, REFERENCE } from "./contenders/index.mjs";
import { closedLoop, countUp, load, runAwaited, runSync } from "./loops.mjs";
import { serverTime, serverTimeBetween } from "./server.mjs";
import { limiterOf, memoryLimiter, modulesOf, remaining } from "./sluice.mjs";
import { Ledger, makeKeys, makeSequence } from "./workload.mjs";

/** A build of Sluice; without one it is the reference. @typedef {{ name: string, build: import("./build.mjs").Build | undefined }} Subject */
/**
 * None in flight: in memory; `sync`: builds are asked without a promise there.
 * @typedef {{ keys: number, keyName?: string, inFlight: number, sync?: boolean, quota: import("./workload.mjs").Quota, calls: number, warmCalls: number, turns: number }} Load
 */
/** µs a call: of this process, of the server, and of that in commands. @typedef {{ clientUs: number, serverUs: number, commandUs: number }} Spent */
/** @typedef {import("./loops.mjs").Drive} Drive */
/** @typedef {import("./clients.mjs").ClientKind} ClientKind */

/** @typedef {{ algorithm: import("./contenders/index.mjs").Algorithm, session: import("./contenders/index.mjs").Session, sync?: boolean, close: () => Promise<unknown> }} Opened */

/** While every key gets its first call. */
const FILL_IN_FLIGHT = 512;

/**
 * @param {{ contender: string, client: ClientKind, url: string, subjects: readonly Subject[], load: Load }} job
 */
export async function cpuTimes({ client: kind, url, subjects, load: load_ }) {
  const { keys: count, keyName = "use", inFlight, calls, warmCalls, turns } = load_;
  const admin = await openClient(kind, url);
  const next = makeSequence(1, count);
  const opened = [];
  for (const subject of subjects) opened.push(await open(subject, kind, url, load_));
  /** @param {Drive & Pick<Opened, "sync">} drive @param {number} many */
  const run = async (drive, many) => {
    if (drive.sync === true) await runSync(drive, next, many);
    else if (inFlight <= 1) await runAwaited(drive, next, many);
    else await closedLoop(drive, next, inFlight, countUp(many));
  };
  const drives = opened.map(({ session, sync = false, algorithm }, i) => {
    const keys = makeKeys(count, `${keyName}${i}`);
    return { session, sync, keys, ledger: new Ledger(algorithm, count, load_.quota) };
  });
  for (const drive of drives) {
    let filled = 0;
    await runAwaited(drive, () => filled++, 1);
    await closedLoop(drive, () => filled++, FILL_IN_FLIGHT, countUp(count - 1));
    await run(drive, warmCalls);
  }
  /** @type {Spent[][]} */
  const spent = subjects.map(() => []);
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < drives.length; i++) {
      // None always comes after the same one, or after itself.
      const who =
        (turn + (Math.floor(turn / drives.length) % 2 === 0 ? i : -i) + 2 * drives.length) %
        drives.length;
      const drive = /** @type {(typeof drives)[number]} */ (drives[who]);
      globalThis.gc?.({ type: "minor" });
      const serverBefore = await serverTime(admin.raw);
      const before = process.cpuUsage();
      await run(drive, calls);
      const { user, system } = process.cpuUsage(before);
      const { commandUs, cpuUs } = serverTimeBetween(serverBefore, await serverTime(admin.raw));
      spent[who]?.push({
        clientUs: (user + system) / calls,
        serverUs: cpuUs / calls,
        commandUs: commandUs / calls,
      });
    }
  }
  for (const { session, close } of opened) {
    await session.close();
    await close();
  }
  await admin.close();
  return { spent, allowed: Math.min(...drives.map(({ ledger }) => ledger.asExpected())) };
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

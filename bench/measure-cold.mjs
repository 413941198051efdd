/** The first calls of a fresh process, one after another: how many it takes until they are fast. */
import { openClient } from "./clients.mjs";
import { redisContenders } from "./contenders/index.mjs";
import { load, runAwaited } from "./loops.mjs";
import { spread } from "./statistics.mjs";
import { Ledger, makeKeys, makeSequence, USUAL } from "./workload.mjs";

/** Long enough that one collection does not hide a window's speed. */
const WINDOW_CALLS = 250;
/** Windows at the end by which full speed is judged. */
const LAST = 12;
/** Calls whose CPU time is counted separately: other load on the machine changes that less than it changes a speed. */
const FIRST_CALLS = 2000;

/**
 * Calls from the first one to the end of the first window at half of full speed, which the next window has too. And the CPU
 * time in ms that this process took for its first calls: those alone, and with all that had to be loaded for them.
 * @param {{ contender: string, client: import("./clients.mjs").ClientKind, url: string, seed: number, keys: number, calls: number }} job
 */
export async function coldStart({ contender, client: kind, url, seed, keys: count, calls }) {
  const client = await openClient(kind, url);
  const beforeMs = cpuMs();
  const { algorithm, open } = await load(redisContenders, contender);
  const session = await open(client, USUAL);
  const drive = { session, keys: makeKeys(count), ledger: new Ledger(algorithm, count) };
  const next = makeSequence(seed, count);
  /** @type {number[]} */
  const windowsMs = [];
  const loadedMs = cpuMs();
  let firstMs = Number.NaN;
  for (let done = 0; done < calls; done += WINDOW_CALLS) {
    const beganMs = performance.now();
    await runAwaited(drive, next, WINDOW_CALLS);
    windowsMs.push(performance.now() - beganMs);
    if (done + WINDOW_CALLS === FIRST_CALLS) firstMs = cpuMs();
  }
  const fullMs = spread(windowsMs.slice(-LAST)).median;
  const first = windowsMs.findIndex(
    (ms, i) => ms <= 2 * fullMs && (windowsMs[i + 1] ?? fullMs) <= 2 * fullMs,
  );
  await session.close();
  await client.close();
  return {
    callsUntilHalf: (first + 1) * WINDOW_CALLS,
    firstCpuMs: firstMs - loadedMs,
    loadedCpuMs: firstMs - beforeMs,
    allowed: drive.ledger.asExpected(),
  };
}

/** Of this process, all threads. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

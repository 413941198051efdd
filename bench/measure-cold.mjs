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

/**
 * Calls from the first one to the end of the first window at half of full speed, which the next window has too.
 * @param {{ contender: string, client: import("./clients.mjs").ClientKind, url: string, seed: number, keys: number, calls: number }} job
 */
export async function coldStart({ contender, client: kind, url, seed, keys: count, calls }) {
  const client = await openClient(kind, url);
  const { algorithm, open } = await load(redisContenders, contender);
  const session = await open(client, USUAL);
  const drive = { session, keys: makeKeys(count), ledger: new Ledger(algorithm, count) };
  const next = makeSequence(seed, count);
  /** @type {number[]} */
  const windowsMs = [];
  for (let done = 0; done < calls; done += WINDOW_CALLS) {
    const beganMs = performance.now();
    await runAwaited(drive, next, WINDOW_CALLS);
    windowsMs.push(performance.now() - beganMs);
  }
  const fullMs = spread(windowsMs.slice(-LAST)).median;
  const first = windowsMs.findIndex(
    (ms, i) => ms <= 2 * fullMs && (windowsMs[i + 1] ?? fullMs) <= 2 * fullMs,
  );
  await session.close();
  await client.close();
  return { callsUntilHalf: (first + 1) * WINDOW_CALLS, allowed: drive.ledger.asExpected() };
}

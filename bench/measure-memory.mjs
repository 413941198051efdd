/** Measurements of contenders in memory, each in a separate process. */
import { memoryContenders } from "./contenders/index.mjs";
import { collect, load, runAwaited, runSync } from "./loops.mjs";
import { KEYS, Ledger, makeKeys, makeSequence } from "./workload.mjs";

/** Calls between two looks at the clock. */
const STRIDE = 1024;
/** Of a measurement's length, before it. */
const WARM_UP = 0.25;

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
  return { callsPerSecond, allowed: drive.ledger.asExpected() };

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
  // Code and feedback of the first calls are no state of a key. A separate function, so that
  // nothing of the rehearsal stays reachable.
  const rehearse = async () => {
    const { session } = await use(KEYS / 10);
    await session.close();
  };
  await rehearse();
  const before = await settledBytes();
  const { session, ledger } = await use(KEYS);
  const bytes = (await settledBytes()) - before;
  await session.close();
  return { bytesPerKey: bytes / KEYS, allowed: ledger.asExpected() };
}

async function settledBytes() {
  await collect();
  // `external` has the array buffers in it.
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/**
 * Bytes that a call leaves to the collector, of builds and of the reference, by the heap's growth while no collection runs:
 *
 *     npm run build && node --expose-gc --min-semi-space-size=256 --max-semi-space-size=256 bench/garbage.mjs tree HEAD~3
 *
 * A fresh server, one process, all in turns; the least of the turns counts, since a collection can only make a turn worse
 * by being noticed.
 */
import { openClient } from "./clients.mjs";
import { REFERENCE, redisContenders } from "./contenders/index.mjs";
import { closedLoop, collect, countUp, load } from "./loops.mjs";
import { limiterOf, modulesOf, remaining } from "./sluice.mjs";
import { buildNamed } from "./subjects.mjs";
import { spread } from "./statistics.mjs";
import { table, whole, wholeSpread } from "./table.mjs";
import { withServer } from "./server.mjs";
import { AMPLE } from "./workload.mjs";

const KEYS = 1000;
const TURNS = 5;
const LOADS = [
  { inFlight: 64, warmCalls: 20_000, calls: 20_000 },
  { inFlight: 1, warmCalls: 5000, calls: 4000 },
];
const names = process.argv.length > 2 ? process.argv.slice(2) : ["tree", REFERENCE];
const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`);

/**
 * @param {string} name
 * @param {string} url
 * @returns {Promise<{ name: string, session: import("./contenders/index.mjs").Session, end: () => Promise<unknown> }>}
 */
async function open(name, url) {
  const client = await openClient("ioredis", url);
  const build = buildNamed(name);
  if (build === undefined) {
    const reference = await load(redisContenders, REFERENCE);
    return { name, session: await reference.open(client, AMPLE), end: () => client.close() };
  }
  const limiter = limiterOf(await modulesOf(build), client, AMPLE);
  const call = (/** @type {string} */ key) => limiter.consume(key);
  return {
    name,
    session: { call, remaining, close: () => limiter.close() },
    end: () => client.close(),
  };
}

/** Nothing is checked here: what a check leaves would count too. */
const ledger = { sent: () => 0, check: () => {}, asExpected: () => 1 };

/** @param {Awaited<ReturnType<typeof open>>} who @param {typeof LOADS[number]} load_ */
async function bytesACall({ session }, { inFlight, calls }) {
  await collect();
  let at = 0;
  const before = process.memoryUsage().heapUsed;
  await closedLoop({ session, keys, ledger }, () => at++ % KEYS, inFlight, countUp(calls));
  return (process.memoryUsage().heapUsed - before) / calls;
}

const { result } = await withServer(async ({ url }) => {
  const subjects = await Promise.all(names.map((name) => open(name, url)));
  const rows = [];
  for (const each of LOADS) {
    /** @type {number[][]} */
    const found = subjects.map(() => []);
    for (const { session } of subjects) {
      let at = 0;
      const drive = { session, keys, ledger };
      await closedLoop(drive, () => at++ % KEYS, each.inFlight, countUp(each.warmCalls));
    }
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [i, subject] of subjects.entries()) {
        found[i]?.push(await bytesACall(subject, each));
      }
    }
    for (const [i, { name }] of subjects.entries()) {
      rows.push([name, whole(each.inFlight), wholeSpread(spread(found[i] ?? []))]);
    }
  }
  for (const { session, end } of subjects) {
    await session.close();
    await end();
  }
  return rows;
});
console.log(table(["through ioredis", "in flight", "bytes a call"], result));

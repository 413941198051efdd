/** Sluice on many keys, with and without one hot key beside them on which consumes and refunds take turns. */
import { openClient } from "./clients.mjs";
import { closedLoop, collect, countUp, summary, timeUp } from "./loops.mjs";
import { redisLimiter, remaining } from "./sluice.mjs";
import { AMPLE, Ledger, makeKeys, makeSequence } from "./workload.mjs";

/** Of the callers, those on the hot key. */
const HOT_PART = 1 / 16;
/** Turns of both, so that what slows the machine for a while slows both. */
const TURNS = 4;

/**
 * Calls per second of all callers together, hot ones included, without the hot key and with it.
 * @param {{ contender: "sluice", client: import("./clients.mjs").ClientKind, url: string, seed: number, keys: number, inFlight: number, ms: number, warmCalls: number }} job
 */
export async function mixedLoad({ client: kind, url, seed, keys: count, inFlight, ms, warmCalls }) {
  const client = await openClient(kind, url);
  const limiter = redisLimiter(client, AMPLE);
  const close = () => limiter.close();
  const call = (/** @type {string} */ key) => limiter.consume(key);
  const keys = makeKeys(count);
  const ledger = new Ledger("token bucket", count, AMPLE);
  const many = { session: { call, remaining, close }, keys, ledger };
  let turn = 0;
  const consumeOrRefund = (/** @type {string} */ key) =>
    turn++ % 2 === 0 ? limiter.consume(key) : limiter.refund(key, 1);
  // What is left depends on the order in which the two come: only that all are answered is checked, below.
  const unchecked = { sent: () => 0, check: () => {}, asExpected: () => 1 };
  const session = { call: consumeOrRefund, remaining, close };
  const hot = { session, keys: ["hot"], ledger: unchecked };
  const next = makeSequence(seed, count);
  const hotCallers = Math.round(inFlight * HOT_PART);
  const without = (/** @type {(nowMs: number) => boolean} */ done) =>
    closedLoop(many, next, inFlight, done);
  const beside = (/** @type {(nowMs: number) => boolean} */ done) =>
    Promise.all([
      closedLoop(many, next, inFlight - hotCallers, done),
      closedLoop(hot, () => 0, hotCallers, done),
    ]);
  await without(countUp(warmCalls));
  await beside(countUp(warmCalls / 2));
  await collect();
  let alone = 0;
  let together = 0;
  for (let i = 0; i < TURNS; i++) {
    alone += summary([await without(timeUp(ms / TURNS))]).callsPerSecond;
    for (const loop of await beside(timeUp(ms / TURNS))) together += summary([loop]).callsPerSecond;
  }
  await limiter.close();
  await client.close();
  return { alone: alone / TURNS, together: together / TURNS, allowed: ledger.asExpected() };
}

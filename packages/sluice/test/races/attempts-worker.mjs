// A process whose limiters write a log of attempts. Argument: a Job as JSON. It calls until its standard input ends, and
// prints a line when it has begun, and when it has decided without the store.
import { setImmediate as inNextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createClient } from "redis";

/**
 * @typedef {object} Job
 * @property {string} dist the compiled library
 * @property {string} url
 * @property {string} file
 * @property {number} index of this process
 */

const job = /** @type {Job} */ (JSON.parse(process.argv[2] ?? ""));
/** @param {string} path */
const from = (path) => import(pathToFileURL(`${job.dist}/${path}`).href);
const { fixedWindow, RateLimiter, slidingLog, tokenBucket } =
  /** @type {typeof import("../../src/index.js")} */ (await from("index.js"));
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await from("stores/redis/index.js")
);
const { AttemptLog } = /** @type {typeof import("../../src/log/index.js")} */ (
  await from("log/index.js")
);

const client = createClient({ url: job.url });
client.on("error", () => {});
await client.connect();
const store = new RedisStore({ client });
// Less than four processes ask for on the slowest of machines.
const burst = tokenBucket({ name: "burst", limit: 30, period: "1s", burst: 20 });
const peak = slidingLog({ name: "peak", limit: 12, window: "500ms" });
const api = new RateLimiter({ store, namespace: "api", policy: [burst, peak] });
const jobs = new RateLimiter({
  store,
  namespace: "jobs",
  policy: fixedWindow({ limit: 50, window: "200ms" }),
});
const mail = new RateLimiter({
  store,
  namespace: "mail",
  policy: tokenBucket({ limit: 100, period: "1s", burst: 20 }),
  prefetch: { size: 3, ttl: "1s" },
});
const log = new AttemptLog({ file: job.file, maxFileBytes: 60_000, files: 1000 });
for (const limiter of [api, jobs, mail]) log.add(limiter);

const said = new Set();
/** @param {string} word */
function say(word) {
  if (said.has(word)) return;
  said.add(word);
  process.stdout.write(`${word}\n`);
}

const end = new AbortController();
process.stdin.on("end", () => end.abort());
process.stdin.resume();

/** @param {number} i */
async function callOnce(i) {
  const key = `k${i % 3}`;
  const decision = await api.consume(key, { cost: 1 + (i % 2) });
  if (decision.source === "local") say("local");
  const taken = await jobs.consume(key);
  if (taken.allowed && i % 3 === 0) await jobs.refund(key, 1, { of: taken });
  if (i % 7 === 0) await jobs.settle(key, { reserved: 1, actual: i % 5, of: taken });
  if (i % 97 === 0) await jobs.reset(key).catch(() => {});
  if (i % 53 === 0) await jobs.block(key, "20ms").catch(() => {});
  await mail.consume(key);
  if (i % 11 === 0) await jobs.reserve(key, { maxWait: "1s" });
  if (i % 31 === 0) {
    const reservation = await mail.reserve(key, { maxWait: "100ms" });
    if (reservation.allowed) await reservation.cancel();
  }
}

let calls = job.index;
async function work() {
  while (!end.signal.aborted) {
    calls += 1;
    await callOnce(calls);
    if (calls >= 500) say("begun");
    // What is decided without the store takes no turn of the event loop, and would leave none to anything else.
    await inNextTurn();
  }
}
await Promise.all(Array.from({ length: 8 }, work));
await Promise.all([api, jobs, mail].map((limiter) => limiter.close()));
await log.close();
await store.close();
client.destroy();

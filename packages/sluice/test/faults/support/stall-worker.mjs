/**
 * A server that is busy, on a Redis that is well: node stall-worker.mjs <dist> <redis url> <driver>. It prints what it
 * admitted of keys that are used up, who answered, what its hooks were told, and how late. "stop me" asks for a SIGSTOP.
 */
import { once } from "node:events";
import { Agent, createServer, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";

const [dist, url, driver] = /** @type {[string, string, string]} */ (
  /** @type {unknown} */ (process.argv.slice(2))
);
const { fixedWindow, RateLimiter } = /** @type {typeof import("../../../src/index.js")} */ (
  await import(pathToFileURL(`${dist}/index.js`).href)
);
const { RedisStore } = /** @type {typeof import("../../../src/stores/redis/index.js")} */ (
  await import(pathToFileURL(`${dist}/stores/redis/index.js`).href)
);

const LIMIT = 20;
const TIMEOUT_MS = 1000;
/** @type {{ text: string, busy: boolean }[]} */
const errors = [];
/** Of each outage, the calls that the store did not answer: those that were told so by an open breaker are not busy. */
/** @type {{ total: number, busy: number }[]} */
const outages = [];
const store = new RedisStore({
  client: driver === "ioredis" ? new Redis(url) : await createClient({ url }).connect(),
  hooks: {
    onError: ({ error }) =>
      errors.push({
        text: String(error),
        busy: /** @type {{ busy?: unknown }} */ (error).busy === true,
      }),
    onRecovery: ({ unanswered: { total, busy } }) => outages.push({ total, busy }),
  },
});
const options = {
  store,
  policy: fixedWindow({ limit: LIMIT, window: "365d", align: "first" }),
  namespace: `stalls.${driver}`,
  timeout: TIMEOUT_MS,
};
// What the store does not decide is admitted, and seen.
const limiter = new RateLimiter({ ...options, onStoreFailure: "open", denyCache: false });
/** As users have it. */
const usual = new RateLimiter(options);

/** @type {Record<string, number>} */
const answers = {};
let admitted = 0;
let latestMs = 0;
/** The sum of all delays of the event loop. */
let lagMs = 0;
let dueMs = performance.now() + 5;
const probe = setInterval(() => {
  lagMs += Math.max(0, performance.now() - dueMs);
  dueMs = performance.now() + 5;
}, 5);

async function consume(key = "used up") {
  const [beganMs, lagBeforeMs] = [performance.now(), lagMs];
  const { allowed, source } = await limiter.consume(key);
  const tookMs = performance.now() - beganMs;
  // The delay of now is added up later.
  const lag = lagMs - lagBeforeMs + Math.max(0, performance.now() - dueMs) + 20;
  latestMs = Math.max(latestMs, tookMs - lag);
  answers[source] = (answers[source] ?? 0) + 1;
  if (key === "used up" && allowed) admitted += 1;
}

/** @param {number} ms */
function block(ms) {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

for (let i = 0; i < LIMIT; i++) await consume();

// Calls in one tick, and then the loop stands still: also to just before and just after the deadline.
const random = () => 50 + Math.random() * 950;
for (const ms of [50, random(), 300, random(), TIMEOUT_MS - 1, TIMEOUT_MS]) {
  const calls = Array.from({ length: 200 }, () => consume());
  block(ms);
  await Promise.all(calls);
  // The batch has gone, and its answer is not read yet.
  const sent = consume();
  await new Promise(setImmediate);
  block(ms);
  await sent;
}

// A server with one handler that computes.
const server = createServer((request, response) => {
  const ms = Number(request.url?.slice(1));
  if (ms > 0) block(ms);
  void consume().then(() => response.end());
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const port = typeof address === "object" ? address?.port : undefined;
const agent = new Agent({ keepAlive: true, maxSockets: 40 });
/** @param {number} ms */
const ask = (ms) =>
  new Promise((resolve, reject) => {
    get({ port, path: `/${ms}`, agent }, (response) => response.resume().on("end", resolve)).on(
      "error",
      reject,
    );
  });
const over = new AbortController();
const traffic = Array.from({ length: 20 }, async () => {
  while (!over.signal.aborted) await ask(0);
});
for (let i = 0; i < 6; i++) {
  await sleep(30);
  await ask(random());
}
// Many such handlers are ready in one turn.
await Promise.all(Array.from({ length: 20 }, () => ask(300)));

for (let i = 0; i < 3; i++) {
  process.stdout.write("stop me\n");
  await sleep(300);
}
over.abort();
await Promise.all(traffic);

// More at once than can be answered within the deadline; among them some on a key that was denied before.
for (let i = 0; i <= LIMIT; i++) await usual.consume("usual");
let admittedAsUsual = 0;
await Promise.all(
  Array.from({ length: 20_000 }, async (_, i) => {
    if (i % 100 > 0) await consume(`key:${i}`);
    else if ((await usual.consume("usual")).allowed) admittedAsUsual += 1;
  }),
);
const many = await limiter.consumeMany(Array.from({ length: 8000 }, () => ({ key: "many" })));
const ofMany = many.filter(({ allowed }) => allowed).length;
const sourcesOfMany = [...new Set(many.map(({ source }) => source))];
// The end of an outage is heard of by the first call that ends a second later.
while (outages.length < errors.length) {
  await limiter.peek("used up");
  await sleep(20);
}

clearInterval(probe);
agent.destroy();
server.close();
process.stdout.write(
  `${JSON.stringify({ admitted, admittedAsUsual, answers, errors, outages, latestMs, ofMany, sourcesOfMany })}\n`,
);
process.exit(0);

/**
 * One process of those whose Redis goes away: node outage-worker.mjs <dist> <redis url> <driver> <policies> <timeout>,
 * where `policies` is the JSON of one policy for each key. It does the task that each line of its input names, says
 * "done" after it, and prints what all calls came to when the input ends.
 */
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";

const [dist, url, driver, policies, timeout] =
  /** @type {[string, string, string, string, string]} */ (
    /** @type {unknown} */ (process.argv.slice(2))
  );
const { RateLimiter, tokenBucket } = /** @type {typeof import("../../../src/index.js")} */ (
  await import(pathToFileURL(`${dist}/index.js`).href)
);
const { RedisStore } = /** @type {typeof import("../../../src/stores/redis/index.js")} */ (
  await import(pathToFileURL(`${dist}/stores/redis/index.js`).href)
);

const clients = {
  ioredis: async () => {
    const client = new Redis(url, {
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    });
    client.on("error", () => {});
    await client.connect();
    return client;
  },
  "node-redis": async () => {
    const client = createClient({ url, disableOfflineQueue: true });
    client.on("error", () => {});
    return client.connect();
  },
};
const open = clients[/** @type {keyof typeof clients} */ (driver)];

/** Never runs out: asks whether the store is there. */
const PING = tokenBucket({ limit: 1e9, period: "1s" });
const policyOf = /** @type {Record<string, import("../../../src/index.js").Policy>} */ (
  JSON.parse(policies)
);
const limiter = new RateLimiter({
  policy: (/** @type {string} */ key) => policyOf[key] ?? PING,
  store: new RedisStore({ client: await open() }),
  namespace: "outages",
  timeout: Number(timeout),
  breaker: { probeEvery: 200 },
  hooks: { onError: () => {} },
});

const PAUSE_MS = 2;
const SPENT = 2;
/** Of which three in four are for more than the shared key has. */
const ASKED = 120;
const CALLERS = 8;
/** As many failures open the breaker. */
const PINGS = 5;
/** Of the answers of an outage in which callers press: so many times twenty are more than the shared key has. */
const LOCAL = 20;

/** @type {import("../local-outages.test.js").Answer[]} */
const answers = [];
let aborted = 0;
/** How many tasks there were. */
let task = 0;

/**
 * @param {string} key
 * @param {AbortSignal} [signal]
 */
async function consume(key, signal) {
  const asked = { key, task, startMs: performance.now() };
  const { allowed, source, retryAfterMs, decidedAtUs } = await limiter.consume(key, { signal });
  const endMs = performance.now();
  answers.push({ ...asked, endMs, allowed, source, retryAfterMs, decidedAtUs });
  return { allowed, source };
}

const ping = () => limiter.consume("ping").then(({ source }) => source);

async function untilDenied(/** @type {string} */ key) {
  for (;;) {
    const { allowed, source } = await consume(key);
    if (!allowed && source === "store") return;
    // A denial is repeated for a moment before the store is asked again.
    if (source !== "store") await sleep(PAUSE_MS);
  }
}

/** Calls again and again; those who are in haste do not wait for long. */
async function press(/** @type {AbortSignal} */ over, /** @type {boolean} */ isHasty) {
  while (!over.aborted) {
    const haste = new AbortController();
    const timer = isHasty ? setTimeout(() => haste.abort(), Math.random() * 50) : undefined;
    try {
      await consume("shared", haste.signal);
    } catch (error) {
      if (!haste.signal.aborted) throw error;
      aborted += 1;
    }
    clearTimeout(timer);
    await sleep(PAUSE_MS);
  }
}

let over = new AbortController();
/** @type {Promise<unknown>} */
let pressing = Promise.resolve();
let pressedIn = 0;

const tasks = {
  /** Waits for the store to answer. */
  async well() {
    while ((await ping()) !== "store") await sleep(PAUSE_MS);
  },
  /** Waits for the store to be asked no longer. */
  async away() {
    for (;;) {
      const sources = await Promise.all(Array.from({ length: PINGS }, ping));
      if (sources.every((source) => source === "local")) return;
    }
  },
  async spend() {
    for (let i = 0; i < SPENT; i++) await consume("shared");
  },
  useUp: () => untilDenied("used up"),
  /** Until the denial is remembered: on a busy machine it may be over before somebody asks again. */
  async useUpBriefly() {
    do await untilDenied("briefly used up");
    while ((await consume("briefly used up")).source !== "deny-cache");
  },
  async ask() {
    const keys = Array.from({ length: ASKED }, (_, i) => (i % 4 === 0 ? "used up" : "shared"));
    await Promise.all(keys.map((key) => consume(key)));
  },
  /** Until what was denied by the store is admitted again. */
  async wait() {
    while (!(await consume("briefly used up")).allowed) await sleep(PAUSE_MS);
  },
  async press() {
    over = new AbortController();
    const { signal } = over;
    pressedIn = task;
    pressing = Promise.all(Array.from({ length: CALLERS }, (_, i) => press(signal, i % 2 === 0)));
  },
  /** Until enough of those who press were answered by this process. */
  async local() {
    const count = () =>
      answers.filter((each) => each.task >= pressedIn && each.source === "local").length;
    while (count() < LOCAL) await sleep(PAUSE_MS);
  },
  async release() {
    over.abort();
    await pressing;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  task += 1;
  await tasks[/** @type {keyof typeof tasks} */ (line)]();
  process.stdout.write("done\n");
}
process.stdout.write(`${JSON.stringify({ answers, aborted })}\n`, () => process.exit(0));

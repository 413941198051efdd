// Closes what is named while it is in the named state, prints what became of the calls, and must then end by itself.
// Arguments: the directory of the build, the server's URL, "redis", "ioredis" or "connect", the state, and whether the
// store alone is closed. The test kills the server when this program prints "away?", and says so by SIGUSR2.
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";

const [built = "", url = "", kind = "", state = "", alone = ""] = process.argv.slice(2);
const from = (/** @type {string} */ file) => pathToFileURL(join(built, "dist", file)).href;
const { ClosedError, RateLimiter, Semaphore, tokenBucket } =
  /** @type {typeof import("../../../src/index.js")} */ (await import(from("index.js")));
const { RedisStore } = /** @type {typeof import("../../../src/stores/redis/index.js")} */ (
  await import(from("stores/redis/index.js"))
);

async function open() {
  if (kind === "connect") return { store: await RedisStore.connect(url), end: () => {} };
  if (kind === "ioredis") {
    const client = new Redis(url);
    client.on("error", () => {});
    return { store: new RedisStore({ client }), end: () => client.disconnect() };
  }
  const client = createClient({ url });
  client.on("error", () => {});
  await client.connect();
  return { store: new RedisStore({ client }), end: () => client.destroy() };
}

const { store, end } = await open();
// Else an outage that begins before the end is a warning of the process.
const hooks = { onError: () => {} };
const policy = tokenBucket({ limit: 1, period: "1h" });
// Of nothing here is the deadline the end.
const options = { store, hooks, timeout: "60s" };
const limiter = new RateLimiter({ policy, ...options });
const semaphore = new Semaphore({ limit: 1, ...options });
/** @type {Promise<string>[]} */
const outcomes = [];
const watch = async (/** @type {Promise<unknown>} */ call) => {
  const outcome = call.then(
    () => "done",
    (/** @type {unknown} */ error) => (error instanceof ClosedError ? error.code : "failed"),
  );
  outcomes.push(outcome);
  await outcome;
};
// "under way": nothing has been answered yet.
if (state !== "under way") {
  await watch(semaphore.acquire("k"));
  await watch(limiter.acquire("k"));
}
void watch(semaphore.acquire("k"));
void watch(limiter.acquire("k"));
if (state !== "under way") while ((await semaphore.inspect("k")).waiting === 0);
if (state === "outage") {
  const away = once(process, "SIGUSR2");
  const waits = setInterval(() => {}, 1000);
  process.stdout.write("away?\n");
  await away;
  clearInterval(waits);
}
if (alone !== "store alone") await Promise.all([limiter.close(), semaphore.close()]);
await store.close();
process.stdout.write(`${JSON.stringify(await Promise.all(outcomes))}\n`);
end();

// One process in line: says that it is there, waits for the others, acquires, and prints what it got. With "gone"
// last it ends instead, as soon as its first call has started and the others wait.
import { pathToFileURL } from "node:url";
import { createClient } from "redis";

const [dist, url, processes, calls, policy, end] =
  /** @type {[string, string, string, string, string, string?]} */ (
    /** @type {unknown} */ (process.argv.slice(2))
  );
const { QueueFullError, RateLimiter } = /** @type {typeof import("../../src/index.js")} */ (
  await import(pathToFileURL(`${dist}/index.js`).href)
);
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await import(pathToFileURL(`${dist}/stores/redis/index.js`).href)
);

const client = createClient({ url });
await client.connect();
const store = new RedisStore({ client });
const limiter = new RateLimiter({
  policy: /** @type {import("../../src/index.js").Policy} */ (JSON.parse(policy)),
  store,
  timeout: "30s",
  onStoreFailure: "throw",
});
await client.incr("ready");
while (Number(await client.get("ready")) < Number(processes)) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const acquired = Array.from({ length: Number(calls) }, async () => {
  try {
    const start = await limiter.acquire("hot");
    // The end of the running millisecond: the server's clock, which is this one, shows no more.
    return { ...start, startedAtUs: (Date.now() + 1) * 1e3 };
  } catch (error) {
    if (error instanceof QueueFullError) return { refused: error.code };
    throw error;
  }
});
if (end === "gone") {
  const first = await acquired[0];
  // Answered after all that was asked before.
  await limiter.peek("hot");
  process.stdout.write(`${JSON.stringify([first])}\n`, () => process.exit(0));
}
const starts = await Promise.all(acquired);
process.stdout.write(`${JSON.stringify(starts)}\n`);
await limiter.close();
await client.close();

/** What a batch leaves is collected while it is young: collections of the old are rare, and those of the young copy what lives. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { RateLimiter, tokenBucket } from "../../index.js";
import { RedisStore } from "./redis-store.js";
import { PLAIN } from "./wire.js";

const WORKERS = 64;
const CALLS = 20_000;
const KEY_BYTES = 500;

test("calls, keys and scripts of batches that have ended outlive no minor collection", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options?: { readonly type: "minor" }) => void;
  const store = new RedisStore({
    client: async (_sha, _source, keys) => {
      // So long that the next batch is sent meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 1));
      return [1e15, PLAIN * keys.length, ...keys.flatMap(() => [1000, 0])];
    },
  });
  const policy = tokenBucket({ limit: 9, period: "1m" });
  const options = { store, policy, identity: "plain", denyCache: false, timeout: "1h" } as const;
  const limiter = new RateLimiter({ ...options, onStoreFailure: "throw" });
  let keys = 0;
  const heapAfter = async (calls: number): Promise<number> => {
    let left = calls;
    const work = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        keys += 1;
        // From bytes: what is put together from texts would not be half a kilobyte.
        await limiter.consume(Buffer.alloc(KEY_BYTES, `${keys}-`).toString("latin1"));
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, work));
    for (let i = 0; i < 3; i++) collect({ type: "minor" });
    return process.memoryUsage().heapUsed;
  };
  await heapAfter(CALLS);
  collect();
  const before = await heapAfter(WORKERS);
  // Keys alone are 10 MB.
  expect((await heapAfter(CALLS)) - before).toBeLessThan(3e6);
  await limiter.close();
  await store.close();
});

// Bundled into one minified file, and run where nothing is installed.
import assert from "node:assert/strict";
import { createClient } from "redis";
import { fixedWindow, RateLimiter, Semaphore, tokenBucket } from "sluice";
import { keyId } from "sluice/audit";
import { RedisStore } from "sluice/redis";

async function main() {
  // The beginning of the SHA-256, as everywhere.
  assert.equal(keyId("user:42"), "6j_UO-HlfWLhY9rhn8dAvQ");
  assert.throws(() => tokenBucket({ limit: -1, period: "1s" }), { name: "InvalidOptionError" });

  const client = createClient({ url: process.env.REDIS_URL });
  await client.connect();
  const store = new RedisStore({ client });
  const policy = fixedWindow({ limit: 2, window: "1h" });
  const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
  const key = `single-${process.pid}`;
  for (const allowed of [true, true, false]) {
    assert.equal((await limiter.consume(key)).allowed, allowed);
  }
  assert.equal(await client.exists(`sluice:fixed-window:{${keyId(key)}}`), 1);
  const semaphore = new Semaphore({ limit: 1, store, timeout: "30s" });
  await (await semaphore.acquire(key)).release();
  await semaphore.close();
  await limiter.close();
  await store.close();
  client.destroy();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

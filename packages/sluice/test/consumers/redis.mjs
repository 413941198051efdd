import assert from "node:assert/strict";
import { RateLimiter, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";

const store = await RedisStore.connect(process.env.REDIS_URL);
const policy = tokenBucket({ limit: 2, period: "1m" });
const limiter = new RateLimiter({ policy, store, timeout: "60s" });
const key = `consumer-${process.pid}`;
const decisions = [];
for (let call = 0; call < 3; call += 1) decisions.push(await limiter.consume(key));
assert.deepEqual(
  decisions.map(({ allowed, source }) => ({ allowed, source })),
  [true, true, false].map((allowed) => ({ allowed, source: "store" })),
);
assert.ok(decisions[2].retryAfterMs > 0);
await limiter.close();
await store.close();

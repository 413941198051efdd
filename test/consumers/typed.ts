import assert from "node:assert/strict";
import { type Decision, MemoryStore, type Policy, RateLimiter, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";
import { ManualClock } from "sluice/testing";

const policy: Policy = tokenBucket({ limit: 2, period: "1m" });
const clock = new ManualClock();

await using limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
const decisions: Decision[] = [];
for (let call = 0; call < 3; call += 1) decisions.push(await limiter.consume("k"));
assert.deepEqual(
  decisions.map((decision) => decision.allowed),
  [true, true, false],
);
assert.equal(limiter.consumeSync("other").allowed, true);

export async function overRedis(url: string): Promise<RateLimiter<RedisStore>> {
  const store = await RedisStore.connect(url);
  const shared = new RateLimiter({ policy, store });
  // @ts-expect-error a store outside the process cannot answer synchronously
  assert.throws(() => shared.consumeSync("k"));
  return shared;
}

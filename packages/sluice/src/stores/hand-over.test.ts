/** When a batch's clock starts. */
import { expect, test, vi } from "vitest";
import { RateLimiter, tokenBucket } from "../index.js";
import { handOverNow } from "./redis/batcher.js";
import { RedisStore } from "./redis/redis-store.js";

test("its clock starts when the client has had its turn, however long this one is", async () => {
  const handOver = handOverNow();
  const endMs = performance.now() + 20;
  while (performance.now() < endMs);
  await Promise.resolve();
  expect(handOver.startedAtMs).toBeUndefined();
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(handOver.startedAtMs).toBeGreaterThanOrEqual(endMs);
});

test.each([
  [{ status: "ready" }, true],
  [{ status: "connecting" }, false],
  [{ status: "ready", options: { enableAutoPipelining: true } }, false],
  [{}, false],
])("a lone call's clock starts at once where the client %o writes at once", async (is, atOnce) => {
  const run = (): Promise<unknown> => new Promise(() => {});
  const client = { ...is, defineCommand: () => {}, eval: run, evalsha: run };
  const store = new RedisStore({ client, subscriber: false });
  const submit = vi.spyOn(store, "submit");
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
  const consumed = limiter.consume("k");
  await new Promise((resolve) => {
    process.nextTick(resolve);
  });
  const handOver = submit.mock.calls[0]?.[0].handOver;
  expect(handOver).toMatchObject({ isDecided: false, isAssumed: false });
  expect(handOver?.startedAtMs !== undefined).toBe(atOnce);
  await Promise.all([expect(consumed).rejects.toThrow("the store is closed"), store.close()]);
});

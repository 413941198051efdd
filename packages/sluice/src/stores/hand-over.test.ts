/** When a batch's clock starts. */
import { expect, test } from "vitest";
import { handOverNow } from "./redis/batcher.js";

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

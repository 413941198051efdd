import { queryObjects } from "node:v8";
import { expect, test } from "vitest";
import { Semaphore } from "../index.js";
import { WaitQueue } from "./wait-queue.js";

const lines = (): number => queryObjects(WaitQueue, { format: "count" });

test("lines without a waiter stay for the next one, and are few, however many keys there were", async () => {
  const semaphore = new Semaphore({ limit: 1 });
  await semaphore.acquire("held");
  const waiting = semaphore.acquire("held");
  waiting.catch(() => {});
  for (let i = 0; i < 1000; i++) await (await semaphore.acquire(`k${i}`)).release();
  const kept = lines();
  expect(kept).toBeGreaterThan(1);
  expect(kept).toBeLessThanOrEqual(64);
  for (let i = 0; i < 1000; i++) await (await semaphore.acquire("k999")).release();
  expect(lines()).toBe(kept);
  // A line with a waiter is not among those that are dropped: its end would not be told.
  await semaphore.close();
  await expect(waiting).rejects.toThrow("the semaphore is closed");
});

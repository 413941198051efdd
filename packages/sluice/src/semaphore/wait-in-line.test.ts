/** Waits are counted with and without listeners: without listeners the caller's promise is the queue's own. */
import { expect, onTestFinished, test } from "vitest";
import { Semaphore } from "../index.js";
import { ManualClock } from "../testing/index.js";
import { MemoryStore } from "../stores/memory/memory-store.js";

test.each([
  ["nobody", false],
  ["somebody", true],
])("ends of all kinds are counted where %s listens", async (_, isHeard) => {
  const clock = new ManualClock();
  const semaphore = new Semaphore({ limit: 1, store: new MemoryStore({ clock }) });
  onTestFinished(() => semaphore.close());
  const heard: string[] = [];
  if (isHeard) semaphore.events.on("waitEnded", ({ outcome }) => heard.push(outcome));
  const permit = await semaphore.acquire("k");
  const controller = new AbortController();
  const ended = Promise.allSettled([
    semaphore.acquire("k", { maxWait: "1s" }),
    semaphore.acquire("k", { signal: controller.signal }),
  ]);
  expect(semaphore.stats().waits.waiting).toBe(2);
  controller.abort(new Error("not now"));
  await clock.advanceAsync(1000);
  expect(await ended).toMatchObject([
    { reason: { name: "MaxWaitExceededError" } },
    { reason: { message: "not now" } },
  ]);
  const { waiting, waitedMs } = semaphore.stats().waits;
  const { started, refused, failed } = waitedMs;
  expect([waiting, started.count, refused.count, failed.count]).toEqual([0, 1, 1, 1]);
  expect(heard.toSorted()).toEqual(isHeard ? ["failed", "refused", "started"] : []);
  await permit.release();
});

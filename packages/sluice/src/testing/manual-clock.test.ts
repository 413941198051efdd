import { afterEach, describe, expect, test, vi } from "vitest";
import { MemoryStore, RateLimiter, slidingLog } from "../index.js";
import { ManualClock } from "./manual-clock.js";

afterEach(() => {
  vi.useRealTimers();
});

describe("advanceAsync", () => {
  test("stops at the end of each sleep, and of those that begin meanwhile", async () => {
    const clock = new ManualClock(0);
    const ended: number[] = [];
    const work = (async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        await clock.sleep(100);
        ended.push(clock.nowUs() / 1e3);
      }
    })();
    await clock.advanceAsync(350);
    expect(ended).toEqual([100, 200, 300]);
    expect(clock.nowUs()).toBe(350_000);
    await clock.advanceAsync(50);
    expect(ended).toEqual([100, 200, 300, 400]);
    await work;
  });

  test("lets a queue of acquires start one after another, each at its own time", async () => {
    const clock = new ManualClock();
    const policy = slidingLog({ limit: 1, window: "1s" });
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const beganUs = clock.nowUs();
    const starts: number[] = [];
    const calls = [1, 2, 3].map(() =>
      limiter.acquire("k").then(() => starts.push((clock.nowUs() - beganUs) / 1e3)),
    );
    await clock.advanceAsync(2500);
    expect(starts).toEqual([0, 1000, 2000]);
    await Promise.all(calls);
  });

  test("lets run what was ready before, and what follows the last sleep", async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    void Promise.resolve().then(() => seen.push("before"));
    void clock.sleep(10).then(async () => {
      await Promise.resolve();
      seen.push("after");
    });
    await clock.advanceAsync(10);
    expect(seen).toEqual(["before", "after"]);
  });

  test("needs no timer of a test that has faked them all", async () => {
    const clock = new ManualClock();
    vi.useFakeTimers();
    const slept = vi.fn();
    void clock.sleep(5).then(slept);
    await clock.advanceAsync(5);
    expect(slept).toHaveBeenCalledOnce();
  });

  test.each([-1, Number.NaN, "x"])("refuses %o", async (ms) => {
    await expect(new ManualClock().advanceAsync(ms as number)).rejects.toMatchObject({
      option: "ms",
    });
  });
});

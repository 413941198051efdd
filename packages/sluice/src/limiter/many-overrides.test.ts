/** Ten times as many overrides take some ten times as long, and a look-up does not grow with them. */
import { describe, expect, test, vi } from "vitest";
import { fixedWindow, MemoryStore, RateLimiter } from "../index.js";

const five = fixedWindow({ name: "five", limit: 5, window: "1h" });

describe("many overrides", () => {
  const many = async (count: number): Promise<RateLimiter<MemoryStore>> => {
    const limiter = new RateLimiter({ policy: five, store: new MemoryStore() });
    for (let i = 0; i < count; i++) await limiter.override(`k${i}`, i % 2 === 0 ? "deny" : five);
    return limiter;
  };

  test("take at most twelve times as long where they are ten times as many", async () => {
    const cpuMsOf = async (count: number): Promise<number> => {
      const before = process.cpuUsage();
      const limiter = await many(count);
      expect(await limiter.overrides()).toHaveLength(count);
      const { user, system } = process.cpuUsage(before);
      await limiter.close();
      return (user + system) / 1e3;
    };
    let least = Number.POSITIVE_INFINITY;
    // What grows faster is never so quick; what is interrupted is, another time.
    for (let pair = 0; pair < 20 && least > 12; pair += 1) {
      const few = await cpuMsOf(1000);
      least = Math.min(least, (await cpuMsOf(10_000)) / few);
    }
    expect(least).toBeLessThanOrEqual(12);
  });

  test("are looked up in as many steps as few", async () => {
    const stepsOf = async (count: number): Promise<number> => {
      const limiter = await many(count);
      limiter.consumeSync("other");
      const reads = vi.spyOn(Map.prototype, "get");
      const walks = vi.spyOn(Map.prototype, Symbol.iterator);
      limiter.consumeSync("other");
      limiter.consumeSync("k1");
      const steps = reads.mock.calls.length + count * walks.mock.calls.length;
      vi.restoreAllMocks();
      await limiter.close();
      return steps;
    };
    expect(await stepsOf(5000)).toBe(await stepsOf(50));
  });
});

import { expect, it } from "vitest";
import { fixedWindow, MemoryStore, RateLimiter, tokenBucket } from "../../index.js";
import { ManualClock } from "../../testing/index.js";

it("keeps the policies of a call apart when saving one evicts another", () => {
  const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 1 });
  const daily = fixedWindow({ name: "b", limit: 1000, window: "1h" });
  const burst = tokenBucket({ name: "a", limit: 10, period: "1s" });
  const one = new RateLimiter({ store, policy: daily });
  const both = new RateLimiter({ store, policy: [burst, daily] });
  one.consumeSync("x", { cost: 500 });

  both.consumeSync("x");
  const after = both.consumeSync("x", { cost: 0 });

  expect(after.policies?.map(({ allowed }) => allowed)).toEqual([true, true]);
  expect(store.size).toBe(1);
  expect(store.evictions).toBeGreaterThan(0);
});

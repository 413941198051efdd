/** What hostile keys take of the heap, measured: no more than maxBytes says. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { MemoryStore, RateLimiter, slidingLog, tokenBucket } from "../../index.js";
import { ManualClock } from "../../testing/index.js";
import { runs } from "../../../test/support/runs.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function takenBytes(): number {
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What the runner and the compiler allocate in the meantime. */
const OTHERS_BYTES = 8e6;

describe("unique keys that nobody sends again take no more than the store may", () => {
  const padding = "x".repeat(4000);
  const few = 40_000;
  const kinds: readonly [string, (i: number) => string, number?][] = [
    ["of 4 kB", (i) => `${i}:${padding}`, runs(200_000, 50_000)],
    ["of 4 kB in two bytes a character", (i) => `${i}:${"é中".repeat(400)}`],
    ["of 64 characters", (i) => `${i}:${padding}`.slice(0, 64)],
    ["cut out of longer texts", (i) => `${i}:user-agent:${padding}`.slice(0, 20)],
    ["in two bytes a character", (i) => `中${i}`.padEnd(64, "文")],
  ];

  test.each(kinds)("%s", (_name, keyOf, keys = few) => {
    const maxBytes = 16 * 2 ** 20;
    const store = new MemoryStore({ maxBytes, clock: new ManualClock() });
    const limiter = new RateLimiter({ store, policy: tokenBucket({ limit: 5, period: "1h" }) });
    limiter.consumeSync("first");
    const before = takenBytes();
    for (let i = 0; i < keys; i++) limiter.consumeSync(keyOf(i));
    expect(store.size).toBeGreaterThan(20_000);
    expect(takenBytes() - before).toBeLessThan(maxBytes + OTHERS_BYTES);
    expect(store.bytes).toBeLessThanOrEqual(maxBytes);
  });

  test("with long logs", () => {
    const maxBytes = 16 * 2 ** 20;
    const clock = new ManualClock();
    const store = new MemoryStore({ maxBytes, clock });
    const limiter = new RateLimiter({ store, policy: slidingLog({ limit: 1000, window: "1h" }) });
    limiter.consumeSync("first");
    const before = takenBytes();
    for (let i = 0; i < 2000; i++) {
      for (let hit = 0; hit < 500; hit++) {
        clock.advance(0.001);
        limiter.consumeSync(`key:${i}`);
      }
    }
    expect(store.size).toBeGreaterThan(500);
    expect(takenBytes() - before).toBeLessThan(maxBytes + OTHERS_BYTES);
  });
});

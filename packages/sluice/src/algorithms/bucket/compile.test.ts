import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../../core/errors.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import { RateLimiter } from "../../limiter/rate-limiter.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { runs } from "../../../test/support/runs.js";
import type { BucketParams } from "./kernel.js";
import { gcra } from "../gcra/policy.js";
import { leakyBucket } from "../leaky-bucket/policy.js";
import { compileBucket } from "./compile.js";
import { tokenBucket } from "../token-bucket/policy.js";

const CENTURY_US = 36_525n * 86_400_000_000n;

describe("a bucket that takes more than a hundred years to fill is refused", () => {
  test("at one thousandth more", () => {
    const period = "366d";
    const most = 99.795;
    expect(tokenBucket({ limit: 1, period, burst: most }).burst).toBe(most);
    expect(() => tokenBucket({ limit: 1, period, burst: 99.796 })).toThrow(
      "burst: 99.796 is not allowed; expected at most 99.795, which is what refills in 100 years",
    );
    expect(() => gcra({ limit: 0.001, period })).toThrow(
      expect.objectContaining({ option: "burst", value: 1 }),
    );
    expect(() => leakyBucket({ limit: 1, period, capacity: 100 })).toThrow(
      expect.objectContaining({ option: "capacity", value: 100 }),
    );
  });

  test("exactly, where a product of doubles would let it pass", () => {
    expect(() => tokenBucket({ limit: 0.07, period: 1010.171, burst: 218_679_015.731 })).toThrow(
      InvalidOptionError,
    );
    const policy = tokenBucket({ limit: 0.07, period: 1010.171, burst: 218_679_015.73 });
    const store = new MemoryStore({ clock: new ManualClock() });
    const limiter = new RateLimiter({ policy, store });
    expect(limiter.consumeSync("k", { cost: policy.burst }).allowed).toBe(true);
    expect(limiter.consumeSync("k", { cost: 0.001 }).allowed).toBe(false);
  });

  test("so that a debt always saturates above what a fresh key can take", () => {
    const amounts = fc.integer({ min: 1, max: 1e12 });
    const periods = fc.integer({ min: 1000, max: 366 * 86_400e6 });
    fc.assert(
      fc.property(amounts, periods, fc.integer({ min: -2, max: 2 }), (limit, period, near) => {
        const exact = (CENTURY_US * BigInt(limit)) / BigInt(period);
        const most = exact < 10n ** 12n ? Number(exact) : 1e12;
        const capacity = Math.max(1, most + near);
        let policy;
        try {
          policy = tokenBucket({
            limit: limit / 1000,
            period: period / 1000,
            burst: capacity / 1000,
          });
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidOptionError);
          expect(capacity).toBeGreaterThan(most);
          return;
        }
        expect(capacity).toBeLessThanOrEqual(most);
        const { params } = compileBucket(policy.limit, policy.period, policy.burst);
        expect((params as BucketParams).maximum).toBeGreaterThanOrEqual(params.capacity);
      }),
      { numRuns: runs(5000) },
    );
  });
});

describe("a policy of a bucket", () => {
  test("has the limit as its burst unless told otherwise, gcra 1", () => {
    expect(tokenBucket({ limit: 7, period: "1s" })).toEqual({
      algorithm: "token-bucket",
      name: "token-bucket",
      limit: 7,
      period: 1000,
      burst: 7,
      refill: "continuous",
    });
    expect(gcra({ limit: 7, period: "1s" }).burst).toBe(1);
  });

  test("reduces its rate to lowest terms, so that equal rates are one", () => {
    const terms = (limit: number, periodMs: number): readonly number[] => {
      const { limit: thousandths, period } = compileBucket(limit, periodMs, 1)
        .params as BucketParams;
      return [thousandths, period];
    };
    expect(terms(3, 1000)).toEqual([3, 1000]);
    expect(terms(180, 60_000)).toEqual([3, 1000]);
    expect(terms(7, 60_000)).toEqual([7, 60_000]);
  });
});

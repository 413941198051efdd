import { describe, expect, test } from "vitest";
import { RateLimiter } from "../../limiter/rate-limiter.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { LOG_FULL, READY } from "../kernel.js";
import {
  MAX_HITS,
  type SlidingLogParams,
  type SlidingLogState,
  slidingLogKernel,
} from "./kernel.js";
import { slidingLog } from "./policy.js";

const log = slidingLogKernel;

const SECOND = 1e6;
const params: SlidingLogParams = { capacity: 5000, window: 10 * SECOND };

function filled(hits: number, amount: number, everyUs = 1): SlidingLogState {
  const state = log.fresh();
  for (let i = 0; i < hits; i++) {
    log.advance(state, params, i * everyUs);
    log.take(state, params, amount, i * everyUs);
  }
  return state;
}

describe("a full log", () => {
  const policy = slidingLog({ limit: 10_000, window: "1h" });

  test("takes 10,000 hits and refuses one more by an error, which writes nothing", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    for (let i = 0; i < MAX_HITS; i++) {
      limiter.consumeSync("k", { cost: 0.5 });
      clock.advance(0.001);
    }
    const before = limiter.consumeSync("k", { cost: 0 });
    expect(before).toMatchObject({ allowed: true, remaining: 5000 });
    expect(() => limiter.consumeSync("k", { cost: 0.5 })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION", option: "cost" }),
    );
    expect(limiter.consumeSync("k", { cost: 0 })).toEqual(before);
    // What is denied anyway is a denial, not an error.
    expect(limiter.consumeSync("k", { cost: 9999 }).allowed).toBe(false);
    // The first hit leaves an hour after it came.
    clock.advance(3_600_000 - (MAX_HITS - 1) * 0.001);
    expect(limiter.consumeSync("k", { cost: 0.5 }).allowed).toBe(true);
  });

  test("still takes what falls on its newest hit's microsecond", () => {
    const state = filled(MAX_HITS, 0.5);
    expect(log.ready?.(state, params, MAX_HITS - 1)).toBe(READY);
    expect(log.ready?.(state, params, MAX_HITS)).toBe(LOG_FULL);
  });

  test("is told to a penalty too", async () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    for (let i = 0; i < MAX_HITS; i++) {
      limiter.consumeSync("k", { cost: 0.001 });
      clock.advance(0.001);
    }
    await expect(limiter.penalize("k", 1)).rejects.toMatchObject({ option: "cost" });
    await expect(limiter.penalize("k", 0)).resolves.toMatchObject({ allowed: true });
    await expect(limiter.refund("k", 1)).resolves.toMatchObject({ remaining: 9991 });
  });
});

describe("hits that left the window", () => {
  test("are forgotten a hundred at a time, by calls that write", () => {
    const state = filled(350, 1);
    const later = 20 * SECOND;
    for (const left of [250, 150, 50, 0, 0]) {
      log.advance(state, params, later);
      expect(log.available(state, params, later)).toBeGreaterThan(0);
      log.take(state, params, 1, later);
      expect(state.next - 1 - state.first).toBe(left);
    }
  });

  test("count no more, however many of them are still stored", () => {
    const state = filled(5000, 1);
    expect(log.available(state, params, 4999)).toBe(0);
    log.advance(state, params, 10 * SECOND + 2499);
    expect(log.available(state, params, 10 * SECOND + 2499)).toBe(2500);
    expect(log.timeUntil(state, params, 2501, 10 * SECOND + 2499)).toBe(1);
    expect(log.timeUntil(state, params, 5000, 10 * SECOND + 2499)).toBe(2500);
  });
});

describe("the running sum", () => {
  test("wraps without a trace", () => {
    const state = log.fresh();
    // As a key that has lived long: a little below where sums wrap.
    state.total = 2 ** 52 - 1500;
    for (const [at, amount] of [
      [0, 1000],
      [1, 1000],
      [2, 1000],
    ] as const) {
      log.advance(state, params, at);
      log.take(state, params, amount, at);
    }
    expect(state.total).toBe(1500);
    expect(log.available(state, params, 2)).toBe(2000);
    expect(log.timeUntil(state, params, 3000, 2)).toBe(10 * SECOND - 2);
    expect(log.timeUntil(state, params, 4000, 2)).toBe(10 * SECOND - 1);
    log.advance(state, params, 10 * SECOND);
    expect(log.available(state, params, 10 * SECOND)).toBe(3000);
    log.advance(state, params, 10 * SECOND + 1);
    expect(log.available(state, params, 10 * SECOND + 1)).toBe(4000);
  });
});

test("a copy is independent of what it was made from", () => {
  const state = filled(10, 100);
  const copy = log.copy(state);
  log.take(copy, params, 1000, 20);
  log.giveBack(copy, params, 500);
  expect(log.available(state, params, 20)).toBe(4000);
  expect(state.hits.at(9)).toBe(9);
  expect(state.hits.at(10)).toBeUndefined();
});

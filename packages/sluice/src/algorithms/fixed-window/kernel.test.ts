import { expect, test } from "vitest";
import { MAX_USED } from "../kernel.js";
import { slidingWindowKernel } from "../sliding-window/kernel.js";
import { windowKernel } from "./kernel.js";

const kernel = windowKernel(
  "t",
  () => 1000,
  () => [],
);
const params = { capacity: 5000 };

test("a window's count saturates, so that sums stay exact", () => {
  const state = kernel.fresh();
  kernel.take(state, params, MAX_USED - 1, 0);
  kernel.take(state, params, 1e12, 0);
  expect(kernel.available(state, params, 0)).toBe(5000 - MAX_USED);
});

test("a sliding window's count saturates, and still fades exactly", () => {
  const sliding = { capacity: 5000, window: 366 * 86_400e6 };
  const state = slidingWindowKernel.fresh();
  slidingWindowKernel.advance(state, sliding, 0);
  slidingWindowKernel.take(state, sliding, MAX_USED - 1, 0);
  slidingWindowKernel.take(state, sliding, 1e12, 0);
  expect(state.current).toBe(MAX_USED);
  const { window } = sliding;
  const waitUs = slidingWindowKernel.timeUntil(state, sliding, 5000, 0);
  expect(waitUs).toBe(2 * window);
  const oneUs = window - Number((4000n * BigInt(window)) / BigInt(MAX_USED));
  expect(slidingWindowKernel.timeUntil(state, sliding, 1000, 0)).toBe(window + oneUs);
});

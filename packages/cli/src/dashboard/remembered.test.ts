import timers from "node:timers";
import { RateLimiter, slidingLog } from "sluice";
import { afterEach, expect, test, vi } from "vitest";
import { RememberedAttempts } from "./remembered.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const limiterOf = (): RateLimiter =>
  new RateLimiter({ policy: slidingLog({ limit: 3, window: "1h" }) });

/** Replaces the timer; `pass` lets it end. */
function setUpTimer() {
  const timer = { refresh: vi.fn(), unref: vi.fn() };
  const started = vi.spyOn(timers, "setTimeout").mockReturnValue(timer as never);
  const ended = vi.spyOn(timers, "clearTimeout").mockReturnValue();
  const pass = (): void => {
    const [passed] = started.mock.calls.at(-1) ?? [];
    (passed as () => void)();
  };
  return { timer, started, ended, pass };
}

test("nothing is remembered before somebody looks, nor a quarter of an hour after", async () => {
  const { timer, started, ended, pass } = setUpTimer();
  const limiter = limiterOf();
  const remembered = new RememberedAttempts(10, [limiter]);
  await limiter.consume("ann");
  expect(remembered.recent).toBeUndefined();
  remembered.wanted();
  expect(started).toHaveBeenCalledExactlyOnceWith(expect.any(Function), 15 * 60_000);
  expect(timer.unref).toHaveBeenCalledOnce();
  await limiter.consume("ann");
  remembered.wanted();
  expect(timer.refresh).toHaveBeenCalledOnce();
  await limiter.consume("ann");
  const before = remembered.recent;
  expect(before?.count).toBe(2);
  pass();
  expect(remembered.recent).toBeUndefined();
  await limiter.consume("ann");
  expect(before?.count).toBe(0);
  remembered.wanted();
  expect(remembered.recent?.count).toBe(0);
  remembered.close();
  expect(ended).toHaveBeenLastCalledWith(timer);
});

test("of none that may be kept, none are", async () => {
  const { started } = setUpTimer();
  const limiter = limiterOf();
  const remembered = new RememberedAttempts(0, [limiter]);
  remembered.wanted();
  await limiter.consume("ann");
  expect(remembered.recent).toBeUndefined();
  expect(started).not.toHaveBeenCalled();
});

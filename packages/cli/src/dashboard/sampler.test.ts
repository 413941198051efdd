import timers from "node:timers";
import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
import { report, type Reporter } from "sluice/report";
import { ManualClock } from "sluice/testing";
import { afterEach, expect, test, vi } from "vitest";
import { Sampler } from "./sampler.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const MINUTE_MS = 60_000;

/** Of a store in this process; `flush` replaces the reporter's, and `tick` a second. */
function setUp(flush: () => Promise<void>) {
  const flushed = vi.fn(flush);
  const timer = { unref: vi.fn() };
  const started = vi.spyOn(timers, "setInterval").mockReturnValue(timer as never);
  const ended = vi.spyOn(timers, "clearInterval").mockReturnValue();
  const nowMs = vi.spyOn(performance, "now").mockReturnValue(0);
  const onLook = vi.fn();
  const reporter = { flush: flushed } as unknown as Reporter;
  const sampler = new Sampler({ store: new MemoryStore(), name: "sluice", reporter, onLook });
  const tick = (): void => {
    const [run] = started.mock.calls[0] ?? [];
    (run as () => void)();
  };
  return { sampler, flushed, started, ended, nowMs, onLook, tick };
}

test("all who ask at once are served by one look, and none looks before anybody asks", async () => {
  const { sampler, flushed, onLook, started } = setUp(() => Promise.resolve());
  expect(started).not.toHaveBeenCalled();
  await Promise.all([sampler.wanted(), sampler.wanted(), sampler.wanted()]);
  await sampler.wanted();
  expect([flushed.mock.calls.length, onLook.mock.calls.length]).toEqual([1, 1]);
  expect(started).toHaveBeenCalledExactlyOnceWith(expect.any(Function), 1000);
});

test("15 s after the last one asked it looks no more, until somebody asks again", async () => {
  const { sampler, flushed, ended, nowMs, tick, started } = setUp(() => Promise.resolve());
  await sampler.wanted();
  nowMs.mockReturnValue(15_000);
  tick();
  expect(flushed).toHaveBeenCalledTimes(2);
  nowMs.mockReturnValue(15_001);
  tick();
  expect([flushed.mock.calls.length, ended.mock.calls.length]).toEqual([2, 1]);
  await sampler.wanted();
  expect(started).toHaveBeenCalledTimes(2);
});

test("a store that does not answer is not waited for, and is asked three times at once at most", async () => {
  const late: (() => void)[] = [];
  const timer = { unref: vi.fn() };
  vi.spyOn(timers, "setTimeout").mockImplementation(((run: () => void) => {
    late.push(run);
    return timer;
  }) as never);
  vi.spyOn(timers, "clearTimeout").mockReturnValue();
  const { sampler, flushed, tick } = setUp(() => new Promise(() => {}));
  const wanted = sampler.wanted();
  await vi.waitFor(() => {
    expect(late).toHaveLength(1);
  });
  late.pop()?.();
  await wanted;
  expect(sampler.stale).toMatchObject({ why: "the store does not answer" });
  for (let i = 0; i < 5; i++) {
    tick();
    late.pop()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(flushed).toHaveBeenCalledTimes(3);
});

test("the first minute is counted from when a process began in it, and rates are by that", async () => {
  const began = 1_764_000_000_000 + 20_000;
  const clock = new ManualClock(began * 1000);
  const store = new MemoryStore({ clock });
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 100, period: "1h" }),
    store,
    namespace: "edge",
  });
  const reporter = report({ store, limiters: [limiter] });
  clock.advance(3000);
  for (let i = 0; i < 30; i++) await limiter.consume("ann");
  const sampler = new Sampler({ store, name: "sluice", reporter, onLook: () => {} });
  await sampler.wanted();
  const { seconds } = sampler.seconds.since(undefined);
  expect(seconds).toMatchObject([{ asked: 30 }]);
  const [first] = seconds;
  expect(first?.fromMs).toBeGreaterThan(Math.floor(began / MINUTE_MS) * MINUTE_MS);
  expect([...sampler.rates.values()][0]?.asked).toBeCloseTo(30 / ((first?.spanMs ?? 0) / 1000));
  sampler.close();
  await reporter.end();
  await limiter.close();
});

import { getEventListeners } from "node:events";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runs } from "../../test/support/runs.js";
import type * as ClockModule from "./clock.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const START = new Date("2026-01-01T00:00:00Z");

let clock: typeof ClockModule;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"], now: START });
  vi.resetModules();
  clock = await import("./clock.js");
});

afterEach(() => {
  vi.useRealTimers();
});

/** Steps of the system's clock that the monotonic one does not take part in. */
function stepSystemClock(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

describe("the machine's clock", () => {
  test("shows the system's time in whole microseconds", () => {
    expect(clock.systemClock.nowUs()).toBe(START.getTime() * 1000);
    vi.advanceTimersByTime(1234);
    expect(clock.systemClock.nowUs()).toBe((START.getTime() + 1234) * 1000);
    expect(Number.isSafeInteger(clock.systemClock.nowUs())).toBe(true);
  });

  test.each([60_000, -60_000, 3, 1, -3])(
    "follows a step of the system's clock of %d ms at once",
    (step) => {
      const before = clock.systemClock.nowUs();
      stepSystemClock(step);
      expect(clock.systemClock.nowUs() - before).toBe(step * 1000);
      vi.advanceTimersByTime(250);
      expect(clock.systemClock.nowUs() - before).toBe((250 + step) * 1000);
    },
  );

  test("does not go back for the millisecond that the system's clock is coarse", () => {
    const before = clock.systemClock.nowUs();
    stepSystemClock(-1);
    vi.advanceTimersByTime(250);
    expect(clock.systemClock.nowUs() - before).toBe(250_000);
  });

  test("cannot be changed by who is given it", () => {
    expect(Object.isFrozen(clock.systemClock)).toBe(true);
  });
});

describe("the time that has passed", () => {
  /** The monotonic clock alone, which `Date` does not take part in. */
  function stepMonotonic(ms: number): void {
    const systemMs = Date.now();
    vi.advanceTimersByTime(ms);
    vi.setSystemTime(systemMs);
  }

  describe("by the clocks of the machine", () => {
    afterEach(() => {
      vi.restoreAllMocks();
      vi.unstubAllGlobals();
    });

    /** A module that began with clocks that look like the machine's, and show what is set here. */
    async function machine(): Promise<{
      elapsed: InstanceType<typeof clock.ElapsedClock>;
      shown: { monotonicMs: number; systemMs: number; readings: number };
    }> {
      const shown = { monotonicMs: 0, systemMs: START.getTime(), readings: 0 };
      const now = (): number => {
        shown.readings += 1;
        return shown.systemMs;
      };
      now.toString = () => "function now() { [native code] }";
      vi.stubGlobal(
        "Date",
        Object.assign(() => "", { now }),
      );
      vi.stubGlobal("performance", { now: () => shown.monotonicMs });
      vi.resetModules();
      const { ElapsedClock } = await import("./clock.js");
      const elapsed = new ElapsedClock();
      elapsed.nowUs();
      elapsed.nowUs();
      shown.readings = 0;
      return { elapsed, shown };
    }

    test("reads the wall clock once in a millisecond", async () => {
      const { elapsed, shown } = await machine();
      const began = elapsed.nowUs();
      for (let us = 1; us <= 10_000; us++) {
        shown.monotonicMs = us / 1e3;
        shown.systemMs = START.getTime() + Math.floor(us / 1e3);
        expect(elapsed.nowUs() - began).toBeGreaterThanOrEqual(us - 1);
      }
      expect(elapsed.nowUs() - began).toBeLessThanOrEqual(10_001);
      expect(shown.readings).toBeGreaterThanOrEqual(10);
      expect(shown.readings).toBeLessThanOrEqual(12);
    });

    test("follows a step of the wall clock within a millisecond", async () => {
      const { elapsed, shown } = await machine();
      const began = elapsed.nowUs();
      shown.systemMs += 60_000;
      shown.monotonicMs += 0.999;
      expect(elapsed.nowUs() - began).toBe(999);
      shown.monotonicMs = 1;
      expect(elapsed.nowUs() - began).toBeGreaterThanOrEqual(60_000_000);
    });

    test.each<[string, (shown: { systemMs: number }) => void]>([
      ["Date", ({ systemMs }) => vi.stubGlobal("Date", { now: () => systemMs + 60_000 })],
      ["Date.now", ({ systemMs }) => void vi.spyOn(Date, "now").mockReturnValue(systemMs + 60_000)],
    ])("follows a fake of %s at once, and when it moves", async (_, install) => {
      const { elapsed, shown } = await machine();
      const began = elapsed.nowUs();
      install(shown);
      expect(elapsed.nowUs() - began).toBe(60_000_000);
      shown.systemMs += 60_000;
      install(shown);
      expect(elapsed.nowUs() - began).toBe(120_000_000);
    });

    test.each<[string, (ms: number) => void]>([
      ["performance", (ms) => vi.stubGlobal("performance", { now: () => ms })],
      ["performance.now", (ms) => void vi.spyOn(performance, "now").mockReturnValue(ms)],
    ])("goes by the wall clock where a fake of %s stands still", async (_, install) => {
      const { elapsed, shown } = await machine();
      const began = elapsed.nowUs();
      shown.monotonicMs = 2;
      install(2);
      shown.systemMs += 2;
      elapsed.nowUs();
      shown.systemMs += 500;
      expect(elapsed.nowUs() - began).toBe(502_000);
    });

    test("never goes back where the monotonic clock does", async () => {
      const { elapsed, shown } = await machine();
      shown.monotonicMs = 0.9;
      const before = elapsed.nowUs();
      shown.monotonicMs = 0.5;
      expect(elapsed.nowUs()).toBeGreaterThanOrEqual(before);
    });
  });

  test("begins at the wall clock", () => {
    expect(new clock.ElapsedClock().nowUs()).toBe(START.getTime() * 1000);
  });

  test("moves on by what the monotonic or the wall clock moved, whichever is more", () => {
    const elapsed = new clock.ElapsedClock();
    const began = elapsed.nowUs();
    const passedMs = (): number => (elapsed.nowUs() - began) / 1e3;
    vi.advanceTimersByTime(1234);
    expect(passedMs()).toBe(1234);
    stepSystemClock(-3_600_000);
    expect(passedMs()).toBe(1234);
    expect(elapsed.wallUs).toBe(Date.now() * 1e3);
    vi.advanceTimersByTime(66);
    expect(passedMs()).toBe(1300);
    stepSystemClock(61_000);
    expect(passedMs()).toBe(62_300);
    stepMonotonic(700);
    expect(passedMs()).toBe(63_000);
    stepSystemClock(1);
    expect(passedMs()).toBe(63_001);
  });

  test("never goes back and never gains, however coarse the wall clock is and wherever it is read", () => {
    const millisecond = fc.array(fc.integer({ min: 1, max: 1700 }), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(millisecond, fc.integer({ min: 0, max: 999 }), (stepsUs, offsetUs) => {
        let trueUs = 1e12 + offsetUs;
        vi.stubGlobal("performance", { now: () => (trueUs - 1e12) / 1e3 });
        const date = vi.spyOn(Date, "now").mockImplementation(() => Math.floor(trueUs / 1e3));
        const elapsed = new clock.ElapsedClock();
        const began = elapsed.nowUs();
        let last = began;
        const beganUs = trueUs;
        for (const us of stepsUs) {
          trueUs += us;
          const now = elapsed.nowUs();
          expect(now).toBeGreaterThanOrEqual(last);
          expect(Number.isSafeInteger(now)).toBe(true);
          last = now;
        }
        // What the wall clock's first millisecond hid may be found out once, and no more than that.
        expect(last - began).toBeGreaterThanOrEqual(trueUs - beganUs - 1);
        expect(last - began).toBeLessThanOrEqual(trueUs - beganUs + 1000);
        date.mockRestore();
        vi.unstubAllGlobals();
      }),
      { numRuns: runs(200) },
    );
  });

  test("does not count an interruption between the two readings twice", () => {
    let trueMs = 5000;
    let interruptIn = -1;
    const read = (): number => {
      interruptIn -= 1;
      if (interruptIn === 0) trueMs += 300;
      return trueMs;
    };
    vi.stubGlobal("performance", { now: read });
    const date = vi.spyOn(Date, "now").mockImplementation(() => 1e12 + read());
    for (const at of [1, 2, 3, 4, 5]) {
      const elapsed = new clock.ElapsedClock();
      const began = elapsed.nowUs();
      const beganMs = trueMs;
      interruptIn = at;
      elapsed.nowUs();
      interruptIn = -1;
      elapsed.nowUs();
      expect((elapsed.nowUs() - began) / 1e3).toBe(trueMs - beganMs);
    }
    date.mockRestore();
    vi.unstubAllGlobals();
  });

  test("nor one in a reading that finds a step", () => {
    let trueMs = 5000;
    let aheadMs = 1e12;
    let interruptIn = -1;
    const read = (): number => {
      interruptIn -= 1;
      if (interruptIn === 0) trueMs += 300;
      return trueMs;
    };
    vi.stubGlobal("performance", { now: read });
    const date = vi.spyOn(Date, "now").mockImplementation(() => aheadMs + read());
    for (const at of [1, 2, 3, 4, 5, 6]) {
      const elapsed = new clock.ElapsedClock();
      const began = elapsed.nowUs();
      const beganMs = trueMs;
      aheadMs += 10;
      interruptIn = at;
      elapsed.nowUs();
      interruptIn = -1;
      expect((elapsed.nowUs() - began) / 1e3).toBe(trueMs - beganMs + 10);
    }
    date.mockRestore();
    vi.unstubAllGlobals();
  });

  test("stays a whole number of µs however far tests move Date", () => {
    const elapsed = new clock.ElapsedClock();
    let last = elapsed.nowUs();
    for (let i = 0; i < 20; i++) {
      vi.setSystemTime(0);
      elapsed.nowUs();
      vi.setSystemTime(START);
      const now = elapsed.nowUs();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
    expect(last).toBeLessThan(5.8e15);
  });
});

describe("sleep", () => {
  test("ends after its time and not before", async () => {
    const ended = vi.fn();
    const slept = clock.systemClock.sleep(1000).then(ended);
    await vi.advanceTimersByTimeAsync(999);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toHaveBeenCalledOnce();
    await slept;
  });

  test.each([0, -1, Number.NaN])("of %d ms starts no timer", async (ms) => {
    await clock.systemClock.sleep(ms);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([0.5, 1, 2, 3, 60_000])(
    "of %d ms ends where tests fake timers and Date alone",
    async (ms) => {
      vi.stubGlobal("performance", { now: () => 5000 });
      const ended = vi.fn();
      const slept = clock.systemClock.sleep(ms).then(ended);
      await vi.advanceTimersByTimeAsync(Math.ceil(ms));
      expect(ended).toHaveBeenCalledOnce();
      await slept;
      vi.unstubAllGlobals();
    },
  );

  test("ends with its timer where tests fake timers alone", async () => {
    vi.stubGlobal("performance", { now: () => 5000 });
    const date = vi.spyOn(Date, "now").mockReturnValue(START.getTime());
    const ended = vi.fn();
    const slept = clock.systemClock.sleep(1000).then(ended);
    await vi.advanceTimersByTimeAsync(1000);
    expect(ended).toHaveBeenCalledOnce();
    await slept;
    date.mockRestore();
    vi.unstubAllGlobals();
  });

  test("longer than a timer can be is split, so that it does not end at once", async () => {
    const started = vi.spyOn(globalThis, "setTimeout");
    const ended = vi.fn();
    const slept = clock.systemClock.sleep(2 * LONGEST_TIMER_MS + 5).then(ended);
    await vi.advanceTimersByTimeAsync(LONGEST_TIMER_MS);
    await vi.advanceTimersByTimeAsync(LONGEST_TIMER_MS);
    await vi.advanceTimersByTimeAsync(4);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await slept;
    expect(started.mock.calls.map(([, ms]) => ms)).toEqual([LONGEST_TIMER_MS, LONGEST_TIMER_MS, 5]);
    started.mockRestore();
  });

  test("that is aborted rejects with the reason at once and leaves no timer", async () => {
    const controller = new AbortController();
    const slept = clock.systemClock.sleep(60_000, controller.signal);
    const reason = slept.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(10);
    controller.abort(new Error("enough"));
    expect(await reason).toMatchObject({ message: "enough" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that is aborted in its second part rejects too", async () => {
    const controller = new AbortController();
    const slept = clock.systemClock.sleep(LONGEST_TIMER_MS + 100, controller.signal);
    const reason = slept.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(LONGEST_TIMER_MS + 1);
    controller.abort(new Error("enough"));
    expect(await reason).toMatchObject({ message: "enough" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([0, 60_000])("of %d ms with a signal aborted before rejects", async (ms) => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(clock.systemClock.sleep(ms, signal)).rejects.toThrow("enough");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("leaves no listener on a signal that many sleeps share", async () => {
    const { signal } = new AbortController();
    for (let i = 0; i < 20; i++) {
      const slept = clock.systemClock.sleep(5, signal);
      await vi.advanceTimersByTimeAsync(5);
      await slept;
    }
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("a one-shot timer", () => {
  test("fires once, rounded up to whole milliseconds", () => {
    const fire = vi.fn();
    clock.startTimer(9.2, fire);
    vi.advanceTimersByTime(9);
    expect(fire).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    vi.advanceTimersByTime(100);
    expect(fire).toHaveBeenCalledOnce();
  });

  test("does not fire once cancelled", () => {
    const fire = vi.fn();
    clock.startTimer(10, fire).cancel();
    vi.advanceTimersByTime(100);
    expect(fire).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("of more than a timer can be does not fire at once", () => {
    const fire = vi.fn();
    const timer = clock.startTimer(LONGEST_TIMER_MS * 2, fire);
    vi.advanceTimersByTime(1000);
    expect(fire).not.toHaveBeenCalled();
    timer.cancel();
  });

  test("of more than a timer can be fires when all of its time is over", () => {
    const fire = vi.fn();
    clock.startTimer(2 * LONGEST_TIMER_MS + 5, fire);
    vi.advanceTimersByTime(LONGEST_TIMER_MS);
    vi.advanceTimersByTime(LONGEST_TIMER_MS);
    vi.advanceTimersByTime(4);
    expect(fire).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fire).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("of more than a timer can be is cancelled in any of its parts", () => {
    const fire = vi.fn();
    const timer = clock.startTimer(2 * LONGEST_TIMER_MS, fire);
    vi.advanceTimersByTime(LONGEST_TIMER_MS + 1);
    timer.cancel();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("says whether it keeps the process alive", () => {
    vi.useRealTimers();
    const alive = (): number =>
      process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const others = alive();
    const timer = clock.startTimer(60_000, () => {});
    expect(alive()).toBe(others + 1);
    timer.unref();
    expect(alive()).toBe(others);
    timer.ref();
    expect(alive()).toBe(others + 1);
    timer.cancel();
  });
});

test("monotonicUs measures spans by the machine's monotonic clock, and by a test's clock in a test", () => {
  const before = clock.monotonicUs(clock.systemClock);
  stepSystemClock(-3_600_000);
  vi.advanceTimersByTime(5);
  expect(clock.monotonicUs(clock.systemClock) - before).toBe(5000);
  expect(clock.monotonicUs({ nowUs: () => 7, sleep: () => Promise.resolve() })).toBe(7);
});

test("monotonicMs measures spans that steps of the system's clock do not touch", () => {
  const before = clock.monotonicMs();
  stepSystemClock(-3_600_000);
  vi.advanceTimersByTime(5);
  expect(clock.monotonicMs() - before).toBe(5);
});

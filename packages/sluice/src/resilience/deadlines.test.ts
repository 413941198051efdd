import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Deadlines, type Pending } from "./deadlines.js";

// Under a clock that stands still, the turn in which late answers may still come is this one.
vi.mock(import("../core/clock.js"), async (original) => ({
  ...(await original()),
  inNextTurn: (task: () => void) => {
    task();
  },
}));

const TIMEOUT_MS = 100;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const deadlinesOf = (timeoutMs = TIMEOUT_MS): Deadlines<string> =>
  new Deadlines(timeoutMs, () => "late");

describe("a wait", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test("ends with what it is settled with, if that is in time", () => {
    const deadlines = deadlinesOf();
    const done = vi.fn();
    const pending = deadlines.begin(done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    expect(deadlines.settle(pending, "answer")).toBe(true);
    expect(done).toHaveBeenCalledExactlyOnceWith("answer");
  });

  test("ends at its own time if it is not settled before", () => {
    const done = vi.fn();
    deadlinesOf().begin(done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(done).toHaveBeenCalledExactlyOnceWith("late");
  });

  test("drops what comes late, or a second time", () => {
    const deadlines = deadlinesOf();
    const [first, second] = [vi.fn(), vi.fn()];
    const [one, two] = [deadlines.begin(first), deadlines.begin(second)];
    deadlines.settle(one, "answer");
    expect(deadlines.settle(one, "again")).toBe(false);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(deadlines.settle(two, "answer")).toBe(false);
    vi.advanceTimersByTime(10 * TIMEOUT_MS);
    expect(first).toHaveBeenCalledExactlyOnceWith("answer");
    expect(second).toHaveBeenCalledExactlyOnceWith("late");
  });

  test("of many ends in the order in which they began, each at its own time", () => {
    const deadlines = deadlinesOf();
    const ended: [number, number][] = [];
    const startMs = performance.now();
    for (let i = 0; i < 50; i++) {
      deadlines.begin(() => ended.push([i, performance.now() - startMs]));
      vi.advanceTimersByTime(3);
    }
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(ended).toEqual(Array.from({ length: 50 }, (_, i) => [i, i * 3 + TIMEOUT_MS]));
  });

  test("of many that began at once ends at once", () => {
    const deadlines = deadlinesOf();
    const done = vi.fn();
    for (let i = 0; i < 1000; i++) deadlines.begin(done);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(done).toHaveBeenCalledTimes(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that begins while the timer of an earlier one still runs has its whole time", () => {
    const deadlines = deadlinesOf();
    const first = deadlines.begin(() => {});
    vi.advanceTimersByTime(60);
    deadlines.settle(first, "answer");
    const done = vi.fn();
    deadlines.begin(done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(done).toHaveBeenCalledOnce();
  });

  test("may be begun by the end of another", () => {
    const deadlines = deadlinesOf();
    const outcomes: string[] = [];
    deadlines.begin((first) => {
      outcomes.push(first);
      deadlines.begin((second) => outcomes.push(second));
    });
    deadlines.begin((other) => outcomes.push(other));
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(outcomes).toEqual(["late", "late"]);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(outcomes).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(outcomes).toEqual(["late", "late", "late"]);
  });

  test("that others outlive is not kept, however long the load is constant", () => {
    const deadlines = deadlinesOf();
    const underWay: Pending<string>[] = [];
    const kept: WeakRef<object>[] = [];
    // At every moment some waits are under way, so that the queue is never empty.
    for (let ms = 0; ms < 30 * TIMEOUT_MS; ms++) {
      const pending = deadlines.begin(() => {});
      kept.push(new WeakRef(pending));
      underWay.push(pending);
      if (underWay.length > 5) deadlines.settle(underWay.shift() as Pending<string>, "done");
      vi.advanceTimersByTime(1);
    }
    return new Promise<void>((resolve) => {
      // What was made in this turn is kept to its end.
      setImmediate(() => {
        collectGarbage();
        const alive = kept.filter((pending) => pending.deref() !== undefined).length;
        expect(alive).toBeLessThan(3 * TIMEOUT_MS);
        resolve();
      });
    });
  });
});

describe("the timer", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test("is one for many waits, and stays while they come and go", () => {
    const started = vi.spyOn(globalThis, "setTimeout");
    const deadlines = deadlinesOf();
    for (let i = 0; i < 1000; i++) {
      const pending = deadlines.begin(() => {});
      deadlines.settle(pending, "done");
    }
    expect(started).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(1);
    started.mockRestore();
  });

  test("runs out when nothing is pending, and starts again with the next wait", () => {
    const deadlines = deadlinesOf();
    deadlines.settle(
      deadlines.begin(() => {}),
      "done",
    );
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(vi.getTimerCount()).toBe(0);
    const done = vi.fn();
    deadlines.begin(done);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(done).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("the process is kept alive while something is pending, and not after", () => {
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const deadlines = deadlinesOf(60_000);
  const [first, second] = [deadlines.begin(() => {}), deadlines.begin(() => {})];
  expect(timers()).toBe(before + 1);
  deadlines.settle(first, "a");
  expect(timers()).toBe(before + 1);
  deadlines.settle(second, "b");
  expect(timers()).toBe(before);
  const third = deadlines.begin(() => {});
  expect(timers()).toBe(before + 1);
  deadlines.settle(third, "c");
  expect(timers()).toBe(before);
});

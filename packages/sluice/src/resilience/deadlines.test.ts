import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Heartbeat } from "../core/heartbeat.js";
import type { Submitted } from "../stores/hand-over.js";
import { handOverNow } from "../stores/redis/batcher.js";
import { Deadlines, type Pending } from "./deadlines.js";

// Under a clock that stands still, the turn in which late answers may still come is this one.
vi.mock(import("../core/clock.js"), async (original) => ({
  ...(await original()),
  inNextTurn: (task: () => void) => {
    task();
  },
}));

const TIMEOUT_MS = 100;
/** How long the heartbeat goes on after the last wait. */
const LAST_BEATS_MS = 1000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const deadlinesOf = (timeoutMs = TIMEOUT_MS): Deadlines<Submitted, string> =>
  new Deadlines({ timeoutMs, heartbeat: new Heartbeat(), late: "late" });

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
    const pending = deadlines.begin({}, done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    expect(deadlines.settle(pending, "answer")).toBe(true);
    expect(done).toHaveBeenCalledExactlyOnceWith("answer");
  });

  test("ends at its own time if it is not settled before", () => {
    const done = vi.fn();
    deadlinesOf().begin({}, done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(done).toHaveBeenCalledExactlyOnceWith("late");
  });

  test("drops what comes late, or a second time", () => {
    const deadlines = deadlinesOf();
    const [first, second] = [vi.fn(), vi.fn()];
    const [one, two] = [deadlines.begin({}, first), deadlines.begin({}, second)];
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
      deadlines.begin({}, () => ended.push([i, performance.now() - startMs]));
      vi.advanceTimersByTime(3);
    }
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(ended).toEqual(Array.from({ length: 50 }, (_, i) => [i, i * 3 + TIMEOUT_MS]));
  });

  test("of many that began at once ends at once", () => {
    const deadlines = deadlinesOf();
    const done = vi.fn();
    for (let i = 0; i < 1000; i++) deadlines.begin({}, done);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(done).toHaveBeenCalledTimes(1000);
    vi.advanceTimersByTime(LAST_BEATS_MS);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that begins while the timer of an earlier one still runs has its whole time", () => {
    const deadlines = deadlinesOf();
    const first = deadlines.begin({}, () => {});
    vi.advanceTimersByTime(60);
    deadlines.settle(first, "answer");
    const done = vi.fn();
    deadlines.begin({}, done);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(done).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(done).toHaveBeenCalledOnce();
  });

  test("may be begun by the end of another", () => {
    const deadlines = deadlinesOf();
    const outcomes: string[] = [];
    deadlines.begin({}, (first) => {
      outcomes.push(first);
      deadlines.begin({}, (second) => outcomes.push(second));
    });
    deadlines.begin({}, (other) => outcomes.push(other));
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(outcomes).toEqual(["late", "late"]);
    vi.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(outcomes).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(outcomes).toEqual(["late", "late", "late"]);
  });

  test("that others outlive is not kept, however long the load is constant", () => {
    const deadlines = deadlinesOf();
    const underWay: Pending<Submitted, string>[] = [];
    const kept: WeakRef<object>[] = [];
    // At every moment some waits are under way, so that the queue is never empty.
    for (let ms = 0; ms < 30 * TIMEOUT_MS; ms++) {
      const pending = deadlines.begin({}, () => {});
      kept.push(new WeakRef(pending));
      underWay.push(pending);
      const oldest = underWay.length > 5 ? underWay.shift() : undefined;
      if (oldest !== undefined) deadlines.settle(oldest, "done");
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

describe("a wait in a process that is busy", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  /** When `call` is answered, from now on; `steps` happen at their times. */
  function toldAfterMs(call: Submitted, steps: Readonly<Record<number, () => void>> = {}): number {
    const deadlines = deadlinesOf();
    const beganMs = performance.now();
    let toldMs = Number.NaN;
    deadlines.begin(call, () => (toldMs = performance.now() - beganMs));
    for (let ms = 0; ms < 10 * TIMEOUT_MS && Number.isNaN(toldMs); ms++) {
      steps[ms]?.();
      vi.advanceTimersByTime(1);
    }
    return toldMs;
  }

  test("counts from when the client could begin, once that has the call", () => {
    const call: Submitted = {};
    const told = toldAfterMs(call, { 70: () => (call.handOver = handOverNow()) });
    expect(told).toBe(70 + TIMEOUT_MS);
  });

  test("counts from the call, where the client had it before", () => {
    const handOver = handOverNow();
    vi.advanceTimersByTime(30);
    expect(toldAfterMs({ handOver })).toBe(TIMEOUT_MS);
  });

  test("goes by what it was submitted with", () => {
    const carrier: Submitted = {};
    const told = toldAfterMs({ carrier }, { 40: () => (carrier.handOver = handOverNow()) });
    expect(told).toBe(40 + TIMEOUT_MS);
  });

  test("ends after twice its time, however often the client gets the call again", () => {
    const call: Submitted = {};
    const again = (): void => void (call.handOver = handOverNow());
    const told = toldAfterMs(call, { 50: again, 140: again, 190: again });
    expect(told).toBe(2 * TIMEOUT_MS);
  });

  /** When a wait ends whose call must be sent when its time is over. */
  function hurriedToldAfterMs(hurry: (call: Submitted) => void): [number, number] {
    let hurried = 0;
    const heartbeat = new Heartbeat();
    const deadlines = new Deadlines<Submitted, string>({
      timeoutMs: TIMEOUT_MS,
      heartbeat,
      late: "late",
      hurry: (call) => {
        hurried += 1;
        hurry(call);
        return true;
      },
    });
    const beganMs = performance.now();
    let toldMs = Number.NaN;
    deadlines.begin({}, () => (toldMs = performance.now() - beganMs));
    vi.advanceTimersByTime(10 * TIMEOUT_MS);
    return [toldMs, hurried];
  }

  test("has as long again where its call is sent when its time is over", () => {
    const hand = (call: Submitted): void => void (call.handOver = handOverNow());
    expect(hurriedToldAfterMs(hand)).toEqual([2 * TIMEOUT_MS, 1]);
  });

  test("ends all the same where it is not sent then", () => {
    expect(hurriedToldAfterMs(() => {})).toEqual([2 * TIMEOUT_MS, 1]);
  });

  test("is ended with all others like it", () => {
    const deadlines = deadlinesOf();
    const [queued, sent] = [vi.fn(), vi.fn()];
    deadlines.begin({}, queued);
    deadlines.begin({ handOver: handOverNow() }, sent);
    deadlines.settleWhere(({ handOver }) => (handOver === undefined ? "refused" : undefined));
    expect(queued.mock.calls).toEqual([["refused"]]);
    expect(sent).not.toHaveBeenCalled();
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
      const pending = deadlines.begin({}, () => {});
      deadlines.settle(pending, "done");
    }
    // The other one is the heartbeat.
    expect(started).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(2);
    started.mockRestore();
  });

  test("runs out when nothing is pending, and starts again with the next wait", () => {
    const deadlines = deadlinesOf();
    deadlines.settle(
      deadlines.begin({}, () => {}),
      "done",
    );
    vi.advanceTimersByTime(LAST_BEATS_MS);
    expect(vi.getTimerCount()).toBe(0);
    const done = vi.fn();
    deadlines.begin({}, done);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(done).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(LAST_BEATS_MS);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("the process is kept alive while something is pending, and not after", () => {
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const deadlines = deadlinesOf(60_000);
  const [first, second] = [deadlines.begin({}, () => {}), deadlines.begin({}, () => {})];
  expect(timers()).toBe(before + 1);
  deadlines.settle(first, "a");
  expect(timers()).toBe(before + 1);
  deadlines.settle(second, "b");
  expect(timers()).toBe(before);
  const third = deadlines.begin({}, () => {});
  expect(timers()).toBe(before + 1);
  deadlines.settle(third, "c");
  expect(timers()).toBe(before);
});

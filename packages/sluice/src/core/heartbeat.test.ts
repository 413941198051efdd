import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { lateMs } from "../resilience/deadlines.js";
import { Heartbeat } from "./heartbeat.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const now = performance.now.bind(performance);
  aheadMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now() + aheadMs);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

let aheadMs = 0;

/** The loop is busy for `ms`: the clock goes on, and no timer fires. */
function block(ms: number): void {
  aheadMs += ms;
}

const read = (heartbeat: Heartbeat): number => lateMs(heartbeat, performance.now());

function begin(heartbeat: Heartbeat): void {
  heartbeat.waiting += 1;
  if (heartbeat.dueMs === Number.POSITIVE_INFINITY) heartbeat.start();
}

describe("the heartbeat", () => {
  test("adds nothing up while the loop runs", () => {
    const heartbeat = new Heartbeat();
    begin(heartbeat);
    vi.advanceTimersByTime(1000);
    expect(read(heartbeat)).toBe(0);
    heartbeat.waiting -= 1;
  });

  test("adds up by how much the loop was late, seen or not yet", () => {
    const heartbeat = new Heartbeat();
    begin(heartbeat);
    block(320);
    expect(read(heartbeat)).toBe(300);
    vi.advanceTimersByTime(20);
    expect(read(heartbeat)).toBe(320);
    block(120);
    vi.advanceTimersByTime(20);
    expect(read(heartbeat)).toBe(440);
    heartbeat.waiting -= 1;
  });

  test("tells whether the loop may have stood still since a moment", () => {
    const heartbeat = new Heartbeat();
    begin(heartbeat);
    const sinceMs = performance.now();
    const mayHave = (): boolean => heartbeat.mayHaveStalledSince(sinceMs, performance.now());
    block(40);
    vi.advanceTimersByTime(20);
    expect(mayHave()).toBe(false);
    block(75);
    expect(mayHave()).toBe(true);
    vi.advanceTimersByTime(20);
    expect(mayHave()).toBe(true);
    vi.advanceTimersByTime(20);
    expect(heartbeat.mayHaveStalledSince(performance.now() - 1, performance.now())).toBe(false);
    heartbeat.waiting -= 1;
  });

  test("ends a second after the last who waits, and then knows nothing", () => {
    const heartbeat = new Heartbeat();
    begin(heartbeat);
    begin(heartbeat);
    heartbeat.waiting -= 1;
    vi.advanceTimersByTime(200);
    expect(vi.getTimerCount()).toBe(1);
    const sinceMs = performance.now();
    heartbeat.waiting -= 1;
    vi.advanceTimersByTime(980);
    expect(heartbeat.mayHaveStalledSince(sinceMs, performance.now())).toBe(false);
    vi.advanceTimersByTime(20);
    expect(vi.getTimerCount()).toBe(0);
    expect(heartbeat.mayHaveStalledSince(sinceMs, performance.now())).toBe(true);
    // What passed in between counts for no wait.
    vi.advanceTimersByTime(5000);
    begin(heartbeat);
    expect(read(heartbeat)).toBe(0);
    heartbeat.waiting -= 1;
  });
});

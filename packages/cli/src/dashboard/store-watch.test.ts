import { type HistogramStats, MemoryStore, type Store, StoreTimeoutError } from "sluice";
import { expect, test } from "vitest";
import { StoreWatch } from "./store-watch.js";

const BOUNDS = [1, 2, 4, 8];

interface Stats {
  answered: number;
  failed: number;
  aborted: number;
  trips: number[];
  batches: number[];
  openParts: string[];
  probedParts: string[];
}

/** A store outside the process that says of itself what a test says, and whose events a test emits. */
function watched(answersNow = (): string => "local") {
  const listeners = new Map<string, (event: object) => void>();
  const stats: Stats = {
    answered: 0,
    failed: 0,
    aborted: 0,
    trips: [0, 0, 0, 0, 0],
    batches: [0, 0, 0, 0, 0],
    openParts: [],
    probedParts: [],
  };
  const histogram = (counts: readonly number[], sum = 0): HistogramStats => ({
    bounds: BOUNDS,
    counts: [...counts],
    count: counts.reduce((total, each) => total + each, 0),
    sum,
  });
  class OtherStore {
    readonly external = true;
    readonly events = {
      on(kind: string, listener: (event: object) => void) {
        listeners.set(kind, listener);
        return () => listeners.delete(kind);
      },
    };
    stats(): unknown {
      const { answered, failed, aborted, trips, batches, openParts, probedParts } = stats;
      return {
        calls: { answered, failed, aborted },
        tripMs: { ok: histogram(trips) },
        batchCalls: histogram(batches, answered),
        openParts: [...openParts],
        probedParts: [...probedParts],
      };
    }
  }
  const clock = { nowMs: 1000 };
  const watch = new StoreWatch(new OtherStore() as unknown as Store, () => clock.nowMs, answersNow);
  const emit = (kind: "failure" | "recovery", event: object): void => listeners.get(kind)?.(event);
  const look = (afterMs: number, change: Partial<Stats> = {}) => {
    clock.nowMs += afterMs;
    Object.assign(stats, change);
    watch.look();
    return watch.state();
  };
  return { watch, clock, emit, look, listeners };
}

const none = { local: 0, failOpen: 0, failClosed: 0, fallback: 0, thrown: 0, total: 0 };
const failure = { error: new StoreTimeoutError(100), part: "a:1" };

test("rates and latencies are of the last minute, by what has come since", () => {
  const { look } = watched();
  look(0, { answered: 100, trips: [100, 0, 0, 0, 0] });
  const state = look(10_000, {
    answered: 400,
    failed: 20,
    aborted: 10,
    trips: [100, 50, 45, 5, 0],
    batches: [0, 0, 100, 0, 0],
  });
  expect(state).toMatchObject({
    name: "other",
    memory: undefined,
    callsPerSecond: 33,
    errorsPerSecond: 2,
    batchMean: 3,
    p50Ms: 2,
  });
  // 99 of 100: of the five in the last bucket, from 4 to 8 ms, the fourth.
  expect(state.p99Ms).toBeCloseTo(4 + (4 * 4) / 5);
  const later = look(55_000, {});
  expect(later.callsPerSecond).toBeCloseTo(330 / 65);
  expect(look(6000, {})).toMatchObject({ callsPerSecond: 0, p50Ms: undefined, p99Ms: undefined });
});

test("beyond all bounds a latency is the highest of them; after a pause nothing is said", () => {
  const { look } = watched();
  look(0);
  expect(look(1000, { trips: [0, 0, 0, 0, 9] })).toMatchObject({ p50Ms: 8, p99Ms: 8 });
  expect(look(61_000, { answered: 1e6 })).toMatchObject({ callsPerSecond: 0, p50Ms: undefined });
  expect(look(-500, { answered: 2e6 }).callsPerSecond).toBe(0);
});

test("a breaker is closed, open, or half-open while a call tries the part; the whole counts for each", () => {
  const { look } = watched();
  const breakers = (change: Partial<Stats>): string[] =>
    look(1000, change).parts.map(({ part, breaker }) => `${part} ${breaker}`);
  expect(breakers({})).toEqual(["store closed"]);
  expect(breakers({ openParts: ["a:1", "b:1"] })).toEqual(["a:1 open", "b:1 open"]);
  expect(breakers({ probedParts: ["a:1"] })).toEqual(["a:1 half-open", "b:1 open"]);
  expect(breakers({ openParts: ["b:1"], probedParts: [] })).toEqual(["a:1 closed", "b:1 open"]);
  expect(breakers({ openParts: [""], probedParts: [""] })).toContain("a:1 half-open");
});

test("an outage has a from and a to, what callers got, and how many they were", () => {
  const { watch, clock, emit } = watched();
  emit("failure", failure);
  clock.nowMs += 500;
  emit("failure", failure);
  expect(watch.state()).toMatchObject({ parts: [{ part: "a:1" }] });
  expect(watch.state().outages).toEqual([{ fromMs: 1000, answered: "local" }]);
  const unanswered = { ...none, local: 4, failClosed: 3, total: 7 };
  emit("recovery", { part: "a:1", outageMs: 2500.4, unanswered });
  expect(watch.state().outages).toEqual([
    { fromMs: 1000, toMs: 3500, answered: "local, closed", calls: 7 },
  ]);
  // Of another part, of one that never began, and the newest first.
  emit("recovery", { part: "b:1", outageMs: 1, unanswered });
  clock.nowMs += 1000;
  emit("failure", { ...failure, part: "b:1" });
  emit("recovery", { part: "b:1", outageMs: 10, unanswered: none });
  expect(watch.state().outages).toMatchObject([
    { fromMs: 2500, toMs: 2510, answered: "local", calls: 0 },
    { fromMs: 1000 },
  ]);
});

test("what a listener throws is no outage, and 20 outages are kept", () => {
  const { watch, clock, emit, listeners } = watched(() => "closed");
  emit("failure", { error: new Error("a listener threw"), part: "" });
  expect(watch.state().outages).toEqual([]);
  for (let i = 0; i < 25; i++) {
    clock.nowMs = 1000 * i;
    emit("failure", failure);
    emit("recovery", { part: "a:1", outageMs: 1, unanswered: none });
  }
  const { outages } = watch.state();
  expect([outages.length, outages[0]?.fromMs, outages.at(-1)?.fromMs]).toEqual([20, 24_000, 5000]);
  expect(outages[0]?.answered).toBe("closed");
  watch.close();
  expect(listeners.size).toBe(0);
});

test("a store in this process shows its keys, and no calls", async () => {
  const store = new MemoryStore();
  const watch = new StoreWatch(
    store,
    () => 0,
    () => "local",
  );
  watch.look();
  expect(watch.state()).toMatchObject({
    name: "memory",
    memory: { keys: 0, bytes: 0, evictions: 0 },
    callsPerSecond: undefined,
    errorsPerSecond: 0,
    outages: [],
  });
  watch.close();
  await store.close();
});

/** What OpenTelemetry's real SDK exports of the metrics, beside what the counts say. */
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import { describe, expect, onTestFinished, test } from "vitest";
import { histogramsOf, meterForTest, pointsOf } from "../../test/support/otel.js";
import type { HistogramStats } from "../core/histogram.js";
import { MemoryStore, RateLimiter, Semaphore, tokenBucket, unlimited } from "../index.js";
import { METRIC_GROUPS } from "../metrics/list.js";
import type { Metric } from "../metrics/metric.js";
import { RedisStore } from "../stores/redis/index.js";
import { ManualClock } from "../testing/index.js";
import { PolicySet } from "../policies/index.js";
import { attributeOf } from "./attributes.js";
import { instrument } from "./index.js";

const policy = tokenBucket({ name: "api", limit: 2, period: "1h" });
const ALL = METRIC_GROUPS.flatMap(({ metrics }) => metrics as readonly Metric<never>[]);

function limiterOn(store = new MemoryStore(), namespace = "sluice"): RateLimiter<MemoryStore> {
  return new RateLimiter({ policy, namespace, store });
}

/** A store whose server admits once and then fails with its own error code. */
function failingStore(): RedisStore {
  let calls = 0;
  return new RedisStore({
    async client() {
      calls += 1;
      if (calls === 1) return [Date.now() * 1000, 64, 9000, 100];
      throw new Error("READONLY You can't write against a read only replica.");
    },
  });
}

/** Waits, permits and round trips of all outcomes. */
async function usedSources(): Promise<{
  readonly limiter: RateLimiter<MemoryStore>;
  readonly semaphore: Semaphore;
  readonly store: RedisStore;
  readonly use: () => Promise<void>;
}> {
  const clock = new ManualClock();
  const limiter = limiterOn(new MemoryStore({ clock }));
  const semaphore: Semaphore = new Semaphore({ limit: 3, name: "jobs" });
  const store = failingStore();
  const remote = new RateLimiter({ policy, store, namespace: "remote", timeout: "30s" });
  onTestFinished(async () => {
    await Promise.all([limiter.close(), semaphore.close(), remote.close()]);
    await store.close();
  });
  const use = async (): Promise<void> => {
    await limiter.acquire("k", { cost: 2 });
    await expect(limiter.acquire("k", { maxWait: "1s" })).rejects.toThrow("within");
    const aborted = AbortSignal.abort();
    await expect(limiter.acquire("k", { signal: aborted })).rejects.toThrow("aborted");
    const controller = new AbortController();
    const given = limiter.acquire("k", { signal: controller.signal });
    controller.abort();
    await expect(given).rejects.toThrow("aborted");
    const permit = await semaphore.acquire("k", { weight: 2 });
    const refused = semaphore.acquire("k", { weight: 2, maxWait: 1 });
    await expect(refused).rejects.toThrow("within");
    await permit.release();
    await remote.consume("a");
    await Promise.all([remote.consume("b"), remote.consume("c")]);
  };
  return { limiter, semaphore, store, use };
}

describe("every metric of the list", () => {
  test("has its name, unit, description and kind, and no value before there is a source", async () => {
    const { meter, read } = meterForTest();
    const { limiter, semaphore, store, use } = await usedSources();
    const rules = new PolicySet({ source: { version: 7, rules: [] } });
    onTestFinished(() => rules.close());
    instrument({ meter }, [limiter, semaphore, store, rules]);
    await use();
    const planned = tokenBucket({ name: "planned", limit: 1, period: "1h", enforce: false });
    limiter.setPolicy([tokenBucket({ name: "now", limit: 9, period: "1h" }), planned]);
    await limiter.consume("k");
    const exported = await read();
    expect([...exported.keys()].toSorted()).toEqual(ALL.map(({ name }) => name).toSorted());
    for (const { name, unit, help, kind, isSetting = false } of ALL) {
      const { descriptor, dataPointType } = exported.get(name) ?? expect.unreachable(name);
      expect(descriptor).toMatchObject({ unit, description: help });
      const types = { counter: DataPointType.SUM, histogram: DataPointType.HISTOGRAM };
      const gauge = isSetting ? DataPointType.GAUGE : DataPointType.SUM;
      expect([name, dataPointType]).toEqual([name, kind === "gauge" ? gauge : types[kind]]);
      if (dataPointType === DataPointType.SUM) {
        expect([name, exported.get(name)]).toMatchObject([
          name,
          { isMonotonic: kind === "counter" },
        ]);
      }
    }
  });

  test("names no attribute that is also a namespace of another one", () => {
    const names = new Set(
      METRIC_GROUPS.flatMap(({ source, metrics }) => [
        source,
        ...metrics.flatMap(({ labels }) => labels),
      ]).map(attributeOf),
    );
    expect([...names].toSorted()).toEqual([
      "db.response.status_code",
      "error.type",
      "sluice.limiter",
      "sluice.mode",
      "sluice.outcome",
      "sluice.part",
      "sluice.policy",
      "sluice.reason",
      "sluice.semaphore",
      "sluice.set",
      "sluice.source",
      "sluice.state",
      "sluice.store",
    ]);
    for (const name of names) {
      expect([...names].filter((other) => other.startsWith(`${name}.`))).toEqual([]);
    }
  });
});

describe("values", () => {
  test("are those of the counts, under the names of attributes, without any key", async () => {
    const { meter, read } = meterForTest();
    const store = new MemoryStore();
    const limiter = limiterOn(store);
    instrument({ meter }, [limiter], { store: "main" });
    for (let i = 0; i < 5; i++) limiter.consumeSync("user:42");
    const exported = await read();
    const api = "sluice.limiter=sluice sluice.policy=api";
    expect(pointsOf(exported.get("sluice.decisions"))).toEqual({
      [`${api} sluice.outcome=allowed sluice.reason=ok sluice.source=store`]: 2,
      [`${api} sluice.outcome=denied sluice.reason=quota sluice.source=store`]: 3,
    });
    expect(pointsOf(exported.get("sluice.policy.limit"))).toEqual({ [api]: 2 });
    expect(pointsOf(exported.get("sluice.policy.window"))).toEqual({ [api]: 3600 });
    expect(pointsOf(exported.get("sluice.policy.mode"))).toEqual({
      [`${api} sluice.mode=enforce`]: 1,
    });
    expect(pointsOf(exported.get("sluice.memory.keys"))).toEqual({ "sluice.store=main": 1 });
    expect(JSON.stringify([...exported])).not.toContain("user:");
    limiter.consumeSync("user:43");
    const later = await read();
    expect(pointsOf(later.get("sluice.units"))).toMatchObject({
      "sluice.limiter=sluice sluice.outcome=allowed": 3,
    });
    expect(pointsOf(later.get("sluice.memory.keys"))).toEqual({ "sluice.store=main": 2 });
  });

  test("of the store have the code and the server's word, and no attribute without text", async () => {
    const { meter, read } = meterForTest();
    const { store, use } = await usedSources();
    instrument({ meter }, [store]);
    await use();
    const exported = await read();
    expect(pointsOf(exported.get("sluice.store.errors"))).toEqual({
      "sluice.store=store error.type=STORE_UNAVAILABLE db.response.status_code=READONLY": 2,
    });
    expect(pointsOf(exported.get("sluice.store.breaker.open"))).toEqual({
      "sluice.store=store": 0,
    });
  });

  test("may be deltas: gauges that add up go down too", async () => {
    const { meter, read } = meterForTest(AggregationTemporality.DELTA);
    const semaphore = new Semaphore({ limit: 3, name: "jobs" });
    instrument({ meter }, [semaphore]);
    const permit = await semaphore.acquire("k", { weight: 2 });
    const granted = async (): Promise<readonly number[]> => {
      const exported = await read();
      return ["granted", "held"].flatMap((name) =>
        Object.values(pointsOf(exported.get(`sluice.semaphore.${name}`))),
      );
    };
    expect(await granted()).toEqual([1, 2]);
    await permit.release();
    expect(await granted()).toEqual([0, -2]);
    await semaphore.close();
  });

  test("without end are left out", async () => {
    const { meter, read } = meterForTest();
    const limiter = new RateLimiter({ policy: unlimited({ name: "all" }) });
    instrument({ meter }, [limiter]);
    limiter.consumeSync("k");
    const exported = await read();
    expect(exported.has("sluice.policy.limit")).toBe(false);
    expect(Object.values(pointsOf(exported.get("sluice.decisions")))).toContain(1);
  });
});

/** Every histogram of a source's stats, in the metric's unit. */
function countedHistograms(
  stats: object,
  metrics: readonly Metric<never>[],
): readonly {
  readonly name: string;
  readonly labels: readonly string[];
  readonly histogram: HistogramStats;
}[] {
  return metrics.flatMap(({ kind, name, read }) =>
    kind === "histogram"
      ? read(stats as never).map(({ labels, histogram }) => ({
          name,
          labels: Object.values(labels),
          histogram,
        }))
      : [],
  );
}

test("every histogram has the bounds, the buckets and the sum that the counts have", async () => {
  const { meter, read } = meterForTest();
  const { limiter, semaphore, store, use } = await usedSources();
  instrument({ meter }, [limiter, semaphore, store]);
  await use();
  const exported = await read();
  const [ofLimiter, ofSemaphore, ofStore] = METRIC_GROUPS;
  const counted = [
    ...countedHistograms(limiter.stats(), ofLimiter.metrics),
    ...countedHistograms(semaphore.stats(), ofSemaphore.metrics),
    ...countedHistograms(store.stats(), ofStore.metrics),
  ];
  expect(counted.length).toBeGreaterThan(10);
  for (const { name, labels, histogram } of counted) {
    const point = exported
      .get(name)
      ?.dataPoints.find(({ attributes }) =>
        labels.every((label) => Object.values(attributes).includes(label)),
      );
    if (histogram.count === 0) {
      expect([name, labels, point]).toEqual([name, labels, undefined]);
      continue;
    }
    const value = histogramsOf({ ...exported.get(name), dataPoints: [point] } as never)[0];
    expect([name, labels, value?.count]).toEqual([name, labels, histogram.count]);
    expect(value?.buckets).toEqual({ boundaries: histogram.bounds, counts: histogram.counts });
    expect(value?.sum).toBeCloseTo(histogram.sum, 9);
  }
  const recorded = counted.filter(({ histogram }) => histogram.count > 0).map(({ name }) => name);
  const histograms = ALL.filter(({ kind }) => kind === "histogram").map(({ name }) => name);
  expect(new Set(recorded)).toEqual(new Set(histograms));
});

describe("two calls", () => {
  test("that name one limiter export it once, until both are ended", async () => {
    const { meter, read } = meterForTest();
    const limiter = limiterOn();
    const ends = [instrument({ meter }, [limiter, limiter]), instrument({ meter }, [limiter])];
    const counts = async (): Promise<readonly unknown[]> => {
      await limiter.acquire("k", { cost: 0 });
      const exported = await read();
      return ["sluice.units", "sluice.wait.duration"].map(
        (name) => Object.values(pointsOf(exported.get(name)))[0],
      );
    };
    limiter.consumeSync("k");
    expect(await counts()).toEqual([1, 1]);
    ends[0]?.();
    ends[0]?.();
    limiter.consumeSync("k");
    expect(await counts()).toEqual([2, 2]);
    ends[1]?.();
    limiter.consumeSync("other");
    expect(limiter.events.to.waitEnded).toBeUndefined();
    expect(await counts()).toEqual([2, 2]);
    instrument({ meter }, [limiter]);
    expect(await counts()).toEqual([3, 3]);
  });

  test("that name two limiters of one namespace add them up, and of one store count once", async () => {
    const { meter, read } = meterForTest();
    const store = new MemoryStore();
    const [a, b] = [limiterOn(store), limiterOn(store)];
    const ends = [a, b].map((limiter) => instrument({ meter }, [limiter]));
    a.consumeSync("a");
    b.consumeSync("b");
    const values = async (): Promise<readonly unknown[]> => {
      const exported = await read();
      return ["sluice.units", "sluice.memory.keys", "sluice.policy.limit"].map(
        (name) => Object.values(pointsOf(exported.get(name)))[0],
      );
    };
    expect(await values()).toEqual([2, 2, 2]);
    expect(await values()).toEqual([2, 2, 2]);
    ends[1]?.();
    a.consumeSync("c");
    expect((await values()).slice(1)).toEqual([3, 2]);
  });

  test("of two Meters export to both", async () => {
    const meters = [meterForTest(), meterForTest()];
    const limiter = limiterOn();
    for (const { meter } of meters) instrument({ meter }, [limiter]);
    await limiter.acquire("k");
    for (const { read } of meters) {
      const exported = await read();
      expect(Object.values(pointsOf(exported.get("sluice.wait.duration")))).toEqual([1]);
    }
  });
});

test("a Meter alone makes no event of a decision", async () => {
  const { meter } = meterForTest();
  const limiter = limiterOn();
  const end = instrument({ meter }, [limiter]);
  const { decision, waitBegun, undecided, waitEnded } = limiter.events.to;
  expect([decision, waitBegun, undecided]).toEqual([undefined, undefined, undefined]);
  expect(waitEnded).toBeDefined();
  end();
  expect(limiter.events.to.waitEnded).toBeUndefined();
});

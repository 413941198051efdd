/** Reads all metrics of limiters, semaphores and stores: what exporters show. */
import { InvalidOptionError } from "../core/errors.js";
import type { HistogramStats } from "../core/histogram.js";
import { checkName } from "../core/key.js";
import { checkList, checkOptions } from "../core/options.js";
import { hasField, withoutText } from "../core/shown.js";
import { pipelineOf, type RateLimiter } from "../limiter/rate-limiter.js";
import { quotaOfSemaphore, type Semaphore } from "../semaphore/semaphore.js";
import type { MemoryStats } from "../stores/memory/memory-store.js";
import type { StoreStats } from "../stores/store-counts.js";
import type { Store } from "../stores/store.js";
import { LIMITER_METRICS, MEMORY_METRICS, SEMAPHORE_METRICS, STORE_METRICS } from "./list.js";
import type { HistogramSample, Metric, MetricGroup, NumberSample } from "./metric.js";

/** What has metrics. The stores of limiters and semaphores come with them. */
export type Measured = RateLimiter | Semaphore | Store;

export interface MetricsOptions {
  /**
   * What the label `store` says: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "store". Of several stores all but the
   * first get a number: "store-2".
   */
  readonly store?: string | undefined;
}

/** A metric with its values now. */
export type Family =
  | {
      readonly metric: Metric<never> & { readonly kind: "counter" | "gauge" };
      readonly samples: readonly NumberSample[];
    }
  | {
      readonly metric: Metric<never> & { readonly kind: "histogram" };
      readonly samples: readonly HistogramSample[];
    };

/** One source, ready to be read. */
interface Reading {
  readonly group: MetricGroup<never>;
  readonly stats: () => { readonly name: string; readonly stats: never };
}

/** Reads the metrics of its sources. */
export class Collector {
  readonly #readings: readonly Reading[];

  /** @throws InvalidOptionError */
  constructor(measured: readonly Measured[], options: MetricsOptions = {}) {
    checkOptions("options", options, ["store"]);
    const { store: storeName = "store" } = options;
    checkName("store", storeName);
    checkList("measured", measured);
    const stores = new Set<Store>();
    const own = new Map<object, Reading>();
    for (const [i, each] of measured.entries()) {
      const { store, reading } = sourceOf(each, `measured[${i}]`);
      if (reading !== undefined) own.set(each, reading);
      stores.add(store);
    }
    const ofStores = [...stores]
      .filter(hasStats)
      .map((store, i) => storeReading(store, i === 0 ? storeName : `${storeName}-${i + 1}`));
    this.#readings = [...own.values(), ...ofStores];
  }

  /** All metrics that have values now. Sources of the same name are shown as one. */
  collect(): readonly Family[] {
    const families = new Map<Metric<never>, Map<string, NumberSample | HistogramSample>>();
    for (const { group, stats: readStats } of this.#readings) {
      const { name, stats } = readStats();
      for (const metric of group.metrics) {
        const samples = families.get(metric) ?? new Map<string, NumberSample | HistogramSample>();
        families.set(metric, samples);
        for (const sample of metric.read(stats)) {
          const labelled = { ...sample, labels: { [group.source]: name, ...sample.labels } };
          const key = JSON.stringify(Object.values(labelled.labels));
          samples.set(key, merged(metric, samples.get(key), labelled));
        }
      }
    }
    return [...families].map(
      ([metric, samples]) => ({ metric, samples: [...samples.values()] }) as Family,
    );
  }
}

/** The sum of both, but of settings the last one. */
function merged<S extends NumberSample | HistogramSample>(
  { isSetting = false }: Metric<never>,
  before: S | undefined,
  sample: S,
): S {
  if (before === undefined || isSetting) return sample;
  if ("value" in sample && "value" in before) {
    return { ...sample, value: before.value + sample.value };
  }
  if ("histogram" in sample && "histogram" in before) {
    return { ...sample, histogram: sumOf(before.histogram, sample.histogram) };
  }
  return sample;
}

function sumOf(a: HistogramStats, b: HistogramStats): HistogramStats {
  return {
    bounds: b.bounds,
    counts: b.counts.map((count, i) => count + (a.counts[i] ?? 0)),
    sum: a.sum + b.sum,
    count: a.count + b.count,
  };
}

type StatsStore = Store & { stats(): StoreStats | MemoryStats };

function hasStats(store: Store): store is StatsStore {
  return typeof (store as Partial<StatsStore>).stats === "function";
}

function storeReading(store: StatsStore, name: string): Reading {
  const stats = store.stats();
  const group: MetricGroup<never> = "keys" in stats ? MEMORY_METRICS : STORE_METRICS;
  return { group, stats: () => ({ name, stats: store.stats() as never }) };
}

function sourceOf(
  measured: unknown,
  option: string,
): { readonly store: Store; readonly reading: Reading | undefined } {
  if (typeof measured === "object" && measured !== null) {
    if (pipelineOf(measured) !== undefined) {
      const limiter = measured as RateLimiter;
      const read = (): ReturnType<Reading["stats"]> => {
        const stats = limiter.stats();
        return { name: stats.limiter, stats: stats as never };
      };
      return { store: limiter.store, reading: { group: LIMITER_METRICS, stats: read } };
    }
    if (quotaOfSemaphore(measured) !== undefined) {
      const semaphore = measured as Semaphore;
      const read = (): ReturnType<Reading["stats"]> => {
        const stats = semaphore.stats();
        return { name: stats.semaphore, stats: stats as never };
      };
      return { store: semaphore.store, reading: { group: SEMAPHORE_METRICS, stats: read } };
    }
    if (hasField(measured, "submit")) return { store: measured as Store, reading: undefined };
  }
  const allowed = "a RateLimiter, a Semaphore, or a store";
  throw new InvalidOptionError(option, withoutText(measured), allowed);
}

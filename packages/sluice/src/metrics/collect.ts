/** Reads all metrics of limiters, semaphores and stores: what exporters show. */
import { InvalidOptionError } from "../core/errors.js";
import type { HistogramStats } from "../core/histogram.js";
import { checkName } from "../core/key.js";
import { byDefault, checkList, optionReader } from "../core/options.js";
import { hasField, withoutText } from "../core/shown.js";
import type { Events } from "../events/events.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import { quotaOfSemaphore } from "../semaphore/semaphore-class.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import type { MemoryStats } from "../stores/memory/memory-store.js";
import type { StoreStats } from "../stores/store-counts.js";
import type { Store } from "../stores/store.js";
import {
  LIMITER_METRICS,
  MEMORY_METRICS,
  SEMAPHORE_METRICS,
  SET_METRICS,
  STORE_METRICS,
} from "./list.js";
import type { HistogramSample, Metric, MetricGroup, NumberSample } from "./metric.js";

/** What has metrics. The stores of limiters, semaphores and sets of rules come with them; of a set the policies are its rules. */
export type Measured = RateLimiter | Semaphore | PolicySet | Store;

/** Options of what exposes numbers. */
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

export const METRICS_OPTIONS = optionReader<MetricsOptions>()({
  store: byDefault("store", checkName),
});

/** What has metrics under one name: a limiter, a set of rules or its document, a semaphore, or a store. */
export interface Source {
  /** The source, or an object that identifies it: one for each source. */
  readonly of: object;
  readonly name: string;
  readonly group: MetricGroup<never>;
  /** Undefined if it has no events. */
  readonly events: Events | undefined;
  readonly stats: () => never;
}

/** Reads the metrics of its sources. */
export class Collector {
  readonly #sources: readonly Source[];

  /** @throws InvalidOptionError */
  constructor(measured: readonly Measured[], options: MetricsOptions = {}) {
    this.#sources = sourcesOf(measured, options);
  }

  /** All metrics that have values now. */
  collect(): readonly Family[] {
    return familiesOf(this.#sources);
  }
}

/**
 * The sources among what is measured, each once, and the stores that they ask.
 *
 * @throws InvalidOptionError
 */
export function sourcesOf(
  measured: readonly Measured[],
  options: MetricsOptions,
): readonly Source[] {
  const { store: storeName } = METRICS_OPTIONS.read(options);
  checkList("measured", measured);
  const stores = new Set<Store>();
  const own = new Map<object, Source>();
  for (const [i, each] of measured.entries()) {
    const { store, sources } = measuredIn(each, `measured[${i}]`);
    for (const source of sources) own.set(source.of, source);
    stores.add(store);
  }
  const ofStores = [...stores]
    .filter(hasStats)
    .map((store, i) => storeSource(store, i === 0 ? storeName : `${storeName}-${i + 1}`));
  return [...own.values(), ...ofStores];
}

/** All metrics of the sources that have values now. Sources of the same name are shown as one. */
export function familiesOf(sources: Iterable<Source>): readonly Family[] {
  const families = new Map<Metric<never>, Map<string, NumberSample | HistogramSample>>();
  for (const { name, group, stats: readStats } of sources) {
    const stats = readStats();
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

/** The sum of both, but of settings the larger one: one open breaker of two is an open breaker. */
function merged<S extends NumberSample | HistogramSample>(
  { isSetting = false }: Metric<never>,
  before: S | undefined,
  sample: S,
): S {
  if (before === undefined) return sample;
  if ("value" in sample && "value" in before) {
    const { value } = sample;
    return { ...sample, value: isSetting ? Math.max(before.value, value) : before.value + value };
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

/** A user's own store may have a method of that name for something else. */
function hasStats(store: Store): store is StatsStore {
  const read: unknown = (store as Partial<StatsStore>).stats;
  if (typeof read !== "function") return false;
  const stats: unknown = (store as StatsStore).stats();
  const isMemory = hasField(stats, "keys") && hasField(stats, "evictions");
  return isMemory || (hasField(stats, "tripMs") && hasField(stats, "batchCalls"));
}

function storeSource(store: StatsStore, name: string): Source {
  const group: MetricGroup<never> = "keys" in store.stats() ? MEMORY_METRICS : STORE_METRICS;
  return { of: store, name, group, events: store.events, stats: () => store.stats() as never };
}

function measuredIn(
  measured: unknown,
  option: string,
): { readonly store: Store; readonly sources: readonly Source[] } {
  if (typeof measured === "object" && measured !== null) {
    if (pipelineOf(measured) !== undefined) {
      const limiter = measured as RateLimiter;
      const { store, events } = limiter;
      const { limiter: name } = limiter.stats();
      const stats = (): never => limiter.stats() as never;
      return { store, sources: [{ of: limiter, name, group: LIMITER_METRICS, events, stats }] };
    }
    if (meetOf(measured) !== undefined) return measuredSet(measured as PolicySet);
    if (quotaOfSemaphore(measured) !== undefined) {
      const semaphore = measured as Semaphore;
      const { store, events } = semaphore;
      const { semaphore: name } = semaphore.stats();
      const stats = (): never => semaphore.stats() as never;
      return { store, sources: [{ of: semaphore, name, group: SEMAPHORE_METRICS, events, stats }] };
    }
    if (hasField(measured, "submit")) return { store: measured as Store, sources: [] };
  }
  const allowed = "a RateLimiter, a Semaphore, a PolicySet, or a store";
  throw new InvalidOptionError(option, withoutText(measured), allowed);
}

/** What its rules decide, and what its document is at. */
function measuredSet(set: PolicySet): ReturnType<typeof measuredIn> {
  const { store, events } = set;
  const { limiter: name } = set.stats();
  const decided = (): never => set.stats() as never;
  const status = (): never => set.status() as never;
  const sources = [
    { of: set, name, group: LIMITER_METRICS, events, stats: decided },
    { of: events, name, group: SET_METRICS, events: undefined, stats: status },
  ];
  return { store, sources };
}

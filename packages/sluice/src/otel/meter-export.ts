/** What one Meter gets: values that are read when it collects, and histograms that are recorded as things happen. */
import type { Events } from "../events/events.js";
import { familiesOf, type Source } from "../metrics/collect.js";
import {
  LIMITER_METRICS,
  METRIC_GROUPS,
  SEMAPHORE_METRICS,
  STORE_METRICS,
} from "../metrics/list.js";
import type { Labels, Metric } from "../metrics/metric.js";
import type { BatchResultLike, HistogramLike, MeterLike, ObservableLike } from "./api-types.js";
import { attributesOf } from "./attributes.js";

const MS_PER_S = 1000;

/** A source, for as long as it is exported. */
interface Exported {
  readonly source: Source;
  /** Ends the recording of its histograms. */
  readonly ends: readonly (() => void)[];
  users: number;
}

/**
 * One for each Meter, however often it is passed: a Meter adds nothing up that is observed twice, and would show the last
 * of two sources that have one name.
 */
export class MeterExport {
  readonly #meter: MeterLike;
  readonly #observables = new Map<Metric<never>, ObservableLike>();
  readonly #histograms = new Map<string, HistogramLike>();
  readonly #sources = new Map<object, Exported>();

  constructor(meter: MeterLike) {
    this.#meter = meter;
    for (const { metrics } of METRIC_GROUPS) {
      for (const metric of metrics as readonly Metric<never>[]) this.#make(metric);
    }
  }

  /** Exports a source until what is returned is called. Its name is that of who came first. */
  add(source: Source): () => void {
    if (this.#sources.size === 0) {
      this.#meter.addBatchObservableCallback(this.#observe, [...this.#observables.values()]);
    }
    let exported = this.#sources.get(source.of);
    if (exported === undefined) {
      exported = { source, ends: this.#record(source), users: 0 };
      this.#sources.set(source.of, exported);
    }
    exported.users += 1;
    let isEnded = false;
    return () => {
      if (isEnded) return;
      isEnded = true;
      this.#leave(exported);
    };
  }

  #leave(exported: Exported): void {
    exported.users -= 1;
    if (exported.users > 0) return;
    for (const end of exported.ends) end();
    this.#sources.delete(exported.source.of);
    if (this.#sources.size > 0) return;
    this.#meter.removeBatchObservableCallback(this.#observe, [...this.#observables.values()]);
  }

  #make(metric: Metric<never>): void {
    const { name, kind, unit, help: description, isSetting = false } = metric;
    if (kind === "histogram") {
      const advice = { explicitBucketBoundaries: [...metric.bounds] };
      this.#histograms.set(name, this.#meter.createHistogram(name, { description, unit, advice }));
      return;
    }
    const options = { description, unit };
    // What may be added up over processes is no gauge here, though Prometheus knows no other name for it.
    const observable =
      kind === "counter"
        ? this.#meter.createObservableCounter(name, options)
        : isSetting
          ? this.#meter.createObservableGauge(name, options)
          : this.#meter.createObservableUpDownCounter(name, options);
    this.#observables.set(metric, observable);
  }

  readonly #observe = (result: BatchResultLike): void => {
    const sources = [...this.#sources.values()].map(({ source }) => source);
    for (const { metric, samples } of familiesOf(sources)) {
      const observable = this.#observables.get(metric);
      if (observable === undefined) continue;
      for (const sample of samples) {
        // A policy without a limit has no number to show.
        if (!("value" in sample) || !Number.isFinite(sample.value)) continue;
        result.observe(observable, sample.value, attributesOf(sample.labels));
      }
    }
  };

  /** Records what the counts' histograms hold, by the events that come from the same points in the code. */
  #record({ name, group, events }: Source): readonly (() => void)[] {
    if (events === undefined) return [];
    const record: RecordValue = (metric, value, labels = {}) => {
      const attributes = attributesOf({ [group.source]: name, ...labels });
      this.#histograms.get(metric)?.record(value, attributes);
    };
    if (group === LIMITER_METRICS) return [recordWaits(events, "sluice.wait", record)];
    if (group === SEMAPHORE_METRICS) {
      return [
        recordWaits(events, "sluice.semaphore.wait", record),
        events.on("permitEnded", ({ heldMs }) => {
          record("sluice.semaphore.hold.duration", heldMs / MS_PER_S);
        }),
      ];
    }
    return group === STORE_METRICS ? recordTrips(events, record) : [];
  }
}

type RecordValue = (metric: string, value: number, labels?: Labels) => void;

function recordWaits(events: Events, prefix: string, record: RecordValue): () => void {
  return events.on("waitEnded", ({ outcome, waitedMs, lateMs }) => {
    record(`${prefix}.duration`, waitedMs / MS_PER_S, { outcome });
    if (outcome === "started") record(`${prefix}.lateness`, lateMs / MS_PER_S);
  });
}

function recordTrips(events: Events, record: RecordValue): readonly (() => void)[] {
  return [
    events.on("roundTrip", ({ durationMs, error }) => {
      const outcome = error === undefined ? "ok" : "error";
      record("sluice.store.call.duration", durationMs / MS_PER_S, { outcome });
    }),
    events.on("batchBegun", ({ size }) => {
      record("sluice.store.batch.calls", size);
    }),
  ];
}

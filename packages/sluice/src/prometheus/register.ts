/** Metrics in a registry of prom-client, beside an application's own. */
import { InvalidOptionError } from "../core/errors.js";
import { hasField, withoutText } from "../core/shown.js";
import type { Collector, Family } from "../metrics/collect.js";
import { METRIC_GROUPS } from "../metrics/list.js";
import {
  type HistogramSample,
  type Labels,
  type Metric,
  type NumberSample,
  prometheusName,
} from "../metrics/metric.js";
import { bucketsOf, numberText } from "./exposition.js";

/** The part of prom-client's Registry that is used; its own type fits. */
export interface RegistryLike {
  /** As prom-client's own. */
  readonly contentType?: string | undefined;
  /** As prom-client's own. */
  registerMetric(metric: never): void;
  /** As prom-client's own. */
  removeSingleMetric(name: string): void;
}

/** What prom-client asks a metric for when it is scraped. */
interface ForRegistry {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator: "sum" | "max";
  readonly values: readonly {
    readonly metricName: string;
    readonly labels: Labels;
    readonly value: number;
  }[];
}

/** Each metric of the list, read when the registry is. What is returned takes them out again. */
export function registerIn(registry: RegistryLike, collector: Collector): () => void {
  if (!hasField(registry, "registerMetric")) {
    throw new InvalidOptionError("registry", withoutText(registry), "a Registry of prom-client");
  }
  const names: string[] = [];
  const end = (): void => {
    for (const name of names.splice(0)) registry.removeSingleMetric(name);
  };
  // A registry asks all of its metrics in one turn: what they say is read once, and of one moment.
  let families: readonly Family[] | undefined;
  const collectOnce = (): readonly Family[] => {
    if (families === undefined) queueMicrotask(() => (families = undefined));
    return (families ??= collector.collect());
  };
  const metrics = METRIC_GROUPS.flatMap((group) => group.metrics as readonly Metric<never>[]);
  try {
    for (const metric of metrics) {
      const name = nameIn(registry, metric);
      const get = async (): Promise<ForRegistry> => read(metric, name, collectOnce());
      const registered = { name, help: metric.help, type: metric.kind, get, reset() {} };
      // A metric of prom-client is whatever it can ask for its values.
      registry.registerMetric(registered as never);
      names.push(name);
    }
  } catch (error) {
    // A name may be taken. Half of them would be none.
    end();
    throw error;
  }
  return end;
}

/** In OpenMetrics prom-client itself adds the suffix of counters. */
function nameIn({ contentType = "" }: RegistryLike, metric: Metric<never>): string {
  const name = prometheusName(metric);
  return contentType.includes("openmetrics") ? name.replace(/_total$/, "") : name;
}

function read(metric: Metric<never>, name: string, families: readonly Family[]): ForRegistry {
  const { help, kind: type, isSetting = false } = metric;
  const family = families.find((each) => each.metric === metric);
  const samples: readonly (NumberSample | HistogramSample)[] = family?.samples ?? [];
  const values = samples.flatMap((sample) =>
    "histogram" in sample
      ? histogramValues(name, sample)
      : { metricName: name, labels: sample.labels, value: sample.value },
  );
  return { name, help, type, aggregator: isSetting ? "max" : "sum", values };
}

function histogramValues(
  name: string,
  { labels, histogram }: HistogramSample,
): ForRegistry["values"] {
  const buckets = bucketsOf(histogram).map(({ bound, below }) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le: numberText(bound) },
    value: below,
  }));
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: histogram.sum },
    { metricName: `${name}_count`, labels, value: histogram.count },
  ];
}

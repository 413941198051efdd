/**
 * A metric, for every exporter: its name by OpenTelemetry's rules, its unit, its labels, and how its values are read from
 * stats. The name for Prometheus follows from these.
 */
import type { HistogramStats } from "../core/histogram.js";

/** By name. Keys are never labels. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a counter or a gauge. */
export interface NumberSample {
  readonly labels: Labels;
  readonly value: number;
}

/** One distribution, in the metric's unit. */
export interface HistogramSample {
  readonly labels: Labels;
  readonly histogram: HistogramStats;
}

/** What all kinds of metrics have. `S` is the stats that they are read from. */
interface MetricOf<S, Kind extends string, Sample> {
  /** Such as "sluice.store.pending". */
  readonly name: string;
  readonly kind: Kind;
  /** By UCUM, with things in braces: "s", "By", "1", "{call}". */
  readonly unit: string;
  /** One sentence: what it answers. */
  readonly help: string;
  /** Whether it is a setting: of two sources of one name the larger value is shown, not the sum. */
  readonly isSetting?: boolean;
  /** The names of its labels, without the one of its source. */
  readonly labels: readonly string[];
  /** Its values, with its own labels alone. */
  readonly read: (stats: S) => readonly Sample[];
}

export type CounterMetric<S> = MetricOf<S, "counter", NumberSample>;
export type GaugeMetric<S> = MetricOf<S, "gauge", NumberSample>;
export type HistogramMetric<S> = MetricOf<S, "histogram", HistogramSample> & {
  /** Upper bounds of its buckets, in its unit. */
  readonly bounds: readonly number[];
};
export type Metric<S> = CounterMetric<S> | GaugeMetric<S> | HistogramMetric<S>;

/** Metrics of one kind of source, and the label that names the source. */
export interface MetricGroup<S> {
  readonly source: "limiter" | "set" | "semaphore" | "store";
  readonly metrics: readonly Metric<S>[];
}

const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/** The name that Prometheus knows it by, such as "sluice_store_pending". */
export function prometheusName({ name, kind, unit }: Omit<Metric<never>, "read">): string {
  const suffix = `${UNIT_SUFFIXES[unit] ?? ""}${kind === "counter" ? "_total" : ""}`;
  return `${name.replaceAll(".", "_")}${suffix}`;
}

/** 32 bits of FNV-1a: other texts are other numbers, almost surely. */
export function numberOfText(text: string): number {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}

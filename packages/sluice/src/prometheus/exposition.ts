/** Writes metrics in Prometheus' text format, version 0.0.4, or in OpenMetrics, version 1.0.0. */
import type { Family } from "../metrics/collect.js";
import {
  type HistogramSample,
  type Labels,
  type NumberSample,
  prometheusName,
} from "../metrics/metric.js";

export type ExpositionFormat = "prometheus" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** All families, in the order of the list, each with its help and its type. */
export function exposition(families: readonly Family[], format: ExpositionFormat): string {
  const lines = families.flatMap((family) => linesOf(family, format));
  if (format === "openmetrics") lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function linesOf(family: Family, format: ExpositionFormat): string[] {
  const { metric } = family;
  const name = prometheusName(metric);
  // OpenMetrics names a counter's family without the suffix that its samples have.
  const familyName = format === "openmetrics" ? name.replace(/_total$/, "") : name;
  return [
    `# HELP ${familyName} ${metric.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
    `# TYPE ${familyName} ${metric.kind}`,
    ...(isHistogram(family)
      ? family.samples.flatMap((sample) => histogramLines(name, sample))
      : family.samples.map(({ labels, value }) => line(name, labels, value))),
  ];
}

function isHistogram(
  family: Family,
): family is Family & { readonly samples: readonly HistogramSample[] } {
  return family.metric.kind === "histogram";
}

function histogramLines(name: string, { labels, histogram }: HistogramSample): string[] {
  const buckets = bucketsOf(histogram).map(({ bound, below }) =>
    line(`${name}_bucket`, { ...labels, le: canonical(bound) }, below),
  );
  return [
    ...buckets,
    line(`${name}_sum`, labels, histogram.sum),
    line(`${name}_count`, labels, histogram.count),
  ];
}

/** What Prometheus calls buckets: how many observations are at a bound or below it; the last one has them all. */
export function bucketsOf({ bounds, counts }: HistogramSample["histogram"]): readonly {
  readonly bound: number;
  readonly below: number;
}[] {
  let below = 0;
  return counts.map((count, i) => {
    below += count;
    return { bound: bounds[i] ?? Number.POSITIVE_INFINITY, below };
  });
}

function line(name: string, labels: Labels, value: NumberSample["value"]): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  const all = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${all} ${numberText(value)}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** A number as Prometheus writes it. */
export function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

/** Bounds are compared as text by some: OpenMetrics wants 1.0 for 1. */
function canonical(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : numberText(bound);
}

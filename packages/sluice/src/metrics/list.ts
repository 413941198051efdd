/** The list of all metrics. Exporters, the board and the alerts are made from it, so that they cannot drift apart. */
import {
  BATCH_BOUNDS,
  DURATION_BOUNDS_MS,
  type HistogramStats,
  WAIT_BOUNDS_MS,
} from "../core/histogram.js";
import type { LimiterStats } from "../limiter/stats.js";
import type { PolicySetStatus } from "../policies/policy-set-status.js";
import type { SemaphoreStats } from "../semaphore/counts.js";
import type { MemoryStats } from "../stores/memory/memory-store.js";
import type { StoreStats } from "../stores/store-counts.js";
import type { WaitStats } from "../events/wait-counts.js";
import {
  type CounterMetric,
  type GaugeMetric,
  type HistogramMetric,
  type HistogramSample,
  type Labels,
  type MetricGroup,
  type NumberSample,
  numberOfText,
} from "./metric.js";

const MS_PER_S = 1000;

export const LIMITER_METRICS: MetricGroup<LimiterStats> = {
  source: "limiter",
  metrics: [
    counter({
      name: "sluice.decisions",
      unit: "{decision}",
      help: "Decisions on calls that asked for quota, by the policy that decided.",
      labels: ["policy", "outcome", "reason", "source"],
      read: ({ decisions }) =>
        decisions.map(({ policy, outcome, reason, source, count }) =>
          number(count, { policy, outcome: underscored(outcome), reason, source }),
        ),
    }),
    counter({
      name: "sluice.shadow.verdicts",
      unit: "{verdict}",
      help: "Verdicts of policies in shadow, which have no vote in the decision.",
      labels: ["policy", "outcome", "reason", "source"],
      read: ({ shadows }) =>
        shadows.map(({ policy, outcome, reason, source, count }) =>
          number(count, { policy, outcome: underscored(outcome), reason, source }),
        ),
    }),
    counter({
      name: "sluice.units",
      unit: "{unit}",
      help: "Units that calls asked for, by outcome.",
      labels: ["outcome"],
      read: ({ units }) => [
        number(units.allowed, { outcome: "allowed" }),
        number(units.denied, { outcome: "denied" }),
        number(units.shadowDenied, { outcome: "shadow_denied" }),
      ],
    }),
    counter({
      name: "sluice.near_limit",
      unit: "{decision}",
      help: "Allowed decisions that left a tenth of the limit or less.",
      labels: ["policy"],
      read: ({ policies }) =>
        policies.map(({ policy, nearLimit }) => number(nearLimit, { policy })),
    }),
    counter({
      name: "sluice.undecided",
      unit: "{call}",
      help: "Calls that asked for quota and got no decision: aborted by their callers, or failed.",
      labels: ["outcome"],
      read: ({ aborted, failed }) => [
        number(aborted, { outcome: "aborted" }),
        number(failed, { outcome: "failed" }),
      ],
    }),
    gauge({
      name: "sluice.policy.limit",
      isSetting: true,
      unit: "{unit}",
      help: "The limit in force: a bucket's capacity or a window's limit.",
      labels: ["policy"],
      read: ({ policies }) =>
        policies.flatMap(({ policy, limit }) =>
          limit === undefined ? [] : number(limit, { policy }),
        ),
    }),
    gauge({
      name: "sluice.policy.window",
      isSetting: true,
      unit: "s",
      help: "The policy's window, or how long its bucket takes to fill.",
      labels: ["policy"],
      read: ({ policies }) =>
        policies.flatMap(({ policy, windowMs }) =>
          windowMs === undefined ? [] : number(windowMs / MS_PER_S, { policy }),
        ),
    }),
    gauge({
      name: "sluice.policy.mode",
      isSetting: true,
      unit: "1",
      help: "1 for the mode that the policy is in: enforce, or shadow.",
      labels: ["policy", "mode"],
      read: ({ policies }) => policies.map(({ policy, mode }) => number(1, { policy, mode })),
    }),
    ...waitMetrics<LimiterStats>(""),
    gauge({
      name: "sluice.deny_cache.size",
      unit: "{key}",
      help: "Keys whose denials are remembered.",
      labels: [],
      read: ({ deniedKeys }) => [number(deniedKeys)],
    }),
    gauge({
      name: "sluice.overrides",
      isSetting: true,
      unit: "{override}",
      help: "Overrides in force that this process knows of.",
      labels: [],
      read: ({ overrides }) => [number(overrides)],
    }),
    counter({
      name: "sluice.prefetch.units",
      unit: "{unit}",
      help: "Prefetched units, by what became of them.",
      labels: ["state"],
      read: ({ prefetch: { taken, spent, returned, lost } }) => [
        number(taken, { state: "taken" }),
        number(spent, { state: "spent" }),
        number(returned, { state: "returned" }),
        number(lost, { state: "lost" }),
      ],
    }),
    gauge({
      name: "sluice.prefetch.held",
      unit: "{unit}",
      help: "Prefetched units that are held now.",
      labels: [],
      read: ({ prefetch }) => [number(prefetch.held)],
    }),
  ],
};

export const STORE_METRICS: MetricGroup<StoreStats> = {
  source: "store",
  metrics: [
    counter({
      name: "sluice.store.calls",
      unit: "{call}",
      help: "Calls of limiters and semaphores that ended: answered, failed, or given up by their callers.",
      labels: ["outcome"],
      read: ({ calls: { answered, failed, aborted } }) => [
        number(answered, { outcome: "answered" }),
        number(failed, { outcome: "failed" }),
        number(aborted, { outcome: "aborted" }),
      ],
    }),
    histogram({
      name: "sluice.store.call.duration",
      unit: "s",
      help: "Round trips of scripts; calls that go together share one.",
      bounds: inSeconds(DURATION_BOUNDS_MS),
      labels: ["outcome"],
      read: ({ tripMs: { ok, error } }) => [
        seconds(ok, { outcome: "ok" }),
        seconds(error, { outcome: "error" }),
      ],
    }),
    histogram({
      name: "sluice.store.batch.calls",
      unit: "{call}",
      help: "Limiters' calls that went together.",
      bounds: BATCH_BOUNDS,
      labels: [],
      read: ({ batchCalls }) => [{ labels: {}, histogram: batchCalls }],
    }),
    counter({
      name: "sluice.store.errors",
      unit: "{error}",
      help: "Calls that failed, by Sluice's code and the first word of the server's error.",
      labels: ["code", "server"],
      read: ({ errors }) =>
        errors.map(({ code, server, count }) => number(count, { code, server })),
    }),
    gauge({
      name: "sluice.store.pending",
      unit: "{call}",
      help: "Calls that are under way.",
      labels: [],
      read: ({ calls }) => [number(calls.pending)],
    }),
    gauge({
      name: "sluice.store.breaker.open",
      isSetting: true,
      unit: "1",
      help: "1 while the breaker keeps calls from a part of the store; an empty part is the whole store.",
      labels: ["part"],
      read: ({ openParts }) => [
        number(openParts.includes("") ? 1 : 0, { part: "" }),
        ...openParts.filter((part) => part !== "").map((part) => number(1, { part })),
      ],
    }),
  ],
};

export const MEMORY_METRICS: MetricGroup<MemoryStats> = {
  source: "store",
  metrics: [
    gauge({
      name: "sluice.memory.keys",
      unit: "{key}",
      help: "Keys of limiters that a store in memory holds.",
      labels: [],
      read: ({ keys }) => [number(keys)],
    }),
    gauge({
      name: "sluice.memory.size",
      unit: "By",
      help: "Bytes that a store in memory holds; each key counts as the most that it can take.",
      labels: [],
      read: ({ bytes }) => [number(bytes)],
    }),
    counter({
      name: "sluice.memory.evictions",
      unit: "{key}",
      help: "Keys that a full store in memory dropped before they expired; their use was forgotten.",
      labels: [],
      read: ({ evictions }) => [number(evictions)],
    }),
  ],
};

export const SEMAPHORE_METRICS: MetricGroup<SemaphoreStats> = {
  source: "semaphore",
  metrics: [
    gauge({
      name: "sluice.semaphore.held",
      unit: "{place}",
      help: "Permits that this process holds.",
      labels: [],
      read: ({ held }) => [number(held)],
    }),
    gauge({
      name: "sluice.semaphore.limit",
      isSetting: true,
      unit: "{place}",
      help: "Permits of each key, over all processes.",
      labels: [],
      read: ({ limit }) => [number(limit)],
    }),
    counter({
      name: "sluice.semaphore.granted",
      unit: "{permit}",
      help: "Permits that were granted.",
      labels: [],
      read: ({ granted }) => [number(granted)],
    }),
    counter({
      name: "sluice.semaphore.lost",
      unit: "{permit}",
      help: "Permits that ended before their holders released them.",
      labels: [],
      read: ({ lost }) => [number(lost)],
    }),
    histogram({
      name: "sluice.semaphore.hold.duration",
      unit: "s",
      help: "How long permits were held.",
      bounds: inSeconds(WAIT_BOUNDS_MS),
      labels: [],
      read: ({ heldMs }) => [seconds(heldMs)],
    }),
    ...waitMetrics<SemaphoreStats>(".semaphore"),
  ],
};

export const SET_METRICS: MetricGroup<PolicySetStatus> = {
  source: "set",
  metrics: [
    gauge({
      name: "sluice.rules.version",
      isSetting: true,
      unit: "1",
      help: "The version of the document in force; if it has none, a number made from its hash.",
      labels: [],
      read: ({ version }) => [
        number(typeof version === "number" ? version : numberOfText(version)),
      ],
    }),
    gauge({
      name: "sluice.rules.stale",
      isSetting: true,
      unit: "s",
      help: "For how long the document in force may have been out of date; 0 if it is current.",
      labels: [],
      read: ({ staleMs }) => [number(staleMs / MS_PER_S)],
    }),
    gauge({
      name: "sluice.rules.mode",
      isSetting: true,
      unit: "1",
      help: "1 for the mode over all rules that is in force: enforce, shadow, or off.",
      labels: ["mode"],
      read: ({ mode }) => [number(1, { mode })],
    }),
    counter({
      name: "sluice.rules.reloads",
      unit: "{reload}",
      help: "Changes and failures of the source, by outcome.",
      labels: ["outcome"],
      read: ({ reloads }) =>
        Object.entries(reloads).map(([outcome, count]) => number(count, { outcome })),
    }),
  ],
};

/** All of them, by what they are read from. */
export const METRIC_GROUPS = [
  LIMITER_METRICS,
  SEMAPHORE_METRICS,
  STORE_METRICS,
  MEMORY_METRICS,
  SET_METRICS,
] as const;

function waitMetrics<S extends { readonly waits: WaitStats }>(
  of: string,
): [GaugeMetric<S>, HistogramMetric<S>, HistogramMetric<S>] {
  return [
    gauge({
      name: `sluice${of}.waiting`,
      unit: "{call}",
      help: "Callers that wait now.",
      labels: [],
      read: ({ waits }) => [number(waits.waiting)],
    }),
    histogram({
      name: `sluice${of}.wait.duration`,
      unit: "s",
      help: "How long callers waited, by how it ended.",
      bounds: inSeconds(WAIT_BOUNDS_MS),
      labels: ["outcome"],
      read: ({ waits: { waitedMs } }) => [
        seconds(waitedMs.started, { outcome: "started" }),
        seconds(waitedMs.refused, { outcome: "refused" }),
        seconds(waitedMs.failed, { outcome: "failed" }),
      ],
    }),
    histogram({
      name: `sluice${of}.wait.lateness`,
      unit: "s",
      help: "How much later than promised callers started.",
      bounds: inSeconds(WAIT_BOUNDS_MS),
      labels: [],
      read: ({ waits }) => [seconds(waits.lateMs)],
    }),
  ];
}

function counter<S>(metric: Omit<CounterMetric<S>, "kind">): CounterMetric<S> {
  return { ...metric, kind: "counter" };
}

function gauge<S>(metric: Omit<GaugeMetric<S>, "kind">): GaugeMetric<S> {
  return { ...metric, kind: "gauge" };
}

function histogram<S>(metric: Omit<HistogramMetric<S>, "kind">): HistogramMetric<S> {
  return { ...metric, kind: "histogram" };
}

function number(value: number, labels: Labels = {}): NumberSample {
  return { labels, value };
}

/** From milliseconds. */
function seconds(
  { bounds, counts, sum, count }: HistogramStats,
  labels: Labels = {},
): HistogramSample {
  return {
    labels,
    histogram: { bounds: inSeconds(bounds), counts, sum: sum / MS_PER_S, count },
  };
}

function inSeconds(boundsMs: readonly number[]): readonly number[] {
  return boundsMs.map((bound) => bound / MS_PER_S);
}

function underscored(outcome: string): string {
  return outcome.replaceAll("-", "_");
}

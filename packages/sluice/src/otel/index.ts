/** sluice/otel: metrics and traces by OpenTelemetry's API, which is passed in: no package of it is needed. */
import { InvalidOptionError } from "../core/errors.js";
import { hiding } from "../core/identity.js";
import {
  byDefault,
  type OptionCheck,
  checkBoolean,
  optional,
  optionReader,
} from "../core/options.js";
import { hasField, withoutText } from "../core/shown.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import {
  type Measured,
  METRICS_OPTIONS,
  type MetricsOptions,
  type Source,
  sourcesOf,
} from "../metrics/collect.js";
import { quotaOfSemaphore } from "../semaphore/semaphore-class.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import type { ActiveSpanLike, MeterLike, TracerLike } from "./api-types.js";
import { CallTracing, type TracedCaller, type TraceSettings } from "./call-tracing.js";
import { MeterExport } from "./meter-export.js";
export type * from "../policies/index.js";

export type { Measured, MetricsOptions } from "../metrics/collect.js";
export type {
  ActiveSpanLike,
  BatchResultLike,
  HistogramLike,
  MeterInstrumentOptions,
  MeterLike,
  ObservableLike,
  OtelAttributes,
  SpanLike,
  TracerLike,
} from "./api-types.js";

/** What exports are sent to. Each is of @opentelemetry/api; at least one is needed. */
export interface Telemetry {
  /** Gets the metrics: `metrics.getMeter("sluice")`. */
  readonly meter?: MeterLike | undefined;
  /** Knows the active span, which gets an event for each denied or degraded decision: the API's `trace` itself. */
  readonly trace?: ActiveSpanLike | undefined;
  /** Makes the spans that `spans: true` asks for: `trace.getTracer("sluice")`. */
  readonly tracer?: TracerLike | undefined;
}

/** Options of `instrument`. */
export interface InstrumentOptions extends MetricsOptions {
  /** Whether every call of a verb that has a decision, and every acquire, gets its own span; default false. */
  readonly spans?: boolean | undefined;
  /** Whether spans and their events show the hashes of keys, as stores and logs have them; default false. */
  readonly exposeIds?: boolean | undefined;
}

const exportOf = new WeakMap<object, MeterExport>();

/** What traces a limiter or a semaphore: one, however many calls name it. */
interface Tracing {
  readonly settings: Set<TraceSettings>;
  readonly calls: CallTracing;
}

const tracingOf = new WeakMap<object, Tracing>();

/**
 * Exports limiters, semaphores and stores by OpenTelemetry, until the function that it returns is called: their metrics
 * through `meter`, denied and degraded decisions as events on the active span through `trace`, and with `spans: true` a
 * span for each call through `tracer`. The stores of limiters and semaphores come with them. Call it once, after the SDK
 * has begun: a Meter of the API from before then measures nothing. What is named by two calls is exported once.
 *
 * @throws InvalidOptionError
 * @example
 * import { metrics, trace } from "@opentelemetry/api";
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { instrument } from "sluice/otel";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }), namespace: "api" });
 * const end = instrument({ meter: metrics.getMeter("sluice"), trace }, [limiter]);
 * console.log((await limiter.consume("user:42")).allowed); // true
 * end();
 */
export function instrument(
  telemetry: Telemetry,
  measured: readonly Measured[],
  options: InstrumentOptions = {},
): () => void {
  const { store, spans, exposeIds } = OPTIONS.read(options);
  const { meter, trace, tracer } = checkTelemetry(telemetry, spans);
  const sources = sourcesOf(measured, { store });
  const settings = { trace, tracer: spans ? tracer : undefined, exposeIds };
  const isTraced = trace !== undefined || spans;
  const ends = sources.flatMap((source) => [
    ...(meter === undefined ? [] : [exportTo(meter).add(source)]),
    ...(isTraced ? traced(source, settings) : []),
  ]);
  return () => {
    for (const end of ends) end();
  };
}

const A_METER = 'a Meter of OpenTelemetry: metrics.getMeter("sluice")';
const A_TRACE = "OpenTelemetry's trace, or an object with getActiveSpan()";
const A_TRACER = 'a Tracer of OpenTelemetry: trace.getTracer("sluice")';

function having(method: string, allowed: string): OptionCheck {
  return optional((option, value) => {
    if (hasField(value, method)) return value;
    throw new InvalidOptionError(option, withoutText(value), allowed);
  });
}

const TELEMETRY = optionReader<Telemetry>()({
  meter: having("addBatchObservableCallback", A_METER),
  trace: having("getActiveSpan", A_TRACE),
  tracer: having("startSpan", A_TRACER),
});

const OPTIONS = optionReader<InstrumentOptions>()({
  ...METRICS_OPTIONS.checks,
  spans: byDefault(false, checkBoolean),
  exposeIds: byDefault(false, checkBoolean),
});

function checkTelemetry(telemetry: unknown, spans: boolean): Telemetry {
  const { meter, trace, tracer } = TELEMETRY.read(telemetry, "telemetry");
  if (spans && tracer === undefined) throw new InvalidOptionError("tracer", tracer, A_TRACER);
  if (meter !== undefined || trace !== undefined || spans) return { meter, trace, tracer };
  const allowed = "a meter, a trace, or a tracer with { spans: true }";
  throw new InvalidOptionError("telemetry", withoutText(telemetry), allowed);
}

function exportTo(meter: MeterLike): MeterExport {
  const known = exportOf.get(meter) ?? new MeterExport(meter);
  exportOf.set(meter, known);
  return known;
}

function traced({ of, name }: Source, settings: TraceSettings): (() => void)[] {
  const caller = callerOf(of, name);
  if (caller === undefined) return [];
  let tracing = tracingOf.get(of);
  if (tracing === undefined) {
    const all = new Set<TraceSettings>();
    tracing = { settings: all, calls: new CallTracing(caller, all) };
    tracingOf.set(of, tracing);
  }
  // Two calls may bring equal settings, and each ends its own alone.
  const own = { ...settings };
  tracing.settings.add(own);
  return [
    () => {
      if (!tracing.settings.delete(own) || tracing.settings.size > 0) return;
      tracingOf.delete(of);
      tracing.calls.end();
    },
  ];
}

/** Undefined for a store, which only limiters and semaphores call. */
function callerOf(of: object, name: string): TracedCaller | undefined {
  const limiter = pipelineOf(of);
  if (limiter !== undefined) {
    const { events, enforce, identify } = limiter;
    return { kind: "limiter", name, events, enforce, identify: hiding(identify) };
  }
  const quota = quotaOfSemaphore(of);
  if (quota === undefined) return undefined;
  const { events } = of as Semaphore;
  return { kind: "semaphore", name, events, enforce: true, identify: hiding(quota.identify) };
}

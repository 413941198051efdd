/** OpenTelemetry's real SDK, with exporters that keep what they get, and a context manager. */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Context,
  context,
  type ContextManager,
  type Meter,
  ROOT_CONTEXT,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  type Histogram,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { onTestFinished } from "vitest";

const A_DAY_MS = 86_400_000;

/** A provider of metrics, its only Meter, and what it exports when asked. */
export function meterForTest(temporality = AggregationTemporality.CUMULATIVE): {
  readonly meter: Meter;
  /** Collects and exports now: by name. */
  readonly read: () => Promise<ReadonlyMap<string, MetricData>>;
} {
  const exporter = new InMemoryMetricExporter(temporality);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: A_DAY_MS });
  const provider = new MeterProvider({ readers: [reader] });
  onTestFinished(() => provider.shutdown());
  const read = async (): Promise<ReadonlyMap<string, MetricData>> => {
    exporter.reset();
    await provider.forceFlush();
    const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    return new Map(
      all.flatMap(({ metrics }) => metrics).map((metric) => [metric.descriptor.name, metric]),
    );
  };
  return { meter: provider.getMeter("sluice"), read };
}

/** The values of a metric as "attributes" → value; of a histogram, its count. */
export function pointsOf(metric: MetricData | undefined): Readonly<Record<string, number>> {
  const points = (metric?.dataPoints ?? []).map(({ attributes, value }): [string, number] => {
    const shown = Object.entries(attributes).map(([name, each]) => `${name}=${String(each)}`);
    return [shown.join(" "), typeof value === "number" ? value : (value as Histogram).count];
  });
  return Object.fromEntries(points);
}

/** What a histogram holds, of all attributes together. */
export function histogramsOf(metric: MetricData | undefined): readonly Histogram[] {
  return (metric?.dataPoints ?? []).map(({ value }) => value as Histogram);
}

class TestContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    fn: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => fn.apply(self as ThisParameterType<F>, args));
  }

  bind<T>(_: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.#storage.disable();
    return this;
  }
}

/** A provider of traces whose active spans the API knows, and the spans that ended. */
export function tracerForTest(): {
  readonly tracer: Tracer;
  readonly ended: () => readonly ReadableSpan[];
  /** Runs `work` in a span of a request, and ends that. */
  readonly inRequest: <T>(name: string, work: () => Promise<T>) => Promise<T>;
} {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  context.setGlobalContextManager(new TestContexts());
  onTestFinished(async () => {
    context.disable();
    await provider.shutdown();
  });
  const tracer = provider.getTracer("sluice");
  return {
    tracer,
    ended: () => exporter.getFinishedSpans(),
    async inRequest(name, work) {
      const span = tracer.startSpan(name);
      try {
        return await context.with(trace.setSpan(context.active(), span), work);
      } finally {
        span.end();
      }
    },
  };
}

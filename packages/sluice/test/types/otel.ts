/** What must compile and what must not: OpenTelemetry's own objects are passed as they are. */
import { metrics, trace } from "@opentelemetry/api";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { instrument } from "../../src/otel/index.js";
import { expectType } from "./expect-type.js";

const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }) });
const semaphore = new Semaphore({ limit: 1 });
const tracer = trace.getTracer("sluice");

export function theApisObjectsFit(): void {
  expectType<() => void>(instrument({ meter: metrics.getMeter("sluice"), trace }, [limiter]));
  instrument({ tracer, trace, meter: undefined }, [semaphore, limiter.store], { spans: true });
  instrument({ trace: { getActiveSpan: () => trace.getActiveSpan() } }, [limiter], {});
}

export function theSdksObjectsFit(): void {
  const telemetry = {
    meter: new MeterProvider().getMeter("sluice"),
    tracer: new BasicTracerProvider().getTracer("sluice"),
  };
  instrument(telemetry, [limiter], { spans: undefined, exposeIds: undefined, store: undefined });
}

export function othersDoNot(): void {
  // @ts-expect-error a tracer is no meter
  instrument({ meter: tracer }, [limiter]);
  // @ts-expect-error neither is the API that makes meters
  instrument({ meter: metrics }, [limiter]);
  // @ts-expect-error a tracer does not know the active span
  instrument({ trace: tracer }, [limiter]);
  // @ts-expect-error what is measured is a list
  instrument({ trace }, limiter);
}

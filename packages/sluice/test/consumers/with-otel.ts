import assert from "node:assert/strict";
import { type Meter, metrics, type Span, trace, type Tracer } from "@opentelemetry/api";
import { RateLimiter, tokenBucket } from "sluice";
import {
  instrument,
  type MeterLike,
  type SpanLike,
  type Telemetry,
  type TracerLike,
} from "sluice/otel";

const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
const meter: Meter = metrics.getMeter("sluice");
const tracer: Tracer = trace.getTracer("sluice");
export const fits: readonly [MeterLike, TracerLike, (span: Span) => SpanLike] = [
  meter,
  tracer,
  (span) => span,
];
const telemetry: Telemetry = { meter, trace, tracer };
const end = instrument(telemetry, [limiter], { spans: true, exposeIds: true, store: "main" });
assert.equal((await limiter.consume("k")).allowed, true);
assert.equal((await limiter.consume("k")).allowed, false);
end();
await limiter.close();

/**
 * The parts of @opentelemetry/api that are used, by their shape: its own types fit, whichever version 1.9 or later is
 * installed, and nothing of it is imported.
 */

export type OtelAttributes = Record<string, string | number>;

/** How a Meter's instrument is made. */
export interface MeterInstrumentOptions {
  description?: string;
  unit?: string;
  advice?: { explicitBucketBoundaries?: number[] };
}

/** What a value is observed of. */
export interface ObservableLike {
  addCallback(callback: never): void;
}

/** Takes the values of a collection. */
export interface BatchResultLike {
  observe(metric: ObservableLike, value: number, attributes?: OtelAttributes): void;
}

export interface HistogramLike {
  record(value: number, attributes?: OtelAttributes): void;
}

/** A Meter, as `metrics.getMeter("sluice")` returns it. */
export interface MeterLike {
  createHistogram(name: string, options?: MeterInstrumentOptions): HistogramLike;
  createObservableCounter(name: string, options?: MeterInstrumentOptions): ObservableLike;
  createObservableGauge(name: string, options?: MeterInstrumentOptions): ObservableLike;
  createObservableUpDownCounter(name: string, options?: MeterInstrumentOptions): ObservableLike;
  addBatchObservableCallback(
    callback: (result: BatchResultLike) => void,
    observables: ObservableLike[],
  ): void;
  removeBatchObservableCallback(
    callback: (result: BatchResultLike) => void,
    observables: ObservableLike[],
  ): void;
}

export interface SpanLike {
  isRecording(): boolean;
  addEvent(name: string, attributes?: OtelAttributes): unknown;
  setAttributes(attributes: OtelAttributes): unknown;
  setStatus(status: { code: number }): unknown;
  /** Milliseconds since the epoch. */
  end(endTime?: number): void;
}

/** A Tracer, as `trace.getTracer("sluice")` returns it. */
export interface TracerLike {
  startSpan(name: string, options?: { attributes?: OtelAttributes; startTime?: number }): SpanLike;
}

/** What knows the active span: the API's `trace`. */
export interface ActiveSpanLike {
  getActiveSpan(): SpanLike | undefined;
}

/** Works a limiter with many calls side by side, and counts what comes back. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Decision, SluiceError, systemClock } from "sluice";
import { monotonicMs } from "../../clock.js";
import type { PlotPoint } from "../../terminal/plot.js";

/** How a limiter is to be worked. */
export interface LoadPlan {
  readonly calls: number;
  /** How many workers call side by side, each waiting for its own answer. */
  readonly concurrency: number;
  /** How long a worker rests between an answer and its next call. */
  readonly delayMs: number;
}

/** An answer, and if it was waited for, when its start was promised and how late it came. */
export interface LoadAnswer {
  readonly decision: Decision;
  readonly readyAtUs?: number | undefined;
  readonly lateMs?: number | undefined;
}

/** What came back. */
export interface LoadResult {
  readonly attempted: number;
  readonly allowed: number;
  readonly denied: number;
  /** Decisions that the store did not make; they are among allowed and denied. */
  readonly degraded: number;
  readonly failed: number;
  /** Failures by code, with the first one's message. */
  readonly failures: ReadonlyMap<string, Failure>;
  readonly durationMs: number;
  readonly latency: Latency | undefined;
  /** How long after their promised time calls that waited could start. */
  readonly lateness: Latency | undefined;
  /** Every decision, for the plot. */
  readonly points: readonly PlotPoint[];
  /** Whether the run was ended before its last call. */
  readonly interrupted: boolean;
}

export interface Failure {
  readonly count: number;
  readonly message: string;
}

/** Of calls that were answered, as their caller saw it. */
export interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

/** Gets each answer; the worker goes on when the observer is done. */
export interface LoadObserver {
  decided(answer: LoadAnswer): Promise<void>;
  failed(code: string): Promise<void>;
  progressed(result: LoadResult): void;
}

/** A store in this process answers without a turn of the event loop; signals and timers need one. */
const CALLS_A_TURN = 64;

/** Calls `consume` as planned, until all calls are made or the signal aborts; a call under way is waited for. */
export async function runLoad(
  plan: LoadPlan,
  consume: () => Promise<LoadAnswer>,
  observer: LoadObserver,
  signal: AbortSignal,
): Promise<LoadResult> {
  const tally = new LoadTally();
  let started = 0;

  const call = async (): Promise<void> => {
    const sentAtMs = monotonicMs();
    let answer: LoadAnswer;
    try {
      answer = await consume();
    } catch (error) {
      await observer.failed(tally.fail(error));
      return;
    }
    tally.add(answer, monotonicMs() - sentAtMs);
    await observer.decided(answer);
  };

  const work = async (): Promise<void> => {
    while (started < plan.calls && !signal.aborted) {
      started += 1;
      await call();
      observer.progressed(tally);
      if (plan.delayMs > 0 && started < plan.calls) await rest(plan.delayMs, signal);
      else if (started % CALLS_A_TURN === 0) await nextTurn();
    }
  };

  await Promise.all(Array.from({ length: Math.min(plan.concurrency, plan.calls) }, work));
  tally.finish(plan.calls);
  return tally;
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await systemClock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

class LoadTally implements LoadResult {
  allowed = 0;
  denied = 0;
  degraded = 0;
  failed = 0;
  interrupted = false;
  readonly points: PlotPoint[] = [];
  readonly failures = new Map<string, Failure>();
  readonly #latencies: RecordableHistogram = createHistogram();
  readonly #latenesses: RecordableHistogram = createHistogram();
  readonly #startedAtMs = monotonicMs();
  #durationMs: number | undefined;

  get attempted(): number {
    return this.allowed + this.denied + this.failed;
  }

  get durationMs(): number {
    return this.#durationMs ?? monotonicMs() - this.#startedAtMs;
  }

  get latency(): Latency | undefined {
    return spread(this.#latencies);
  }

  get lateness(): Latency | undefined {
    return spread(this.#latenesses);
  }

  add({ decision, lateMs }: LoadAnswer, latencyMs: number): void {
    const { allowed, source, decidedAtUs } = decision;
    if (allowed) this.allowed += 1;
    else this.denied += 1;
    if (source !== "store") this.degraded += 1;
    this.points.push({ atUs: decidedAtUs, allowed });
    note(this.#latencies, latencyMs);
    if (lateMs !== undefined) note(this.#latenesses, lateMs);
  }

  fail(error: unknown): string {
    const code =
      error instanceof SluiceError ? error.code : error instanceof Error ? error.name : "Error";
    const message = error instanceof Error ? error.message : String(error);
    const known = this.failures.get(code);
    this.failed += 1;
    this.failures.set(code, { count: (known?.count ?? 0) + 1, message: known?.message ?? message });
    return code;
  }

  finish(planned: number): void {
    this.#durationMs = monotonicMs() - this.#startedAtMs;
    this.interrupted = this.attempted < planned;
  }
}

/** The histogram counts whole nanoseconds from 1. */
function note(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1e6)));
}

function spread(histogram: RecordableHistogram): Latency | undefined {
  if (histogram.count === 0) return undefined;
  return {
    p50Us: histogram.percentile(50) / 1e3,
    p99Us: histogram.percentile(99) / 1e3,
    maxUs: histogram.max / 1e3,
  };
}

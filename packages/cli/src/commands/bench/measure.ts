/** Calls a limiter with a number of calls in flight, for a while, and says how long they took. */
import { createHistogram } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RateLimiter } from "sluice";
import { monotonicMs } from "../../clock.js";

/** What is measured. */
export interface Measurement {
  readonly inFlight: number;
  /** How many keys the calls take in turn. */
  readonly keys: number;
  readonly timeMs: number;
  /** The keys of this measurement begin with it: no other limit is touched. */
  readonly prefix: string;
}

/** Of the calls that were answered in time. */
export interface Measured {
  readonly calls: number;
  readonly allowed: number;
  readonly failed: number;
  readonly callsPerSecond: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** A store in this process answers without a turn of the event loop; signals need one. */
const CALLS_A_TURN = 64;
/** Keys that are removed at once. */
const AT_ONCE = 256;

/**
 * Warms up for half of the time, then measures. All keys are reset at the end, whatever happens; `progressed` gets the share
 * that is done.
 */
export async function measure(
  limiter: RateLimiter,
  measurement: Measurement,
  signal: AbortSignal,
  progressed: (share: number) => void,
): Promise<Measured> {
  const { timeMs, keys, prefix } = measurement;
  try {
    const whole = 1.5 * timeMs;
    await callFor(limiter, measurement, timeMs / 2, signal, (ms) => progressed(ms / whole));
    return await callFor(limiter, measurement, timeMs, signal, (ms) =>
      progressed((timeMs / 2 + ms) / whole),
    );
  } finally {
    for (let i = 0; i < keys; i += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, keys - i) }, (_, k) =>
        keyOf(prefix, i + k),
      );
      // Those that cannot be removed expire.
      await Promise.all(some.map((key) => limiter.reset(key).catch(() => {})));
    }
    await limiter.close();
  }
}

function keyOf(prefix: string, i: number): string {
  return `${prefix}:${i}`;
}

async function callFor(
  limiter: RateLimiter,
  { inFlight, keys, prefix }: Measurement,
  forMs: number,
  signal: AbortSignal,
  progressed: (ms: number) => void,
): Promise<Measured> {
  const latencies = createHistogram();
  let [allowed, failed, started] = [0, 0, 0];
  const beganMs = monotonicMs();
  const work = async (): Promise<void> => {
    while (!signal.aborted && monotonicMs() - beganMs < forMs) {
      const key = keyOf(prefix, started % keys);
      started += 1;
      const sentMs = monotonicMs();
      try {
        if ((await limiter.consume(key)).allowed) allowed += 1;
        latencies.record(Math.max(1, Math.round((monotonicMs() - sentMs) * 1e6)));
      } catch {
        failed += 1;
        // A store that fails at once would keep the loop to itself.
        await nextTurn();
      }
      if (started % CALLS_A_TURN === 0) {
        progressed(monotonicMs() - beganMs);
        await nextTurn();
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  const tookMs = monotonicMs() - beganMs;
  const { count, mean } = latencies;
  const percentileUs = (share: number): number =>
    count === 0 ? 0 : latencies.percentile(share) / 1e3;
  return {
    calls: count + failed,
    allowed,
    failed,
    callsPerSecond: (count / tookMs) * 1e3,
    meanUs: count === 0 ? 0 : mean / 1e3,
    p50Us: percentileUs(50),
    p99Us: percentileUs(99),
  };
}

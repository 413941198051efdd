/** A policy of each kind, for tests of what must hold for all of them. */
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";

/**
 * Each lets 10 units through at once and gives none back while a test runs. Those that follow the
 * calendar or the clock are a year long, so that no boundary falls into a run.
 */
export const slowPolicies: readonly (readonly [kind: string, policy: Policy])[] = [
  ["token bucket", tokenBucket({ limit: 10, period: "365d" })],
  ["token bucket by intervals", tokenBucket({ limit: 10, period: "365d", refill: "interval" })],
  ["gcra", gcra({ limit: 10, period: "365d", burst: 10 })],
  ["leaky bucket", leakyBucket({ limit: 10, period: "365d", capacity: 10 })],
  ["fixed window by the clock", fixedWindow({ limit: 10, window: "365d" })],
  ["fixed window from the first hit", fixedWindow({ limit: 10, window: "365d", align: "first" })],
  ["calendar window", calendarWindow({ limit: 10, unit: "year", timeZone: "Asia/Kathmandu" })],
  ["sliding window", slidingWindow({ limit: 10, window: "365d" })],
  ["sliding log", slidingLog({ limit: 10, window: "365d" })],
];

/** The same for one limiter: p0, p1 and so on. */
export const namedSlowPolicies: readonly Policy[] = slowPolicies.map(([, policy], i) => ({
  ...policy,
  name: `p${i}`,
}));

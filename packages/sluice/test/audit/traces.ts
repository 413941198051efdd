import fc from "fast-check";
import type { LoggedVerb, LogRecord } from "../../src/audit/record.js";
import { MemoryStore, parsePolicy, type Policy, RateLimiter } from "../../src/index.js";
import { START_US } from "../support/records.js";

/** One call of a trace; time moves first, by a step that may be none or back. */
export interface TraceStep {
  readonly stepUs: number;
  readonly verb: LoggedVerb;
  readonly cost: number;
}

/** A policy of every kind, at rates that do not divide their periods. */
export const POLICIES: readonly Policy[] = [
  { algorithm: "token-bucket", limit: 3, period: "10ms", burst: 7 },
  { algorithm: "token-bucket", limit: 3, period: "7ms", burst: 5, refill: "interval" },
  { algorithm: "gcra", limit: 0.7, period: "3ms", burst: 2.5 },
  { algorithm: "leaky-bucket", limit: 1000, period: "1s", capacity: 4 },
  { algorithm: "fixed-window", limit: 5, window: "11ms" },
  { algorithm: "fixed-window", limit: 5, window: "11ms", align: "first" },
  { algorithm: "calendar-window", limit: 6, unit: "minute", timeZone: "Asia/Kathmandu" },
  { algorithm: "sliding-window", limit: 6, window: "13ms" },
  { algorithm: "sliding-log", limit: 6, window: "13ms" },
].map((value) => parsePolicy(value));

/** Several policies at once, so that any one of them may decide. */
export const TOGETHER: readonly Policy[] = POLICIES.map((policy, index) =>
  parsePolicy({ ...policy, name: `policy-${index}` }),
);

/** Calls crowded into few instants, of costs that often look alike from outside. */
export function traces(mayGoBack: boolean): fc.Arbitrary<TraceStep[]> {
  const forward = [fc.constant(0), fc.integer({ min: 1, max: 9000 })];
  const back = fc.integer({ min: -4000, max: -1 });
  return fc
    .array(
      fc.record({
        stepUs: fc.oneof(...forward, ...(mayGoBack ? [back] : [])),
        verb: fc.constantFrom<LoggedVerb>("consume", "consume", "consume", "consumeUpTo"),
        cost: fc.constantFrom(1, 1, 2, 3),
        fraction: fc.constantFrom(0, 0, 0.5, 0.001),
      }),
      { minLength: 1, maxLength: 60 },
    )
    .map((steps) => steps.map(toStep));
}

/** Partial grants are whole units, so only a plain consume may ask for a fraction. */
function toStep({
  stepUs,
  verb,
  cost,
  fraction,
}: TraceStep & { readonly fraction: number }): TraceStep {
  return { stepUs, verb, cost: verb === "consume" ? cost + fraction : cost };
}

/** What a limiter in memory answers to a trace, as its log would have it. */
export async function recordsOf(
  policies: readonly Policy[],
  trace: readonly TraceStep[],
): Promise<LogRecord[]> {
  let nowUs = START_US;
  const clock = { nowUs: () => nowUs, sleep: async () => {} };
  await using limiter = new RateLimiter({ policy: policies, store: new MemoryStore({ clock }) });
  const records: LogRecord[] = [];
  for (const { stepUs, verb, cost } of trace) {
    nowUs += stepUs;
    const decision =
      verb === "consume"
        ? { granted: undefined, ...(await limiter.consume("k", { cost })) }
        : await limiter.consumeUpTo("k", { cost });
    records.push({
      atUs: decision.decidedAtUs,
      readyAtUs: undefined,
      maxWaitUs: undefined,
      key: "k",
      verb,
      cost,
      allowed: decision.allowed,
      granted: decision.granted ?? (decision.allowed ? cost : 0),
      remaining: decision.remaining,
      retryAfterMs: decision.retryAfterMs,
      resetAfterMs: decision.resetAfterMs,
      reason: decision.reason,
      source: decision.source,
      file: 0,
      line: records.length + 2,
    });
  }
  return records;
}

/** Shuffled, as if each record had come from a process of its own. */
export function shuffled(records: readonly LogRecord[], order: readonly number[]): LogRecord[] {
  return records
    .map((record, index) => ({ record, place: order[index % order.length] ?? 0 }))
    .sort((a, b) => a.place - b.place)
    .map(({ record }, line) => ({ ...record, file: record.line % 3, line }));
}

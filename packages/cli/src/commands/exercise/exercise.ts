/** `sluice exercise`: calls a limiter on one key and reports what it allowed, and how fast. */
import {
  type Decision,
  MaxWaitExceededError,
  MemoryStore,
  type Policy,
  QueueFullError,
  RateLimiter,
} from "sluice";
import { failedCallLine, headerLine, keyId, recordLine } from "sluice/audit";
import { describePolicy } from "sluice/describe";
import { defineCommand, EXIT } from "../../command-line/command.js";
import {
  costOption,
  durationOption,
  keyArgument,
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../../command-line/options.js";
import { policiesFrom, POLICY_OPTIONS } from "../../command-line/policy-options.js";
import { redactSecrets, redactUrl } from "../../command-line/redact.js";
import { connect, redisUrl, STORE_OPTIONS } from "../../command-line/store-options.js";
import {
  formatNumber,
  formatSignificant,
  formatSpan,
  formatTimes,
  printable,
} from "../../terminal/format.js";
import { plot, timeRange } from "../../terminal/plot.js";
import { type Progress, startProgress } from "../../terminal/progress.js";
import { type Terminal, terminalOf } from "../../terminal/terminal.js";
import { exerciseSemaphore, SEMAPHORE_OPTIONS } from "./exercise-semaphore.js";
import {
  type Latency,
  type LoadAnswer,
  type LoadObserver,
  type LoadPlan,
  type LoadResult,
  runLoad,
} from "./load.js";
import { LogWriter } from "./log-writer.js";

const DEFAULTS = {
  limit: "10",
  period: "1s",
  cost: "1",
  calls: "500",
  delay: "10ms",
  concurrency: "1",
} as const;
const MOST_CALLS = 10_000_000;
const MOST_WORKERS = 10_000;

const OPTIONS = {
  ...POLICY_OPTIONS,
  limit: { ...POLICY_OPTIONS.limit, help: `Units a period or window (default ${DEFAULTS.limit}).` },
  period: {
    ...POLICY_OPTIONS.period,
    help: `The period, or the length of a window: "250ms", "1h30m" (default ${DEFAULTS.period}).`,
  },
  cost: {
    type: "string",
    value: "N",
    help: `Units a call, in whole thousandths (default ${DEFAULTS.cost}).`,
  },
  calls: {
    type: "string",
    value: "N",
    help: `How many calls to make (default ${DEFAULTS.calls}).`,
  },
  delay: {
    type: "string",
    value: "TIME",
    help: `How long to rest after each answer; 0 = not at all (default ${DEFAULTS.delay}).`,
  },
  concurrency: {
    type: "string",
    value: "N",
    help: `Workers side by side, each with its own delay (default ${DEFAULTS.concurrency}).`,
  },
  wait: {
    type: "string",
    value: "TIME",
    help: "Wait in line, over all processes, up to TIME instead of being denied. With --semaphore: up to TIME for a permit; default: no bound.",
  },
  ...SEMAPHORE_OPTIONS,
  ...STORE_OPTIONS,
  timeout: {
    type: "string",
    value: "TIME",
    help: "The deadline of a call (default 250ms); past it the call failed.",
  },
  log: { type: "string", value: "FILE", help: "Write every decision to FILE, for sluice audit." },
  json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
} as const satisfies OptionTable;

type Values = OptionValues<typeof OPTIONS>;

interface Exercise extends LoadPlan {
  readonly key: string;
  readonly cost: number;
  /** Undefined: calls do not wait. */
  readonly maxWaitMs: number | undefined;
  readonly policies: readonly Policy[];
  /** Undefined for the memory of this process. */
  readonly url: string | undefined;
  readonly logFile: string | undefined;
}

/** `sluice exercise`: works one key of a limiter and reports what it did. */
export const exerciseCommand = defineCommand({
  usage: "sluice exercise <key> [options]",
  description: `Calls a limiter on one key and reports how many calls were allowed and denied, and how fast.

The limiter lives in the memory of this process, or in Redis where --redis or SLUICE_REDIS_URL
says so; then several exercises, on any machines, may run on the same key at once, and
\`sluice audit\` proves from their logs that together they kept the limit. A failed call is counted
and makes the exit code 1; calls are not retried. Ctrl-C ends the exercise and reports what was done.`,
  options: OPTIONS,
  examples: [
    "sluice exercise demo --limit 10 --period 1s --calls 500 --delay 10ms",
    "sluice exercise demo --algorithm sliding-log --limit 100 --period 1m --concurrency 8",
    "sluice exercise demo --algorithm calendar-window --limit 1000 --unit day --time-zone Europe/Paris",
    "sluice exercise demo --limit 100 --period 1s --wait 5s --concurrency 50 --delay 0",
    "sluice exercise demo --semaphore --limit 5 --hold 50ms --concurrency 20 --calls 100 --log a.jsonl",
    "sluice exercise demo --redis redis://127.0.0.1:6379 --delay 0 --calls 5000 --log a.jsonl",
  ],
  async run(values, positionals, io) {
    if (values.semaphore) {
      return exerciseSemaphore(keyArgument(positionals), values, DEFAULTS, io);
    }
    const stray = (["hold", "lease"] as const).find((name) => values[name] !== undefined);
    if (stray !== undefined) throw new UsageError(`--${stray} goes with --semaphore`);
    const exercise = exerciseFrom(values, positionals, io.env);
    const result = await perform(exercise, values, io.interruption(), startProgress(io));
    if (values.json) io.stdout.write(`${JSON.stringify(toJson(exercise, result))}\n`);
    else report(exercise, result, terminalOf(io.stdout, io.env));
    return result.failed > 0 ? EXIT.failed : EXIT.ok;
  },
});

function exerciseFrom(
  values: Values,
  positionals: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Exercise {
  return {
    key: keyArgument(positionals),
    cost: costOption("cost", values.cost ?? DEFAULTS.cost),
    maxWaitMs: values.wait === undefined ? undefined : durationOption("wait", values.wait),
    policies: policiesFrom(values, DEFAULTS),
    calls: numberOption("calls", values.calls ?? DEFAULTS.calls, {
      min: 1,
      max: MOST_CALLS,
      whole: true,
    }),
    concurrency: numberOption("concurrency", values.concurrency ?? DEFAULTS.concurrency, {
      min: 1,
      max: MOST_WORKERS,
      whole: true,
    }),
    delayMs: durationOption("delay", values.delay ?? DEFAULTS.delay),
    url: redisUrl(values, env),
    logFile: values.log,
  };
}

async function perform(
  exercise: Exercise,
  values: Values,
  signal: AbortSignal,
  progress: Progress,
): Promise<LoadResult> {
  const { policies, url } = exercise;
  // The log comes first: a run whose log cannot be written should not have taken any quota.
  const log = exercise.logFile === undefined ? undefined : await LogWriter.open(exercise.logFile);
  try {
    await log?.write(headerLine(policies));
    const store = url === undefined ? new MemoryStore() : await connect(url, values);
    const limiter = new RateLimiter({
      policy: policies,
      store,
      // Every answer must be the store's own and a failure must show, or the exercise proves nothing.
      onStoreFailure: "throw",
      denyCache: false,
      ...(values.namespace === undefined ? {} : { namespace: values.namespace }),
      ...(values.timeout === undefined
        ? {}
        : { timeout: durationOption("timeout", values.timeout) }),
    });
    try {
      const observer = observe(exercise, log, progress);
      return await runLoad(exercise, callOf(exercise, limiter), observer, signal);
    } finally {
      progress.finish();
      await limiter.close();
      await store.close();
    }
  } finally {
    await log?.close();
  }
}

/** What a worker does: consume, or wait its turn. */
function callOf(
  { key, cost, maxWaitMs }: Exercise,
  limiter: RateLimiter,
): () => Promise<LoadAnswer> {
  if (maxWaitMs === undefined) {
    return async () => ({ decision: await limiter.consume(key, { cost }) });
  }
  return async () => {
    try {
      const { readyAtUs, lateMs, ...decision } = await limiter.acquire(key, {
        cost,
        maxWait: maxWaitMs,
      });
      return { decision, readyAtUs, lateMs };
    } catch (error) {
      return { decision: refusalIn(error) };
    }
  };
}

/** The denial that a wait ended with; throws what else it failed with. */
function refusalIn(error: unknown): Decision {
  const isRefusal = error instanceof MaxWaitExceededError || error instanceof QueueFullError;
  if (isRefusal && error.decision !== undefined) return error.decision;
  throw error;
}

function observe(exercise: Exercise, log: LogWriter | undefined, progress: Progress): LoadObserver {
  const { cost, calls, maxWaitMs, policies } = exercise;
  const key = keyId(exercise.key);
  const maxWaitUs = maxWaitMs === undefined ? undefined : Math.round(maxWaitMs * 1e3);
  const verb = maxWaitUs === undefined ? ("consume" as const) : ("reserve" as const);
  return {
    async decided({ decision, readyAtUs }) {
      const { policy } = decision;
      const call = { key, cost, verb, maxWaitUs, ...(policies.length > 1 && { rule: { policy } }) };
      await log?.write(recordLine(call, { ...decision, readyAtUs }));
    },
    async failed(code) {
      await log?.write(failedCallLine({ failed: code, key, cost }));
    },
    progressed({ attempted, allowed, denied, failed }) {
      const failures = failed === 0 ? "" : `, ${formatNumber(failed)} failed`;
      progress.update(
        attempted,
        calls,
        `${formatNumber(allowed)} allowed, ${formatNumber(denied)} denied${failures}`,
      );
    },
  };
}

function report(exercise: Exercise, result: LoadResult, terminal: Terminal): void {
  const { attempted, allowed, denied, durationMs, interrupted } = result;
  const count = (calls: number): string => `${formatNumber(calls)} (${rate(calls, durationMs)}/s)`;
  const ending = interrupted ? `; interrupted before ${formatNumber(exercise.calls)}` : "";
  const rows: [string, string][] = [
    ["key", `${printable(exercise.key)}, ${placeOf(exercise)}`],
    ...exercise.policies.map((policy): [string, string] => ["policy", describePolicy(policy)]),
    [
      "attempted",
      `${count(attempted)} in ${formatSpan(durationMs * 1e3, 3)}, ${workersOf(exercise)}${ending}`,
    ],
    ["allowed", terminal.paint("cyan", count(allowed))],
    ["denied", terminal.paint("red", count(denied))],
    ...troubles(exercise, result).map(([label, text]): [string, string] => [
      label,
      terminal.paint("bold", text),
    ]),
    ...measures(result),
  ];
  if (exercise.logFile !== undefined) {
    rows.push(["log", `${exercise.logFile}; check it with: sluice audit ${exercise.logFile}`]);
  }
  const labels = Math.max(...rows.map(([label]) => label.length));
  for (const [label, text] of rows) terminal.say(`  ${label.padEnd(labels)}  ${text}\n`);
  terminal.say(`\n${plot(result.points, terminal)}`);
}

function placeOf({ url }: Exercise): string {
  return url === undefined ? "in the memory of this process" : `on ${redactUrl(url)}`;
}

function workersOf({ concurrency }: Exercise): string {
  return concurrency === 1 ? "one at a time" : `${formatNumber(concurrency)} at a time`;
}

function troubles(
  { url }: Exercise,
  { failed, failures, degraded }: LoadResult,
): [string, string][] {
  const rows: [string, string][] = [];
  if (degraded > 0) {
    rows.push(["degraded", `${formatNumber(degraded)} of these were not decided by the store`]);
  }
  if (failed > 0) rows.push(["failed", formatNumber(failed)]);
  for (const [code, { count, message }] of failures) {
    rows.push(["", `${formatNumber(count)} × ${code}: ${printable(redactSecrets(message, url))}`]);
  }
  return rows;
}

function measures({ latency, lateness, points }: LoadResult): [string, string][] {
  const rows: [string, string][] = [];
  for (const [label, spread] of Object.entries({ latency, lateness })) {
    if (spread === undefined) continue;
    const { p50Us, p99Us, maxUs } = spread;
    rows.push([
      label,
      `p50 ${formatSpan(p50Us, 3)}, p99 ${formatSpan(p99Us, 3)}, longest ${formatSpan(maxUs, 3)}`,
    ]);
  }
  const range = timeRange(points);
  if (range !== undefined) rows.push(["decided", `${formatTimes(range)}, store's clock`]);
  return rows;
}

function toJson(exercise: Exercise, result: LoadResult): object {
  const { key, policies, cost, maxWaitMs, url, logFile } = exercise;
  const { attempted, allowed, denied, degraded, failed, durationMs, interrupted } = result;
  const spreadOf = (spread: Latency | undefined): object | null =>
    spread === undefined ? null : { p50: spread.p50Us, p99: spread.p99Us, max: spread.maxUs };
  const range = timeRange(result.points);
  return {
    key,
    keyId: keyId(key),
    policies,
    cost,
    ...(maxWaitMs !== undefined && { maxWaitMs }),
    store: url === undefined ? "memory" : redactUrl(url),
    attempted,
    allowed,
    denied,
    degraded,
    failed,
    failures: [...result.failures].map(([code, { count, message }]) => ({
      code,
      count,
      message: redactSecrets(message, url),
    })),
    interrupted,
    durationMs,
    attemptedPerSecond: perSecond(attempted, durationMs),
    allowedPerSecond: perSecond(allowed, durationMs),
    latencyUs: spreadOf(result.latency),
    ...(maxWaitMs !== undefined && { latenessUs: spreadOf(result.lateness) }),
    decidedAtUs: range === undefined ? null : { first: range.fromUs, last: range.toUs },
    log: logFile ?? null,
  };
}

function rate(calls: number, durationMs: number): string {
  return formatSignificant(perSecond(calls, durationMs));
}

function perSecond(calls: number, durationMs: number): number {
  return durationMs > 0 ? (calls / durationMs) * 1e3 : 0;
}

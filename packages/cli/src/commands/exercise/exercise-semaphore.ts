/** `sluice exercise --semaphore`: works one key of a semaphore and reports how it was served. */
import { createHistogram } from "node:perf_hooks";
import { MaxWaitExceededError, MemoryStore, Semaphore, SluiceError, systemClock } from "sluice";
import {
  deniedAcquisitionLine,
  failedAcquisitionLine,
  permitLog,
  semaphoreHeaderLine,
} from "sluice/audit";
import { monotonicMs } from "../../clock.js";
import { EXIT, type ExitCode } from "../../command-line/command.js";
import {
  durationOption,
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../../command-line/options.js";
import { POLICY_OPTIONS } from "../../command-line/policy-options.js";
import { redactSecrets, redactUrl } from "../../command-line/redact.js";
import { connect, redisUrl, type STORE_OPTIONS } from "../../command-line/store-options.js";
import { formatNumber, formatSignificant, formatSpan, printable } from "../../terminal/format.js";
import { startProgress } from "../../terminal/progress.js";
import { type Io, terminalOf } from "../../terminal/terminal.js";
import { LogWriter } from "./log-writer.js";

/** Options of `sluice exercise` that only a semaphore has. */
export const SEMAPHORE_OPTIONS = {
  semaphore: {
    type: "boolean",
    help: "Exercise a semaphore of --limit permits: wait in line, hold for --hold, release.",
  },
  hold: {
    type: "string",
    value: "TIME",
    help: "With --semaphore: how long a permit is held (default 50ms).",
  },
  lease: {
    type: "string",
    value: "TIME",
    help: "With --semaphore: the lease of a permit (default 30s).",
  },
} as const satisfies OptionTable;

/** All that is read of the command line. */
export type SemaphoreValues = OptionValues<typeof SEMAPHORE_OPTIONS & typeof STORE_OPTIONS> & {
  readonly [name in "limit" | "calls" | "delay" | "concurrency" | "wait" | "timeout" | "log"]:
    | string
    | undefined;
} & { readonly json: boolean };

interface Plan {
  readonly key: string;
  readonly limit: number;
  readonly calls: number;
  readonly concurrency: number;
  readonly delayMs: number;
  readonly holdMs: number;
  /** Undefined: for ever. */
  readonly maxWaitMs: number | undefined;
  readonly url: string | undefined;
}

interface Result {
  readonly granted: number;
  /** Callers whose wait was over before there was a permit. */
  readonly denied: number;
  readonly lost: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, string>>;
  readonly durationMs: number;
  readonly waitUs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  readonly interrupted: boolean;
}

export async function exerciseSemaphore(
  key: string,
  values: SemaphoreValues,
  defaults: {
    readonly limit: string;
    readonly calls: string;
    readonly delay: string;
    readonly concurrency: string;
  },
  io: Io,
): Promise<ExitCode> {
  refuseOthers(values);
  const whole = (name: "limit" | "calls" | "concurrency", max: number): number =>
    numberOption(name, values[name] ?? defaults[name], { min: 1, max, whole: true });
  const plan: Plan = {
    key,
    limit: whole("limit", 1e9),
    calls: whole("calls", 1e7),
    concurrency: whole("concurrency", 1e4),
    delayMs: durationOption("delay", values.delay ?? defaults.delay),
    holdMs: durationOption("hold", values.hold ?? "50ms"),
    maxWaitMs: values.wait === undefined ? undefined : durationOption("wait", values.wait),
    url: redisUrl(values, io.env),
  };
  const result = await perform(plan, values, io);
  if (values.json) {
    const { key: _, url, ...rest } = plan;
    const store = url === undefined ? "memory" : redactUrl(url);
    io.stdout.write(`${JSON.stringify({ key, store, ...rest, ...result })}\n`);
  } else report(plan, values, result, io);
  return result.failed > 0 ? EXIT.failed : EXIT.ok;
}

/** Options of a policy would be silently without effect. */
function refuseOthers(values: object): void {
  const given: Readonly<Record<string, unknown>> = { ...values };
  for (const name of ["cost", ...Object.keys(POLICY_OPTIONS)]) {
    if (name === "limit" || given[name] === undefined) continue;
    throw new UsageError(
      `--${name} belongs to a policy; a semaphore has --limit, --hold, --lease and --wait`,
    );
  }
}

async function perform(plan: Plan, values: SemaphoreValues, io: Io): Promise<Result> {
  const { key, url, limit } = plan;
  const log = values.log === undefined ? undefined : await LogWriter.open(values.log);
  const progress = startProgress(io);
  const signal = io.interruption();
  try {
    await log?.write(semaphoreHeaderLine(limit));
    const store = url === undefined ? new MemoryStore() : await connect(url, values);
    const semaphore = new Semaphore({
      limit,
      store,
      ...(values.namespace === undefined ? {} : { namespace: values.namespace }),
      ...(values.timeout === undefined
        ? {}
        : { timeout: durationOption("timeout", values.timeout) }),
      ...(values.lease === undefined
        ? {}
        : { leaseDuration: durationOption("lease", values.lease) }),
    });
    if (log !== undefined) {
      // A log that cannot be written shows when it is closed.
      semaphore.events.on(
        "permit",
        permitLog(key, (line) => void log.write(line).catch(() => {})),
      );
    }
    try {
      const run = new Run(plan, semaphore, signal);
      await run.all((done) => {
        const denied = run.denied === 0 ? "" : `, ${formatNumber(run.denied)} denied`;
        progress.update(done, plan.calls, `${formatNumber(run.granted)} granted${denied}`);
      });
      for (let i = 0; i < run.denied; i++) await log?.write(deniedAcquisitionLine(key));
      for (const [code, count] of run.failures) {
        for (let i = 0; i < count.times; i++) await log?.write(failedAcquisitionLine(key, code));
      }
      return run.result(url);
    } finally {
      progress.finish();
      await semaphore.close();
      await store.close();
    }
  } finally {
    await log?.close();
  }
}

class Run {
  granted = 0;
  denied = 0;
  readonly failures = new Map<string, { times: number; readonly message: string }>();
  readonly #plan: Plan;
  readonly #semaphore: Semaphore;
  readonly #signal: AbortSignal;
  readonly #waits = createHistogram();
  readonly #beganMs = monotonicMs();
  #started = 0;
  #lost = 0;

  constructor(plan: Plan, semaphore: Semaphore, signal: AbortSignal) {
    this.#plan = plan;
    this.#semaphore = semaphore;
    this.#signal = signal;
  }

  async all(progressed: (done: number) => void): Promise<void> {
    const { calls, concurrency, delayMs } = this.#plan;
    let done = 0;
    const work = async (): Promise<void> => {
      while (this.#started < calls && !this.#signal.aborted) {
        this.#started += 1;
        await this.#one();
        done += 1;
        progressed(done);
        if (delayMs > 0 && this.#started < calls) await this.#rest(delayMs);
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, calls) }, work));
  }

  async #one(): Promise<void> {
    const { key, maxWaitMs = Number.POSITIVE_INFINITY, holdMs } = this.#plan;
    const askedMs = monotonicMs();
    try {
      const options = { maxWait: maxWaitMs, signal: this.#signal };
      const permit = await this.#semaphore.acquire(key, options);
      this.granted += 1;
      this.#waits.record(Math.max(1, Math.round((monotonicMs() - askedMs) * 1e6)));
      await this.#rest(holdMs);
      if (permit.lost.aborted) this.#lost += 1;
      await permit.release();
    } catch (error) {
      if (this.#signal.aborted && error === this.#signal.reason) return;
      if (error instanceof MaxWaitExceededError) {
        this.denied += 1;
        return;
      }
      const code = error instanceof SluiceError ? error.code : "Error";
      const message = error instanceof Error ? error.message : String(error);
      const known = this.failures.get(code);
      if (known === undefined) this.failures.set(code, { times: 1, message });
      else known.times += 1;
    }
  }

  async #rest(ms: number): Promise<void> {
    await systemClock.sleep(ms, this.#signal).catch(() => {});
  }

  result(url: string | undefined): Result {
    const [p50, p99, max] = [
      this.#waits.percentile(50),
      this.#waits.percentile(99),
      this.#waits.max,
    ];
    let failed = 0;
    const failures: Record<string, string> = {};
    for (const [code, { times, message }] of this.failures) {
      failed += times;
      failures[code] = redactSecrets(message, url);
    }
    return {
      granted: this.granted,
      denied: this.denied,
      lost: this.#lost,
      failed,
      failures,
      durationMs: monotonicMs() - this.#beganMs,
      waitUs: this.granted === 0 ? null : { p50: p50 / 1e3, p99: p99 / 1e3, max: max / 1e3 },
      interrupted: this.granted + this.denied + failed < this.#plan.calls,
    };
  }
}

function report(plan: Plan, values: SemaphoreValues, result: Result, io: Io): void {
  const { key, url, limit, holdMs, maxWaitMs, calls } = plan;
  const { granted, denied, lost, failed, failures, durationMs, waitUs, interrupted } = result;
  const terminal = terminalOf(io.stdout, io.env);
  const place = url === undefined ? "in the memory of this process" : `on ${redactUrl(url)}`;
  const perSecond = formatSignificant((granted / durationMs) * 1e3);
  const ending = interrupted ? `; ended before ${formatNumber(calls)}` : "";
  const rows = [
    ["key", `${printable(key)}, ${place}`],
    ["semaphore", `${formatNumber(limit)} at once, each held for ${formatSpan(holdMs * 1e3)}`],
    [
      "granted",
      `${formatNumber(granted)} (${perSecond}/s) in ${formatSpan(durationMs * 1e3, 3)}${ending}`,
    ],
  ];
  if (maxWaitMs !== undefined) {
    rows.push(["denied", `${formatNumber(denied)} within ${formatSpan(maxWaitMs * 1e3)}`]);
  }
  if (waitUs !== null) {
    const { p50, p99, max } = waitUs;
    rows.push([
      "waited",
      `p50 ${formatSpan(p50, 3)}, p99 ${formatSpan(p99, 3)}, longest ${formatSpan(max, 3)}`,
    ]);
  }
  if (lost > 0) rows.push(["lost", `${formatNumber(lost)} leases ended while they were held`]);
  if (failed > 0) rows.push(["failed", formatNumber(failed)]);
  for (const [code, message] of Object.entries(failures)) {
    rows.push(["", `${code}: ${printable(message)}`]);
  }
  if (values.log !== undefined) {
    rows.push(["log", `${values.log}; check it with: sluice audit ${values.log}`]);
  }
  const labels = Math.max(...rows.map(([label = ""]) => label.length));
  for (const [label = "", text = ""] of rows) terminal.say(`  ${label.padEnd(labels)}  ${text}\n`);
}

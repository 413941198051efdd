/** `sluice top`: shows what all processes report, as it changes. */
import { type Store, systemClock } from "sluice";
import { readReports, type Reports } from "sluice/report";
import { defineCommand, EXIT, type ExitCode } from "../../command-line/command.js";
import { durationOption, UsageError } from "../../command-line/options.js";
import { redactSecrets, redactUrl } from "../../command-line/redact.js";
import { connect, requiredRedisUrl, STORE_OPTIONS } from "../../command-line/store-options.js";
import { fitted, Screen } from "../../terminal/screen.js";
import { type Io, terminalOf } from "../../terminal/terminal.js";
import { type PolicyRates, TopRates } from "./top-rates.js";
import { topLines } from "./top-view.js";

const { redis, cluster } = STORE_OPTIONS;
/** The one that is under way, and the one before: rates need no more. */
const MINUTES = 2;
const LEAST_EVERY_MS = 100;
/** What a report may be called. */
const NAME = /^[\w.-]{1,64}$/;
const QUIT_KEYS = new Set(["q", "Q", "\u0003"]);

/** `sluice top`: what every process that reports allows and denies, and which ids are denied most. */
export const topCommand = defineCommand({
  usage: "sluice top --redis URL [options]",
  description: `Shows what processes that call report() of sluice/report allow and deny, by policy, and which ids they deny most.
On a terminal it redraws every second, until q or Ctrl-C; elsewhere it prints one reading below the other.`,
  options: {
    redis,
    cluster,
    name: { type: "string", value: "NAME", help: 'The name of the report (default "sluice").' },
    every: { type: "string", value: "DURATION", help: "How often it is read (default 1s)." },
    once: { type: "boolean", help: "Read and print once, and end." },
    json: { type: "boolean", help: "Print one JSON object a line each time, and nothing else." },
  },
  examples: [
    "sluice top --redis redis://127.0.0.1:6379",
    "sluice top --once --json --redis redis://127.0.0.1:6379",
  ],
  async run(values, positionals, io) {
    if (positionals[0] !== undefined) throw new UsageError("top takes no arguments");
    const { name = "sluice", every = "1s" } = values;
    if (!NAME.test(name)) {
      throw new UsageError("--name is 1 to 64 characters of A-Z a-z 0-9 . _ -");
    }
    const everyMs = durationOption("every", every);
    if (everyMs < LEAST_EVERY_MS) throw new UsageError(`--every is at least ${LEAST_EVERY_MS} ms`);
    const url = requiredRedisUrl(values, io.env);
    const store = await connect(url, values);
    try {
      return await watch({ store, url, name, everyMs, once: values.once, json: values.json }, io);
    } finally {
      await store.close();
    }
  },
});

interface Watching {
  readonly store: Store;
  readonly url: string;
  readonly name: string;
  readonly everyMs: number;
  readonly once: boolean;
  readonly json: boolean;
}

async function watch(watching: Watching, io: Io): Promise<ExitCode> {
  const { store, url, name, everyMs, once, json } = watching;
  const isLive = io.stdout.isTTY === true && io.env["TERM"] !== "dumb" && !once && !json;
  const rates = new TopRates();
  const controller = new AbortController();
  const quit = (): void => {
    controller.abort();
  };
  const screen = isLive ? new Screen(io, quit, QUIT_KEYS) : undefined;
  const interruption = once ? undefined : io.interruption();
  interruption?.addEventListener("abort", quit);
  let last: string[] = [];
  try {
    while (!controller.signal.aborted) {
      try {
        const reports = await unlessEnded(
          readReports({ store, minutes: MINUTES, name }),
          controller.signal,
        );
        if (reports === undefined) break;
        const policies = rates.add(reports);
        if (json) io.stdout.write(`${JSON.stringify(toJson(reports, policies))}\n`);
        else last = topLines({ reports, policies, place: redactUrl(url), name }, io);
      } catch (error) {
        // Somebody who looks sees the server come back.
        if (screen === undefined) throw error;
        const text = redactSecrets(error instanceof Error ? error.message : String(error), url);
        const { columns: width } = terminalOf(io.stdout, io.env);
        screen.draw([fitted(`cannot read the reports: ${text}`, width).trimEnd(), "", ...last]);
        if (await wasEnded(everyMs, controller.signal)) break;
        continue;
      }
      if (screen !== undefined) screen.draw(last);
      else if (!json) terminalOf(io.stdout, io.env).say(`${last.join("\n")}\n\n`);
      if (once || (await wasEnded(everyMs, controller.signal))) break;
    }
  } finally {
    interruption?.removeEventListener("abort", quit);
    screen?.end();
  }
  return EXIT.ok;
}

/** What is read, or undefined if the command ended first: a server that hangs must not keep it from ending. */
async function unlessEnded<T>(reading: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  // What it comes to later is of no interest.
  reading.catch(() => {});
  let end = (): void => {};
  const ended = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined);
    signal.addEventListener("abort", end);
  });
  try {
    return await Promise.race([reading, ended]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Waits, and says whether the command was ended during that. */
async function wasEnded(everyMs: number, signal: AbortSignal): Promise<boolean> {
  await systemClock.sleep(everyMs, signal).catch(() => {});
  return signal.aborted;
}

function toJson(reports: Reports, policies: readonly PolicyRates[]): object {
  return {
    ...reports,
    rates: policies.map(({ limiter, policy, votes, rates }) => ({
      limiter,
      policy,
      votes,
      ...rates,
    })),
  };
}

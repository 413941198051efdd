/** `sluice bench`: how fast one's own policies decide, in memory or on one's own Redis. */
import { randomUUID } from "node:crypto";
import { MemoryStore, parsePolicy, type Policy, RateLimiter, type Store } from "sluice";
import { describePolicy } from "sluice/describe";
import { defineCommand, EXIT } from "../../command-line/command.js";
import {
  durationOption,
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../../command-line/options.js";
import { validPolicies } from "../../command-line/policies-input.js";
import { policiesFrom, POLICY_OPTIONS } from "../../command-line/policy-options.js";
import { redactUrl } from "../../command-line/redact.js";
import { connect, redisUrl, STORE_OPTIONS } from "../../command-line/store-options.js";
import { bar } from "../../terminal/bar.js";
import { formatCount, formatNumber, formatSignificant, formatSpan } from "../../terminal/format.js";
import { startProgress } from "../../terminal/progress.js";
import { table } from "../../terminal/table.js";
import { type Io, type Terminal, terminalOf } from "../../terminal/terminal.js";
import { type Measured, measure } from "./measure.js";

const DEFAULTS = { limit: "100", period: "1s", concurrency: "1,16,256", time: "2s", keys: "1000" };
const NAMESPACE = "sluice-bench";
const MOST_IN_FLIGHT = 10_000;
const MOST_KEYS = 100_000;
const LONGEST_MS = 60_000;

const OPTIONS = {
  ...POLICY_OPTIONS,
  policies: {
    type: "string",
    value: "FILE",
    help: "Measure each rule's policy of a document, in JSON or YAML, in place of one policy.",
  },
  concurrency: {
    type: "string",
    value: "N,…",
    help: `How many calls are in flight, one measurement each (default ${DEFAULTS.concurrency}).`,
  },
  keys: {
    type: "string",
    value: "N",
    help: `How many keys the calls go round (default ${DEFAULTS.keys}; 1 = one hot key).`,
  },
  time: {
    type: "string",
    value: "TIME",
    help: `How long each measurement takes, after a warm-up of half of it (default ${DEFAULTS.time}).`,
  },
  redis: STORE_OPTIONS.redis,
  cluster: STORE_OPTIONS.cluster,
  namespace: {
    ...STORE_OPTIONS.namespace,
    help: `The first part of the keys that are used and removed (default "${NAMESPACE}").`,
  },
  json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
} as const satisfies OptionTable;

type Values = OptionValues<typeof OPTIONS>;

/** A limiter's policies, and what to call them. */
interface Subject {
  readonly name: string;
  readonly policies: readonly Policy[];
}

interface Result extends Measured {
  readonly subject: Subject;
  readonly inFlight: number;
}

/** `sluice bench`: calls a limiter as fast as it answers. */
export const benchCommand = defineCommand({
  usage: "sluice bench [--redis URL] [--policy … | --policies FILE] [options]",
  description: `Measures how many calls a second a limiter with your policies answers, and how long each takes, with
a few numbers of calls in flight: in the memory of this process or, with --redis, on your Redis. It
says what this process and that server do at this moment: another load on either, or a network, shows
in the numbers. It uses keys of its own, which end by themselves and are removed at the end, also
after Ctrl-C.`,
  options: OPTIONS,
  examples: [
    "sluice bench",
    "sluice bench --limit 100 --period 1m --redis redis://127.0.0.1:6379",
    "sluice bench --policies policies.yaml --concurrency 1,64 --time 5s --redis redis://127.0.0.1:6379",
  ],
  async run(values, positionals, io) {
    const [other] = positionals;
    if (other !== undefined) throw new UsageError(`unexpected argument ${other}`);
    const plan = planFrom(values);
    const subjects = await subjectsFrom(values, io);
    const url = redisUrl(values, io.env);
    const signal = io.interruption();
    const store = url === undefined ? new MemoryStore() : await connect(url, values);
    try {
      const { namespace = NAMESPACE } = values;
      const results = await measureAll(subjects, plan, { store, signal, io, namespace });
      const place = url === undefined ? "memory" : redactUrl(url);
      const isWhole = !signal.aborted;
      if (values.json) {
        io.stdout.write(`${JSON.stringify(toJson(place, results, plan, isWhole))}\n`);
      } else report(place, results, plan, isWhole, terminalOf(io.stdout, io.env));
      return results.some(({ failed }) => failed > 0) ? EXIT.failed : EXIT.ok;
    } finally {
      await store.close();
    }
  },
});

interface Plan {
  readonly inFlight: readonly number[];
  readonly keys: number;
  readonly timeMs: number;
}

function planFrom({ concurrency, keys, time }: Values): Plan {
  const numbers = (concurrency ?? DEFAULTS.concurrency).split(",");
  const range = { min: 1, max: MOST_IN_FLIGHT, whole: true };
  const timeMs = durationOption("time", time ?? DEFAULTS.time);
  if (timeMs < 1 || timeMs > LONGEST_MS) throw new UsageError("--time is from 1ms to 1m");
  return {
    inFlight: numbers.map((text) => numberOption("concurrency", text, range)),
    keys: numberOption("keys", keys ?? DEFAULTS.keys, { min: 1, max: MOST_KEYS, whole: true }),
    timeMs,
  };
}

async function subjectsFrom(values: Values, io: Io): Promise<readonly Subject[]> {
  if (values.policies === undefined) {
    const policies = policiesFrom(values, DEFAULTS);
    return [{ name: policies.map((policy) => describePolicy(policy)).join(" and "), policies }];
  }
  const given: Readonly<Record<string, unknown>> = { ...values };
  const stray = Object.keys(POLICY_OPTIONS).find((option) => given[option] !== undefined);
  if (stray !== undefined) throw new UsageError(`--${stray} and --policies exclude each other`);
  const { rules } = await validPolicies(values.policies, io);
  return rules.map(({ name, policy }) => {
    const own = parsePolicy({ ...policy, name });
    return { name: `rule ${name}: ${describePolicy(own)}`, policies: [own] };
  });
}

interface Place {
  readonly store: Store;
  readonly signal: AbortSignal;
  readonly io: Io;
  readonly namespace: string;
}

async function measureAll(
  subjects: readonly Subject[],
  { inFlight, keys, timeMs }: Plan,
  { store, signal, io, namespace }: Place,
): Promise<readonly Result[]> {
  const progress = startProgress(io);
  const runs = subjects.flatMap((subject) => inFlight.map((each) => ({ subject, inFlight: each })));
  const results: Result[] = [];
  try {
    for (const [i, run] of runs.entries()) {
      if (signal.aborted) break;
      const note = `${formatCount(run.inFlight, "call")} in flight`;
      const limiter = new RateLimiter({
        policy: run.subject.policies,
        store,
        namespace,
        onStoreFailure: "throw",
        denyCache: false,
        timeout: "5s",
      });
      const measured = await measure(
        limiter,
        { ...run, keys, timeMs, prefix: randomUUID() },
        signal,
        (share) => {
          progress.update(i + share, runs.length, note);
        },
      );
      if (measured.calls > 0) results.push({ ...run, ...measured });
    }
    return results;
  } finally {
    progress.finish();
  }
}

function report(
  place: string,
  results: readonly Result[],
  { keys, timeMs }: Plan,
  isWhole: boolean,
  terminal: Terminal,
): void {
  terminal.say(
    `${place === "memory" ? "in the memory of this process" : `on ${place}`}, ${formatCount(keys, "key")}, ${formatSpan(timeMs * 1e3)} each after a warm-up\n`,
  );
  const fastest = Math.max(...results.map(({ callsPerSecond }) => callsPerSecond));
  for (const subject of new Set(results.map((each) => each.subject))) {
    terminal.say(`\n${terminal.paint("bold", subject.name)}\n`);
    const own = results.filter((each) => each.subject === subject);
    const lines = table([
      ["in flight", "calls/s", "mean", "p50", "p99"],
      ...own.map((each) => [
        formatNumber(each.inFlight),
        formatSignificant(each.callsPerSecond),
        ...[each.meanUs, each.p50Us, each.p99Us].map((us) => formatSpan(us, 3)),
      ]),
    ]);
    const [head = "", ...rest] = lines;
    const room = Math.max(8, terminal.columns - 4 - Math.max(...lines.map(({ length }) => length)));
    const widest = Math.max(...lines.map(({ length }) => length));
    terminal.say(`  ${head}\n`);
    rest.forEach((line, i) => {
      const drawn = bar((own[i]?.callsPerSecond ?? 0) / fastest, Math.min(room, 30), terminal);
      terminal.say(`  ${line.padEnd(widest)}  ${drawn}\n`);
    });
  }
  const failed = results.reduce((sum, each) => sum + each.failed, 0);
  if (failed > 0) {
    terminal.say(`\n${formatNumber(failed)} calls failed; they are not in the numbers.\n`);
  }
  if (!isWhole) terminal.say("\ninterrupted: what was measured until then\n");
  terminal.say(
    "\nThis machine, this server and this moment: run it again, and trust no difference that two runs show too.\n",
  );
}

function toJson(place: string, results: readonly Result[], plan: Plan, isWhole: boolean): object {
  return {
    store: place,
    ...plan,
    isWhole,
    results: results.map(({ subject, ...measured }) => ({
      policies: subject.policies,
      ...measured,
    })),
  };
}

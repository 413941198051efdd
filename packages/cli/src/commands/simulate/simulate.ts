/** `sluice simulate`: replays logs of attempts under other limits, and shows what these change. */
import { describePolicy } from "sluice/describe";
import {
  type Limits,
  limitsOf,
  limitsOfDocument,
  type LoggedAttempts,
  readLoggedAttempts,
  simulate,
  suggestLimits,
} from "sluice/simulate";
import { monotonicMs } from "../../clock.js";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { watchedSources } from "../../command-line/log-source.js";
import {
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../../command-line/options.js";
import { validPolicies } from "../../command-line/policies-input.js";
import { policiesFrom, POLICY_OPTIONS } from "../../command-line/policy-options.js";
import { startProgress } from "../../terminal/progress.js";
import { type Io, terminalOf } from "../../terminal/terminal.js";
import { type Simulated, simulationJson, simulationText } from "./simulate-report.js";

const OPTIONS = {
  policies: {
    type: "string",
    value: "FILE",
    help: "A document of policies, in JSON or YAML. In logs of a PolicySet each request is asked by the rules that it meets; in others a rule is for the attempts that a rule of its name decided.",
  },
  against: {
    type: "string",
    value: "FILE",
    help: "With --policies: compare with what this document would have answered, and not with the log.",
  },
  ...POLICY_OPTIONS,
  suggest: {
    type: "string",
    value: "P",
    help: "For each rule, also find the least limit that denies nothing to P percent of the keys, such as 99.9.",
  },
  limiter: {
    type: "string",
    value: "NAME",
    help: "Replay only attempts of this limiter; needed with a policy where a log has several.",
  },
  json: { type: "boolean", help: "Print the report as one JSON object, and nothing else." },
} as const satisfies OptionTable;

type Values = OptionValues<typeof OPTIONS>;

/** `sluice simulate`: what other limits would have done. */
export const simulateCommand = defineCommand({
  usage: "sluice simulate LOG… (--policies FILE | --policy … | --limit …) [options]",
  description: `Replays the attempts of logs under other policies, by the clock of the store that decided them, and
compares the answers with those in the logs: which attempts would be newly denied, which newly
allowed, on how many keys, and when. Logs are those of \`sluice exercise\` and of sluice/log, of any
number of processes; - is standard input.

The attempts stay as they were. Callers who are denied come back later, or sooner, or not at all:
of that a simulation knows nothing.`,
  options: OPTIONS,
  examples: [
    "sluice simulate app.log --policies new.yaml --against policies.yaml",
    "sluice simulate app.log app.log.1 --policy token-bucket:limit=50,period=1m",
    "sluice simulate a.jsonl --limit 50 --period 1m --suggest 99.9",
    "sluice simulate app.log --limiter api --policy sliding-window:limit=50,period=1m --json",
  ],
  async run(values, files, io) {
    const compare = await limitsFrom(values, io);
    const percent = percentFrom(values.suggest);
    if (files.length === 0) throw new UsageError("LOG is missing; - is standard input");
    if (new Set(files).size < files.length) {
      throw new UsageError("a LOG is given twice: its attempts would count twice");
    }
    const progress = startProgress(io);
    try {
      const log = await readLoggedAttempts(await watchedSources(files, io, progress));
      const { limits, against, ...words } = compare(log);
      const onProgress = (done: number, total: number): void => {
        progress.update(done, total, "attempts replayed");
      };
      const common = { limits, limiter: values.limiter };
      const beganMs = monotonicMs();
      const report = await simulate(log, { ...common, against, onProgress });
      const durationMs = monotonicMs() - beganMs;
      const suggestions =
        percent === undefined
          ? undefined
          : { percent, rules: await suggestLimits(log, { ...common, percent }) };
      progress.finish();
      tell({ report, durationMs, ...words, suggestions }, values, io);
    } finally {
      progress.finish();
    }
    return EXIT.ok;
  },
});

const BY_THE_LOG: readonly string[] = ["the answers in the log"];

function tell(simulated: Simulated, { json }: Values, io: Io): void {
  if (json) io.stdout.write(`${JSON.stringify(simulationJson(simulated))}\n`);
  else {
    const terminal = terminalOf(io.stdout, io.env);
    terminal.say(simulationText(simulated, terminal));
  }
}

/** What is compared with what, and that in words. */
interface Compared extends Pick<Simulated, "before" | "after" | "notes"> {
  readonly limits: Limits;
  readonly against: Limits | undefined;
}

/** Reads what the options name; the rest depends on the log. */
async function limitsFrom(values: Values, io: Io): Promise<(log: LoggedAttempts) => Compared> {
  const { policies: file, against: other } = values;
  if (file === undefined) {
    if (other !== undefined) throw new UsageError("--against goes with --policies");
    const policies = policiesFrom(values);
    return (log) => {
      checkLimiter(log, values.limiter);
      const after = policies.map((policy) => describePolicy(policy));
      return { limits: limitsOf(policies), against: undefined, before: BY_THE_LOG, after };
    };
  }
  const given: Readonly<Record<string, unknown>> = values;
  const stray = Object.keys(POLICY_OPTIONS).find((option) => given[option] !== undefined);
  if (stray !== undefined) throw new UsageError(`--${stray} and --policies exclude each other`);
  const [document, earlier] = [
    await validPolicies(file, io),
    other === undefined ? undefined : await validPolicies(other, io),
  ];
  return (log) => {
    const limits = limitsOfDocument(document, log);
    const against = earlier && limitsOfDocument(earlier, log);
    const notes = [...new Set([...limits.notes, ...(against?.notes ?? [])])];
    const before = other === undefined ? BY_THE_LOG : [`as ${other} says`];
    return { limits, against, before, after: [`as ${file} says`], notes };
  };
}

function percentFrom(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const percent = numberOption("suggest", text, { min: 0, max: 100 });
  if (percent > 0) return percent;
  throw new UsageError(
    "--suggest 0 would let a limit deny every key; 99.9 finds one that denies nothing to 999 of 1,000 keys",
  );
}

/** One policy for all limiters of a log is hardly ever meant. */
function checkLimiter({ rules }: LoggedAttempts, limiter: string | undefined): void {
  const names = [...new Set(rules.map((rule) => rule.limiter))];
  if (limiter !== undefined || names.length < 2) return;
  throw new UsageError(
    `the logs are of the limiters ${names.join(", ")}: say which with --limiter`,
  );
}

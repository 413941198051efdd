/** `sluice explain`: which rules of a document a request meets, and what each would answer now. */
import { type Decision, RateLimiter, type Store, systemClock } from "sluice";
import { describePolicy } from "sluice/describe";
import {
  type CompiledPolicies,
  compilePolicies,
  type MatchedRule,
  type PolicyRequest,
  type RuleExplanation,
  type UnmetEntry,
} from "sluice/policies";
import { defineCommand, EXIT } from "../command-line/command.js";
import {
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../command-line/options.js";
import { validPolicies } from "../command-line/policies-input.js";
import { PUBLISHED_OPTIONS, withPublished } from "../command-line/published.js";
import { redactUrl } from "../command-line/redact.js";
import { connect, redisUrl, STORE_OPTIONS } from "../command-line/store-options.js";
import { formatNumber, formatSignificant, printable, valueText } from "../terminal/format.js";
import { type Io, type Terminal, terminalOf } from "../terminal/terminal.js";
import { verdictLines } from "../terminal/verdict.js";

const OPTIONS = {
  policies: {
    type: "string",
    value: "FILE",
    help: "The document, in JSON or YAML; default: the one that is published in Redis.",
  },
  ...PUBLISHED_OPTIONS,
  namespace: STORE_OPTIONS.namespace,
  plan: { type: "string", value: "PLAN", help: "The plan of the request." },
  cost: {
    type: "string",
    value: "N",
    help: "Units, for rules that do not set a cost (default 1).",
  },
  json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
} as const satisfies OptionTable;

type Values = OptionValues<typeof OPTIONS>;

/** A rule, and what it and its candidate would answer; undefined if no store was asked. */
interface Explained extends RuleExplanation {
  readonly answer: Decision | undefined;
  readonly candidateAnswer: Decision | undefined;
}

/** `sluice explain`: counts nothing. */
export const explainCommand = defineCommand({
  usage: "sluice explain ENTRY=VALUE… (--policies FILE | --redis URL) [options]",
  description: `Shows what each rule of a document says to a request with these entries: whether it matches, and if not
why; the key that it charges; the plan's and the override's limit; and with --redis what it would
answer now. Nothing is counted.

Without --policies the document is the one that is published in Redis.`,
  options: OPTIONS,
  examples: [
    "sluice explain user=acme path=/v1/items --policies policies.yaml",
    "sluice explain user=acme method=GET --plan pro --redis redis://127.0.0.1:6379",
  ],
  async run(values, entries, io) {
    const request = requestFrom(values, entries);
    const url = redisUrl(values, io.env);
    const compiled = await documentFrom(values, io);
    if (compiled === undefined) return EXIT.failed;
    const rules = compiled.explain(request, systemClock.nowUs());
    const store = url === undefined ? undefined : await connect(url, values);
    try {
      const explained: Explained[] = [];
      for (const rule of rules) explained.push(await asked(rule, store, values.namespace));
      tell(compiled, request, explained, values, url, io);
    } finally {
      await store?.close();
    }
    return EXIT.ok;
  },
});

function requestFrom({ plan, cost }: Values, texts: readonly string[]): PolicyRequest {
  const entries = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`${valueText(text)} is no entry, such as user=acme`);
    const name = text.slice(0, at);
    if (entries.has(name)) throw new UsageError(`the entry ${valueText(name)} is given twice`);
    entries.set(name, text.slice(at + 1));
  }
  return {
    entries: Object.fromEntries(entries),
    ...(plan !== undefined && { plan }),
    ...(cost !== undefined && { cost: numberOption("cost", cost, { min: 0 }) }),
  };
}

async function documentFrom(values: Values, io: Io): Promise<CompiledPolicies | undefined> {
  if (values.policies !== undefined) {
    return compilePolicies(await validPolicies(values.policies, io));
  }
  if (redisUrl(values, io.env) === undefined) {
    throw new UsageError("a document is needed: --policies FILE, or --redis for the published one");
  }
  return withPublished(values, io.env, async ({ published, place }) => {
    const entry = await published.read();
    if (entry !== undefined) return compilePolicies(entry.document);
    terminalOf(io.stderr, io.env).say(`sluice: nothing is published as ${place}\n`);
    return undefined;
  });
}

/** Asks the store what a rule would answer. */
async function asked(
  rule: RuleExplanation,
  store: Store | undefined,
  namespace: string | undefined,
): Promise<Explained> {
  const { match } = rule;
  if (store === undefined || match?.verdict !== "decide" || match.identity === undefined) {
    return { ...rule, answer: undefined, candidateAnswer: undefined };
  }
  const { identity, cost, policy, candidate } = match;
  const peek = async (one: MatchedRule["policy"]): Promise<Decision> => {
    const limiter = new RateLimiter({ policy: one, store, namespace, onStoreFailure: "throw" });
    return limiter.peek(identity, { cost });
  };
  const answer = await peek(policy);
  return { ...rule, answer, candidateAnswer: candidate && (await peek(candidate)) };
}

function tell(
  compiled: CompiledPolicies,
  request: PolicyRequest,
  rules: readonly Explained[],
  { json, policies }: Values,
  url: string | undefined,
  io: Io,
): void {
  const { version, document } = compiled;
  const overrideOf = (match: MatchedRule | undefined): object | undefined =>
    match?.override && document.overrides?.[match.override.index];
  if (json) {
    const shown = rules.map((rule) => ({ ...rule, override: overrideOf(rule.match) ?? null }));
    io.stdout.write(`${JSON.stringify({ version, request, rules: shown })}\n`);
    return;
  }
  const terminal = terminalOf(io.stdout, io.env);
  const where = policies ?? redactUrl(url ?? "");
  const entries = Object.entries(request.entries).map(([name, value]) => `${name}=${value}`);
  const lines = [
    `${printable(where)}, version ${version}${pendingText(compiled)}`,
    `request ${terminal.paint("bold", printable(entries.join(" ")))}`,
    ...rules.flatMap((rule) => ["", ...ruleLines(rule, overrideOf(rule.match), terminal)]),
    ...(rules.every(({ match }) => match === undefined) ? ["", "no rule applies: it passes"] : []),
  ];
  terminal.say(`${lines.join("\n")}\n`);
}

/** Until then the processes that follow it decide by an earlier version. */
function pendingText({ activeFromUs, document }: CompiledPolicies): string {
  const isPending = activeFromUs > systemClock.nowUs();
  return isPending ? `, which comes into force at ${document.activeFrom}` : "";
}

function ruleLines(
  rule: Explained,
  override: object | undefined,
  terminal: Terminal,
): readonly string[] {
  const { match, mode, unmet } = rule;
  const name = terminal.paint("bold", printable(rule.rule));
  if (match === undefined) {
    const why = unmet.length === 0 ? "it is off" : unmet.map(unmetText).join("; ");
    return [`${name}  does not apply: ${why}`];
  }
  const { identity, verdict, cost, policy, candidate } = match;
  const key = identity === undefined ? "" : `, key ${printable(identity)}`;
  const lines = [`${name}  ${match.mode}${key}, cost ${formatNumber(cost)}`];
  if (mode === "enforce" && match.mode === "shadow") lines.push(`  ${rolloutText(rule)}`);
  if (override !== undefined) lines.push(`  override ${printable(valueText(override))}`);
  if (verdict === "exempt") return [...lines, "  exempt: it is not asked"];
  if (verdict === "deny") {
    const why = identity === undefined ? "an entry of its key is absent" : "the override says so";
    return [...lines, `  ${terminal.paint("red", "denies")}: ${why}`];
  }
  lines.push(`  ${describePolicy(policy)}`, ...answerLines(rule.answer, cost, terminal));
  if (candidate === undefined) return lines;
  const beside = `  beside it ${describePolicy(candidate)}`;
  return [...lines, beside, ...answerLines(rule.candidateAnswer, cost, terminal)];
}

function answerLines(
  answer: Decision | undefined,
  cost: number,
  terminal: Terminal,
): readonly string[] {
  return answer === undefined
    ? []
    : verdictLines(answer, cost, terminal).map((line) => `    ${line}`);
}

function rolloutText({ rolloutPlace }: RuleExplanation): string {
  const place = rolloutPlace === undefined ? "" : ` at ${formatSignificant(rolloutPlace)} %`;
  return `the rollout has not reached the key${place}`;
}

function unmetText({ entry, allowed, refused, isAbsent }: UnmetEntry): string {
  const name = printable(entry);
  const listed = (texts: readonly string[]): string => printable(texts.map(valueText).join(" or "));
  if (isAbsent) return `there is no entry ${name}`;
  if (allowed?.length === 0) return `there is an entry ${name}`;
  if (allowed !== undefined) {
    const or = refused === undefined ? "" : `, or is ${listed(refused)}`;
    return `${name} is not ${listed(allowed)}${or}`;
  }
  return `${name} may not be ${listed(refused ?? [])}`;
}

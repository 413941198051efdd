/** Decisions as JSON: what JSON.stringify writes of them, in a third of its time, which is most of an answer's. */
import type { Decision } from "sluice";
import type { RuleDecision, RulesDecision } from "sluice/policies";

/** The members of the usual decision of a rule; whatever has others besides is left to JSON.stringify. */
const USUAL = {
  allowed: true,
  reason: true,
  limit: true,
  remaining: true,
  retryAfterMs: true,
  resetAfterMs: true,
  decidedAtUs: true,
  windowMs: true,
  policy: true,
  source: true,
  rule: true,
  version: true,
} as const;

/** The same of the decision over all rules. */
const USUAL_OVER_ALL = { ...USUAL, rules: true, atomic: true } as const;

/** One decision over all rules: its members, without the braces around them, for others to stand beside them. */
export function decisionMembers(decision: RulesDecision): string {
  if (!isUsual(decision, USUAL_OVER_ALL)) return JSON.stringify(decision).slice(1, -1);
  const { rule, rules, version, atomic } = decision;
  const numbers = numbersOf(decision);
  // Of one rule the decision is this one.
  const known = rules.length === 1 ? numbers : undefined;
  const listed = rules.map((each) => ruleMember(each, known)).join();
  const named = rule === undefined ? "" : `,"rule":${text(rule)}`;
  return `${numbers},"version":${versionOf(version)},"rules":[${listed}],"atomic":${atomic}${named}`;
}

function ruleMember({ rule, mode, decision }: RuleDecision, known: string | undefined): string {
  return `{"rule":${text(rule)},"mode":"${mode}","decision":${ruleDecision(decision, known)}}`;
}

function ruleDecision(decision: Decision, known: string | undefined): string {
  const { rule, version } = decision;
  if (rule === undefined || version === undefined || !isUsual(decision, USUAL)) {
    return JSON.stringify(decision);
  }
  const numbers = known ?? numbersOf(decision);
  return `{${numbers},"rule":${text(rule)},"version":${versionOf(version)}}`;
}

function numbersOf(decision: Decision): string {
  const { allowed, reason, limit, remaining, retryAfterMs, resetAfterMs } = decision;
  const { decidedAtUs, windowMs, policy, source } = decision;
  const counts = `"limit":${number(limit)},"remaining":${number(remaining)}`;
  const waits = `"retryAfterMs":${number(retryAfterMs)},"resetAfterMs":${number(resetAfterMs)}`;
  const times = `"decidedAtUs":${number(decidedAtUs)},"windowMs":${number(windowMs)}`;
  return `"allowed":${allowed},"reason":"${reason}",${counts},${waits},${times},"policy":${text(policy)},"source":"${source}"`;
}

function isUsual(decision: Decision, usual: Readonly<Record<string, true>>): boolean {
  for (const name in decision) if (!Object.hasOwn(usual, name)) return false;
  return true;
}

/** Infinity is null in JSON, which reads as "never" or "without a limit". */
function number(value: number): string {
  return Number.isFinite(value) ? `${value}` : "null";
}

/** Names, and versions as text, are of characters that stand for themselves in JSON. */
const PLAIN = /^[\w.-]*$/;

function text(value: string): string {
  return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
}

function versionOf(version: string | number): string {
  return typeof version === "number" ? number(version) : text(version);
}

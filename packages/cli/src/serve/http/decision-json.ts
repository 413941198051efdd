/** Decisions as JSON: what JSON.stringify writes of them, in less than half its time, which is most of an answer's. */
import type { Decision } from "sluice";
import type { RuleDecision, RulesDecision, RulesDecisions } from "sluice/policies";

/** Members of the usual decision of a rule: what all decisions have, its `rule` and its `version`. */
const USUAL = 12;
/** Of one over all rules: these, `rules` and `atomic`. */
const USUAL_OVER_ALL = 14;

/** What many requests came to. */
export function decisionsJson({ allowed, decisions, atomic }: RulesDecisions): string {
  const listed = decisions.map((decision) => `{${decisionMembers(decision)}}`).join();
  return `{"allowed":${allowed},"decisions":[${listed}],"atomic":${atomic}}`;
}

/**
 * One decision over all rules: its members, without the braces around them, so that others can be added. One with other
 * members than the usual is left to JSON.stringify.
 */
export function decisionMembers(decision: RulesDecision): string {
  const { rule, rules, version, atomic } = decision;
  if (rule === undefined || countOf(decision) !== USUAL_OVER_ALL) {
    return JSON.stringify(decision).slice(1, -1);
  }
  const numbers = numbersOf(decision);
  const [only] = rules;
  // Of one rule the decision is this one.
  const listed =
    rules.length === 1 && only !== undefined
      ? ruleMember(only, numbers)
      : rules.map((each) => ruleMember(each, undefined)).join();
  return `${numbers},"version":${versionOf(version)},"rules":[${listed}],"atomic":${atomic},"rule":${text(rule)}`;
}

function ruleMember({ rule, mode, decision }: RuleDecision, known: string | undefined): string {
  return `{"rule":${text(rule)},"mode":"${mode}","decision":${ruleDecision(decision, known)}}`;
}

function ruleDecision(decision: Decision, known: string | undefined): string {
  const { rule, version } = decision;
  if (rule === undefined || version === undefined || countOf(decision) !== USUAL) {
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
  const times = `"decidedAtUs":${moment(decidedAtUs)},"windowMs":${number(windowMs)}`;
  return `"allowed":${allowed},"reason":"${reason}",${counts},${waits},${times},"policy":${text(policy)},"source":"${source}"`;
}

/** How many members there are. If all the usual ones are there and this is their number, there are no others. */
function countOf(decision: Decision): number {
  let count = 0;
  for (const _ in decision) count += 1;
  return count;
}

/** Infinity is null in JSON, which reads as "never" or "without a limit". */
function number(value: number): string {
  return Number.isFinite(value) ? `${value}` : "null";
}

/** Seconds and the rest separately: numbers below 2^31 become text in a fraction of the time that larger ones take. */
function moment(us: number): string {
  const seconds = Math.floor(us / 1e6);
  const rest = us - seconds * 1e6;
  const isUsual =
    seconds > 0 && seconds < 2 ** 31 && Number.isInteger(us) && rest >= 0 && rest < 1e6;
  return isUsual ? `${seconds}${`${1e6 + rest}`.slice(1)}` : number(us);
}

/** Names, and versions as text, that need no escapes in JSON. */
const PLAIN = /^[\w.-]*$/;

function text(value: string): string {
  return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
}

function versionOf(version: string | number): string {
  return typeof version === "number" ? number(version) : text(version);
}

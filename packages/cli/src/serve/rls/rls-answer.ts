/** What decisions are in an answer to Envoy: statuses, fields and a body for its client, metadata for its filters. */
import type { Decision, Refund } from "sluice";
import { DENIAL_KINDS, PROBLEM_TYPE } from "sluice/http";
import { type RulesDecision, rulesFields } from "sluice/policies";
import {
  MOST_UINT32,
  type RlsAnswer,
  type RlsMetadata,
  type RlsStatus,
  type RlsUnit,
} from "./rls-messages.js";

/** What a descriptor came to: a decision, or what each of its rules gave back. */
export type RlsOutcome = RulesDecision | readonly Refund[];

const NO_RULE: RlsStatus = { code: "OK", limitRemaining: 0 };

const DAY_MS = 86_400e3;
const UNITS: ReadonlyMap<number, RlsUnit> = new Map([
  [1e3, "SECOND"],
  [60e3, "MINUTE"],
  [3600e3, "HOUR"],
  [DAY_MS, "DAY"],
  [7 * DAY_MS, "WEEK"],
  ...[28, 29, 30, 31].map((days) => [days * DAY_MS, "MONTH"] as const),
  ...[365, 366].map((days) => [days * DAY_MS, "YEAR"] as const),
]);

/** The answer to what each descriptor came to. */
export function answerOf(outcomes: readonly RlsOutcome[]): RlsAnswer {
  const decisions = outcomes.filter(isDecision);
  const isDenied = decisions.some(({ allowed }) => !allowed);
  const [only] = decisions;
  const fields = rulesFields(decisions.length === 1 && only !== undefined ? only : decisions);
  return {
    overallCode: isDenied ? "OVER_LIMIT" : "OK",
    statuses: outcomes.map(statusOf),
    responseHeaders: isDenied ? [...fields, ["Content-Type", PROBLEM_TYPE]] : fields,
    rawBody: isDenied ? problemOf(decisions) : "",
    metadata: metadataOf(decisions),
  };
}

function isDecision(outcome: RlsOutcome): outcome is RulesDecision {
  return "allowed" in outcome;
}

function statusOf(outcome: RlsOutcome): RlsStatus {
  if (isDecision(outcome)) {
    if (outcome.rules.length === 0) return NO_RULE;
    return statusBy(outcome, outcome.allowed);
  }
  const [first, ...others] = outcome;
  if (first === undefined) return NO_RULE;
  const least = others.reduce((a, b) => (b.remaining < a.remaining ? b : a), first);
  return statusBy(least, true);
}

function statusBy(decision: Decision, allowed: boolean): RlsStatus {
  const { limit, windowMs, policy: name, remaining, resetAfterMs } = decision;
  const code = allowed ? "OK" : "OVER_LIMIT";
  if (limit === Number.POSITIVE_INFINITY) return { code, limitRemaining: MOST_UINT32 };
  const unit = UNITS.get(windowMs) ?? "UNKNOWN";
  return {
    code,
    currentLimit: { requestsPerUnit: uint32(limit), unit, name },
    limitRemaining: uint32(remaining),
    ...(Number.isFinite(resetAfterMs) && { resetAfterMs }),
  };
}

function uint32(units: number): number {
  return Math.max(0, Math.min(Math.floor(units), MOST_UINT32));
}

/** The one that a caller has to know of: denied for longest, else with least left. */
function decidingOf(decisions: readonly RulesDecision[]): RulesDecision | undefined {
  return decisions
    .filter(({ rules }) => rules.length > 0)
    .reduce<RulesDecision | undefined>((best, each) => {
      if (best === undefined || best.allowed !== each.allowed) {
        return best?.allowed === false ? best : each;
      }
      const isMore = each.allowed
        ? each.remaining < best.remaining
        : each.retryAfterMs > best.retryAfterMs;
      return isMore ? each : best;
    }, undefined);
}

function metadataOf(decisions: readonly RulesDecision[]): RlsMetadata | undefined {
  const deciding = decidingOf(decisions);
  if (deciding === undefined) return undefined;
  const { policy, reason, source } = deciding;
  return { policy, reason, source, shadow: shadowDenials(decisions) };
}

/** The rules in shadow and the candidates that would have denied, by name. */
function shadowDenials(decisions: readonly RulesDecision[]): readonly string[] {
  const names = new Set<string>();
  for (const { rules } of decisions) {
    for (const { rule, mode, decision } of rules) {
      if (mode === "shadow" && decision.reason !== "ok") names.add(rule);
      for (const { policy, allowed } of decision.shadow ?? []) if (!allowed) names.add(policy);
    }
  }
  return [...names];
}

function problemOf(decisions: readonly RulesDecision[]): string {
  const names = new Set<string>();
  let isStore = true;
  for (const { allowed, rules } of decisions) {
    if (allowed) continue;
    for (const { mode, decision } of rules) {
      if (mode === "shadow" || decision.allowed) continue;
      names.add(decision.policy);
      isStore &&= decision.reason === "store";
    }
  }
  const { type, title } = DENIAL_KINDS[isStore ? "store" : "quota"];
  return JSON.stringify({ type, title, status: 429, "violated-policies": [...names] });
}

/** From a store's answer in thousandths and µs to the decision that callers see. */
import { NEVER, REASON } from "../algorithms/decide.js";
import { wholeUnits } from "../core/amount.js";
import type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "../core/decision.js";
import { ceilMs } from "../core/duration.js";
import type { StoreResult, DebitResult } from "../stores/store.js";

/** What a decision says of a debit beside the answer. */
export interface DebitLabel {
  readonly name: string;
  readonly rule: { readonly limit: number };
}

const REASON_NAMES: readonly DecisionReason[] = ["ok", "quota", "too-costly", "blocked"];

/** The decision on a call with these debits. */
export function decisionOf(
  labels: readonly DebitLabel[],
  answer: StoreResult,
  source: DecisionSource,
): Decision {
  const deciding = labels.length === 1 ? 0 : decidingDebit(labels.length, answer.debits);
  const label = labels[deciding] as DebitLabel;
  const debit = answer.debits[deciding] as DebitResult;
  const decision: Decision = {
    allowed: debit.reason === REASON.ok,
    reason: REASON_NAMES[debit.reason] as DecisionReason,
    limit: label.rule.limit,
    remaining: wholeUnits(debit.available),
    retryAfterMs: retryAfterMs(debit),
    resetAfterMs: ceilMs(debit.resetUs),
    decidedAtUs: answer.nowUs,
    policy: label.name,
    source,
  };
  if (labels.length === 1) return decision;
  return {
    ...decision,
    policies: labels.map((each, i) => policyVerdict(each, answer.debits[i] as DebitResult)),
  };
}

function policyVerdict(label: DebitLabel, debit: DebitResult): PolicyVerdict {
  return {
    policy: label.name,
    allowed: debit.reason === REASON.ok,
    reason: REASON_NAMES[debit.reason] as DecisionReason,
    limit: label.rule.limit,
    remaining: wholeUnits(debit.available),
    retryAfterMs: retryAfterMs(debit),
    resetAfterMs: ceilMs(debit.resetUs),
  };
}

function retryAfterMs(debit: DebitResult): number {
  return debit.waitUs === NEVER ? Number.POSITIVE_INFINITY : ceilMs(debit.waitUs);
}

/** On a denial the debit with the longest wait, else the one with least room; the first of equals. */
function decidingDebit(count: number, debits: readonly DebitResult[]): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if (weighs(debits[i] as DebitResult, debits[best] as DebitResult)) best = i;
  }
  return best;
}

function weighs(a: DebitResult, b: DebitResult): boolean {
  const deniedA = a.reason !== REASON.ok;
  const deniedB = b.reason !== REASON.ok;
  if (deniedA !== deniedB) return deniedA;
  if (!deniedA) return a.available < b.available;
  return retryAfterMs(a) > retryAfterMs(b);
}

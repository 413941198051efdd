/** From a store's answer in thousandths and µs to the decision that callers see. */
import { FOREVER_US, NEVER, REASON } from "../algorithms/decide.js";
import { type Clock, systemClock } from "../core/clock.js";
import { UNIT } from "../core/amount.js";
import type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "../core/decision.js";
import type { DebitResult, StoreResult } from "../stores/store.js";
import type { BoundPolicy } from "./bound-policies.js";

/** What a decision shows of a policy. */
type Shown = Pick<BoundPolicy, "name" | "rule">;

const REASON_NAMES: readonly DecisionReason[] = ["ok", "quota", "too-costly", "blocked"];

/** The decision on a call with these debits. */
export function decisionOf(
  labels: readonly Shown[],
  answer: StoreResult,
  source: DecisionSource,
): Decision {
  return labels.length === 1
    ? loneDecision(labels[0] as Shown, answer, source)
    : setDecision(labels, answer, source);
}

function loneDecision(
  label: Shown,
  { debits, nowUs }: StoreResult,
  source: DecisionSource,
): Decision {
  const debit = debits[0] as DebitResult;
  const decidedAtUs = debit.nowUs ?? nowUs;
  return {
    allowed: debit.reason === REASON.ok,
    reason: REASON_NAMES[debit.reason] as DecisionReason,
    limit: label.rule.limit,
    remaining: remaining(label, debit),
    retryAfterMs: retryAfterMs(debit),
    resetAfterMs: ceilMs(debit.resetUs),
    decidedAtUs,
    windowMs: windowMs(label, decidedAtUs),
    policy: label.name,
    source,
  };
}

/** A decision over several policies shows the verdict of the one that decides. */
function setDecision(
  labels: readonly Shown[],
  { debits, nowUs }: StoreResult,
  source: DecisionSource,
): Decision {
  const policies = verdictsOf(labels, debits, nowUs);
  const deciding = decidingDebit(labels.length, debits);
  // Field by field: a copy by "..." takes longer than all that is computed here.
  const verdict = policies[deciding] as PolicyVerdict;
  return {
    allowed: verdict.allowed,
    reason: verdict.reason,
    limit: verdict.limit,
    remaining: verdict.remaining,
    retryAfterMs: verdict.retryAfterMs,
    resetAfterMs: verdict.resetAfterMs,
    decidedAtUs: debits[deciding]?.nowUs ?? nowUs,
    windowMs: verdict.windowMs,
    policy: verdict.policy,
    source,
    policies,
  };
}

function verdictsOf(
  labels: readonly Shown[],
  debits: readonly DebitResult[],
  nowUs: number,
): PolicyVerdict[] {
  // Without a closure, which would take more memory than a verdict.
  const verdicts = new Array<PolicyVerdict>(labels.length);
  for (let i = 0; i < labels.length; i++) {
    verdicts[i] = policyVerdict(labels[i] as Shown, debits[i] as DebitResult, nowUs);
  }
  return verdicts;
}

function policyVerdict(label: Shown, debit: DebitResult, nowUs: number): PolicyVerdict {
  return {
    policy: label.name,
    allowed: debit.reason === REASON.ok,
    reason: REASON_NAMES[debit.reason] as DecisionReason,
    limit: label.rule.limit,
    remaining: remaining(label, debit),
    retryAfterMs: retryAfterMs(debit),
    resetAfterMs: ceilMs(debit.resetUs),
    windowMs: windowMs(label, debit.nowUs ?? nowUs),
  };
}

function remaining({ rule }: Shown, { available }: DebitResult): number {
  return rule.limit === Number.POSITIVE_INFINITY ? rule.limit : wholeUnits(available);
}

function windowMs({ rule }: Shown, nowUs: number): number {
  return rule.windowMsAt === undefined ? rule.windowMs : rule.windowMsAt(nowUs);
}

function retryAfterMs(debit: DebitResult): number {
  return debit.waitUs === NEVER ? Number.POSITIVE_INFINITY : ceilMs(debit.waitUs);
}

/** All waits are shorter, except for a permanent block: that is longer until the year 2112. */
const LONGEST_US = FOREVER_US / 2;

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

/** How long such a denial tells callers to wait, since it is not known when the store will be back. */
const CLOSED_RETRY_MS = 1000;

/**
 * A decision without anything that decides: nothing was counted, so nothing is known to remain. Without labels not even
 * the policies are known.
 */
export function degradedDecision(
  labels: readonly Shown[],
  source: "fail-open" | "fail-closed" | "local",
  clock: Clock = systemClock,
): Decision {
  const [label] = labels;
  const allowed = source === "fail-open";
  const decidedAtUs = clock.nowUs();
  return {
    allowed,
    reason: "store",
    limit: label?.rule.limit ?? 0,
    remaining: 0,
    retryAfterMs: allowed ? 0 : CLOSED_RETRY_MS,
    resetAfterMs: 0,
    decidedAtUs,
    windowMs: label === undefined ? 0 : windowMs(label, decidedAtUs),
    policy: label?.name ?? "",
    source,
  };
}

/** The decision on a request that was not asked, since another one of its set is sure to be denied. */
export function unaskedDecision(labels: readonly Shown[], clock: Clock = systemClock): Decision {
  const decision = degradedDecision(labels, "fail-open", clock);
  return { ...decision, reason: "ok", source: "deny-cache" };
}

/** Thousandths to whole units, rounded down; a debt shows as 0. */
export function wholeUnits(thousandths: number): number {
  return thousandths <= 0 ? 0 : Math.floor(thousandths / UNIT);
}

/** Whole milliseconds, rounded up: what a caller who waits that long is sure of. Infinity until a block is lifted. */
export function ceilMs(us: number): number {
  return us > LONGEST_US ? Number.POSITIVE_INFINITY : Math.ceil(us / 1e3);
}

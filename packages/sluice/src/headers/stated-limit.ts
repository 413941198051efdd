/** What an answer may say of a decision: each policy's quota, what is left of it, and when that changes. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision, DecisionSource, PolicyVerdict } from "../core/decision.js";
import { isName } from "../core/key.js";
import { DEFAULT_QUOTA_UNIT } from "./rate-limit.js";
import { MAX_INTEGER } from "./structured-field.js";
import { FIRST_EPOCH_SECONDS } from "./waits.js";

/** A quota as fields state it, with the parts of them that stay the same from answer to answer. */
export interface Quota {
  /** The policy's name. */
  readonly name: string;
  /** Whole units a window, 0 to 999,999,999,999,999: of a bucket its burst. */
  readonly units: number;
  /** Whole seconds, 1 or more: of a bucket how long it takes to fill; absent if there is no window. */
  readonly windowSeconds?: number | undefined;
  /** "requests" or "concurrent-requests". */
  readonly unit: string;
  /** Its item of RateLimit-Policy: `"burst";q=100;w=60`. */
  readonly policyItem: string;
  /** Its item of RateLimit up to the number that remains: `"burst";r=`. */
  readonly limitPrefix: string;
}

/** What is left of a quota. */
export interface StatedLimit {
  /** What the policy allows. */
  readonly quota: Quota;
  /** Whole units, 0 to the quota's. */
  readonly remaining: number;
  /** Whole seconds, rounded up, until more may be used; absent if that is not known. */
  readonly resetSeconds?: number | undefined;
  /** Whole milliseconds to wait if it denied, Infinity for ever; -1 if it did not deny. */
  readonly deniedForMs: number;
}

/** A decision, and what made it. */
export interface ChargedDecision {
  /** What was decided. */
  readonly decision: Decision;
  /** What decided on the key, as `limiter.policies(key)` says. */
  readonly policies: readonly Policy[];
  /** As the limiter's option: what only shadows has no vote, and nothing is said of it. Default true. */
  readonly enforce?: boolean | undefined;
}

/** When more may be used: with the next unit, with a refill, or when all is back; "unstated" has nothing to say. */
type Recovery = "unit" | "refill" | "all" | "unstated";

function recoveryOf(policy: Policy): Recovery {
  // A field has a name unescaped, so a name that no limiter would accept must not end the field.
  if (policy.algorithm === "unlimited" || !isName(policy.name)) return "unstated";
  if (!("period" in policy)) return "all";
  return "refill" in policy && policy.refill === "interval" ? "refill" : "unit";
}

/** A policy's quota, and what it takes to know when more comes. */
interface PolicyQuota extends Quota {
  readonly recovery: Recovery;
  /** As the decisions have them that this was made for. */
  readonly limit: number;
  readonly windowMs: number;
  /** Of a bucket: milliseconds from one unit, or refill, to the next. */
  readonly stepMs: number;
  /** Units that come back with a step. */
  readonly stepUnits: number;
}

const quotas = new WeakMap<Policy, PolicyQuota>();

type Verdict = PolicyVerdict | Decision;

/** Other sources have numbers that are made up, of this process alone, or of other policies. */
function isStated(source: DecisionSource, allowed: boolean): boolean {
  if (source === "store" || source === "prefetch") return true;
  // What was not asked, since another of its set was sure to be denied, has no numbers.
  return source === "deny-cache" && !allowed;
}

/** `limits`, and behind them what may be said of a decision. Never throws. */
export function withDecision(
  limits: readonly StatedLimit[],
  decision: Decision,
  policies: readonly Policy[],
): readonly StatedLimit[] {
  const { source } = decision;
  if (!isStated(source, decision.allowed)) return limits;
  if (decision.policies === undefined) {
    return withVerdict(limits, policyOf(policies, 0, decision.policy), decision, source);
  }
  let all = limits;
  for (let i = 0; i < decision.policies.length; i++) {
    const verdict = decision.policies[i] as PolicyVerdict;
    all = withVerdict(all, policyOf(policies, i, verdict.policy), verdict, source);
  }
  return all;
}

/** Verdicts are in the order of their policies, but a call with its own policies may have others. */
function policyOf(policies: readonly Policy[], i: number, name: string): Policy | undefined {
  const inPlace = policies[i];
  return inPlace?.name === name ? inPlace : policies.find((policy) => policy?.name === name);
}

function withVerdict(
  limits: readonly StatedLimit[],
  policy: Policy | undefined,
  verdict: Verdict,
  source: DecisionSource,
): readonly StatedLimit[] {
  // Who reads lists finds an item by its name.
  if (policy === undefined || limits.some(({ quota: { name } }) => name === policy.name)) {
    return limits;
  }
  const quota = quotaOf(policy, verdict);
  if (quota.recovery === "unstated") return limits;
  const remaining =
    verdict.reason === "blocked" ? 0 : Math.floor(clamp(verdict.remaining, quota.units));
  const limit: StatedLimit = {
    quota,
    remaining,
    resetSeconds: secondsOf(resetMs(quota, verdict, remaining, source)),
    deniedForMs: verdict.allowed ? -1 : verdict.retryAfterMs,
  };
  return limits.length === 0 ? [limit] : [...limits, limit];
}

/** The strings of a policy are made once, and again when a decision has other numbers: months differ in length. */
function quotaOf(policy: Policy, { limit, windowMs }: Verdict): PolicyQuota {
  const known = quotas.get(policy);
  if (known?.limit === limit && known.windowMs === windowMs) return known;
  const units = Math.floor(clamp(limit, MAX_INTEGER));
  const windowSeconds = Math.max(1, Math.ceil(clamp(windowMs, MAX_INTEGER * 1e3) / 1e3));
  const recovery = recoveryOf(policy);
  const quota: PolicyQuota = {
    ...quotaNamed(policy.name, units, DEFAULT_QUOTA_UNIT, windowSeconds),
    recovery,
    limit,
    windowMs,
    ...stepOf(policy, recovery),
  };
  quotas.set(policy, quota);
  return quota;
}

function stepOf(policy: Policy, recovery: Recovery): { stepMs: number; stepUnits: number } {
  const { limit = 0, period = 0 } = policy as { limit?: number; period?: number };
  return recovery === "refill"
    ? { stepMs: period, stepUnits: limit }
    : { stepMs: limit > 0 ? period / limit : Number.POSITIVE_INFINITY, stepUnits: 1 };
}

/** `name` is of letters, digits, dot, underscore and hyphen: nothing in it needs an escape. */
export function quotaNamed(
  name: string,
  units: number,
  unit: string,
  windowSeconds?: number,
): Quota {
  const ofUnit = unit === DEFAULT_QUOTA_UNIT ? "" : `;qu="${unit}"`;
  const ofWindow = windowSeconds === undefined ? "" : `;w=${windowSeconds}`;
  return {
    name,
    units,
    windowSeconds,
    unit,
    policyItem: `"${name}";q=${units}${ofUnit}${ofWindow}`,
    limitPrefix: `"${name}";r=`,
  };
}

/** Milliseconds until more may be used; Infinity if it never may. */
function resetMs(
  quota: PolicyQuota,
  { reason, retryAfterMs, resetAfterMs }: Verdict,
  remaining: number,
  source: DecisionSource,
): number {
  if (reason === "blocked" || reason === "quota") return retryAfterMs;
  // All of it is there, and it is less than a unit.
  if (remaining === 0 && resetAfterMs === 0) return Number.POSITIVE_INFINITY;
  if (quota.recovery === "all") return resetAfterMs;
  const nextMs = nextStepMs(quota, resetAfterMs, remaining);
  // To the store all is in use that is kept here, so to it a full bucket is further away.
  return source === "prefetch" ? Math.min(nextMs, quota.stepMs) : nextMs;
}

/**
 * A bucket comes back in equal steps, so the time of the next unit follows from the time at which it is full. If refills
 * are not of whole units, or a debt exceeds them, that is at most one refill late, and never early.
 */
function nextStepMs(
  { recovery, limit, stepMs, stepUnits }: PolicyQuota,
  fullMs: number,
  remaining: number,
): number {
  const inUseThen = limit - remaining - 1;
  if (!(inUseThen > 0)) return fullMs;
  const stepsLeft = inUseThen / stepUnits;
  const nextMs = fullMs - (recovery === "refill" ? Math.floor(stepsLeft) : stepsLeft) * stepMs;
  // A state that is forgotten before its bucket is full.
  return nextMs > 0 ? nextMs : Math.min(stepMs, fullMs);
}

/** 0 for what is no number too. */
export function clamp(value: number, maximum: number): number {
  return value > 0 ? Math.min(value, maximum) : 0;
}

/** Whole seconds, rounded up; undefined for ever, which in JSON is null, and for what is no number. */
export function secondsOf(ms: number): number | undefined {
  if (typeof ms !== "number" || !(ms < Number.POSITIVE_INFINITY)) return undefined;
  const seconds = Math.ceil(clamp(ms, MAX_INTEGER) / 1e3);
  // Clients take that many seconds for a date. It is over thirty years, so they may as well take it as forever.
  return seconds < FIRST_EPOCH_SECONDS ? seconds : undefined;
}

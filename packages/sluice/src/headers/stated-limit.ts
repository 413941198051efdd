/** What an answer may say of a decision: each policy's quota, what is left of it, and when that changes. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "../core/decision.js";
import { DEFAULT_QUOTA_UNIT } from "./rate-limit.js";
import { MAX_INTEGER } from "./structured-field.js";

/** A quota as fields state it, with the parts of them that stay the same from answer to answer. */
export interface Quota {
  readonly name: string;
  /** Whole units a window, 0 to 999,999,999,999,999: of a bucket its burst. */
  readonly units: number;
  /** Whole seconds, 1 or more: of a bucket how long it takes to fill; absent where there is no window. */
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
  readonly quota: Quota;
  /** Whole units, 0 to the quota's. */
  readonly remaining: number;
  /** Whole seconds, rounded up, until more may be used; absent where nobody knows. */
  readonly resetSeconds?: number | undefined;
  /** Whole milliseconds to wait if it denied, Infinity for ever; -1 if it did not deny. */
  readonly deniedForMs: number;
}

/** A decision, and what made it. */
export interface ChargedDecision {
  readonly decision: Decision;
  /** What decided on the key, as `limiter.policies(key)` says. */
  readonly policies: readonly Policy[];
  /** As the limiter's option: what only shadows has no vote, and nothing is said of it. Default true. */
  readonly enforce?: boolean | undefined;
}

/** When more may be used: with each unit, with each refill, when the window ends, or as hits leave it one by one. */
type Recovery = "unit" | "refill" | "end" | "slide" | "unlimited";

const RECOVERY: Readonly<Record<Policy["algorithm"], (policy: Policy) => Recovery>> = {
  "token-bucket": (policy) =>
    policy.algorithm === "token-bucket" && policy.refill === "interval" ? "refill" : "unit",
  "leaky-bucket": () => "unit",
  gcra: () => "unit",
  "fixed-window": () => "end",
  "calendar-window": () => "end",
  "sliding-window": () => "slide",
  "sliding-log": () => "slide",
  unlimited: () => "unlimited",
};

/** A policy's quota, and what it takes to know when more comes. */
interface PolicyQuota extends Quota {
  readonly recovery: Recovery;
  /** As the decisions have them that this was made for. */
  readonly limit: number;
  readonly windowMs: number;
  /** Of a bucket: milliseconds for a unit, or for a refill. */
  readonly stepMs: number;
  /** Of a bucket: units of a step. */
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

/** Adds what may be said of a decision to `limits`. Never throws. */
export function state(charged: ChargedDecision, limits: StatedLimit[]): void {
  const { decision, policies, enforce = true } = charged;
  if (!enforce || !isStated(decision.source, decision.allowed)) return;
  if (decision.policies === undefined) {
    const policy = policies.length === 1 ? policies[0] : named(policies, decision.policy);
    if (policy !== undefined) stateVerdict(policy, decision, limits);
    return;
  }
  for (const [i, verdict] of decision.policies.entries()) {
    const inPlace = policies[i];
    const policy = inPlace?.name === verdict.policy ? inPlace : named(policies, verdict.policy);
    if (policy !== undefined) stateVerdict(policy, verdict, limits);
  }
}

function named(policies: readonly Policy[], name: string): Policy | undefined {
  return policies.find((policy) => policy.name === name);
}

function stateVerdict(policy: Policy, verdict: Verdict, limits: StatedLimit[]): void {
  const quota = quotaOf(policy, verdict);
  if (quota.recovery === "unlimited") return;
  const { allowed, reason } = verdict;
  const remaining = reason === "blocked" ? 0 : Math.floor(clamp(verdict.remaining, quota.units));
  limits.push({
    quota,
    remaining,
    resetSeconds: secondsOf(resetMs(quota, verdict, reason, remaining)),
    deniedForMs: allowed ? -1 : verdict.retryAfterMs,
  });
}

/** The strings of a policy are made once, and again when a decision has other numbers: months differ in length. */
function quotaOf(policy: Policy, { limit, windowMs }: Verdict): PolicyQuota {
  const known = quotas.get(policy);
  if (known?.limit === limit && known.windowMs === windowMs) return known;
  const units = Math.floor(clamp(limit, MAX_INTEGER));
  const windowSeconds = Math.max(1, Math.ceil(clamp(windowMs, MAX_INTEGER * 1e3) / 1e3));
  const recovery = RECOVERY[policy.algorithm]?.(policy) ?? "end";
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

/** Milliseconds until more may be used; Infinity where it never may. */
function resetMs(
  quota: PolicyQuota,
  { retryAfterMs, resetAfterMs }: Verdict,
  reason: DecisionReason,
  remaining: number,
): number {
  if (reason === "blocked" || reason === "quota") return retryAfterMs;
  if (quota.recovery !== "unit" && quota.recovery !== "refill") return resetAfterMs;
  // What comes before the bucket is full comes in equal steps, so the first of them is known from the last.
  const missing = quota.limit - remaining;
  const stepsAfter = Math.ceil(missing / quota.stepUnits) - 1;
  if (!(stepsAfter > 0)) return resetAfterMs;
  const firstMs = resetAfterMs - laterMs(quota, missing, stepsAfter);
  return firstMs > 0 ? firstMs : firstMs + quota.stepMs;
}

/** How long a bucket takes from its next step on until it is full. */
function laterMs({ recovery, stepMs }: PolicyQuota, missing: number, stepsAfter: number): number {
  return recovery === "unit" ? (missing - 1) * stepMs : stepsAfter * stepMs;
}

/** 0 for what is no number too. */
function clamp(value: number, maximum: number): number {
  return value > 0 ? Math.min(value, maximum) : 0;
}

/** Whole seconds, rounded up; undefined for ever, and for what is no number. */
export function secondsOf(ms: number): number | undefined {
  if (!(ms < Number.POSITIVE_INFINITY)) return undefined;
  return Math.ceil(clamp(ms, MAX_INTEGER) / 1e3);
}

/**
 * The answer of an override that denies everything, or lets everything pass: the store is not asked, and nothing is
 * charged.
 */
import { VERBS } from "../algorithms/decide.js";
import { systemClock } from "../core/clock.js";
import type { Clock } from "../core/clock.js";
import type { BoundPolicies, BoundPolicy } from "./bound-policies.js";
import type { LimiterAnswer, LimiterRequest } from "./request.js";
import { asksForQuota } from "./verbs.js";

/**
 * Undefined if the policies decide. Verbs that adjust a key go to the store whatever the override says, but for a penalty
 * on a key that is exempt: nothing is charged to it.
 */
export function overrideAnswer(
  { verb, cost }: Pick<LimiterRequest, "verb" | "cost">,
  bound: BoundPolicies,
  clock: Clock = systemClock,
): LimiterAnswer | undefined {
  const { terms } = bound;
  if (terms?.note.answer === undefined) return undefined;
  const { answer, untilMs } = terms.note;
  const isSpared = verb === VERBS.penalize && answer === "exempt";
  if (!asksForQuota(verb) && verb !== VERBS.peek && !isSpared) return undefined;
  const isOfRules = terms.note.rule !== undefined && terms.note.override === undefined;
  const { name, rule } = bound[0] as BoundPolicy;
  const allowed = answer === "exempt";
  const decidedAtUs = clock.nowUs();
  const leftMs =
    untilMs === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(1, Math.ceil(untilMs - decidedAtUs / 1e3));
  const waitMs = allowed ? 0 : leftMs;
  return {
    allowed,
    reason: allowed ? "ok" : "blocked",
    limit: rule.limit,
    remaining: allowed ? rule.limit : 0,
    retryAfterMs: waitMs,
    resetAfterMs: waitMs,
    decidedAtUs,
    windowMs: rule.windowMsAt === undefined ? rule.windowMs : rule.windowMsAt(decidedAtUs),
    policy: name,
    source: isOfRules ? "rules" : "override",
    ...(verb === VERBS.consumeUpTo && { granted: allowed ? cost : 0 }),
  };
}

/** Decisions some of whose units went back before the caller saw them. */
import type { Decision, PolicyVerdict } from "../core/decision.js";

/** What was decided, with what is left now that units of it are back; `refund` is what giving them back answered. */
export function restated(decision: Decision, refund: Decision | undefined): Decision {
  // If its store has failed since, what is left is not known.
  if (refund?.source !== decision.source) return decision;
  const verdicts = refund.policies;
  const policies = decision.policies?.map((verdict, i) => ({
    ...verdict,
    ...leftBy(verdicts?.[i] ?? verdict),
  }));
  const shadow = decision.shadow?.map((verdict) => ({
    ...verdict,
    ...leftBy(refund.shadow?.find(({ policy }) => policy === verdict.policy) ?? verdict),
  }));
  return {
    ...decision,
    ...leftBy(refund),
    ...(policies !== undefined && { policies }),
    ...(shadow !== undefined && { shadow }),
  };
}

function leftBy({
  remaining,
  resetAfterMs,
}: PolicyVerdict): Pick<PolicyVerdict, "remaining" | "resetAfterMs"> {
  return { remaining, resetAfterMs };
}

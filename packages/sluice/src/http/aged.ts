/** A decision some time later: fields say when more comes as of the answer, and a request may have waited since. */
import type { Decision } from "../core/decision.js";

/** What remains now is not known: others may have taken what came back. */
export function aged(decision: Decision, milliseconds: number): Decision {
  if (!(milliseconds > 0)) return decision;
  const { policies } = decision;
  return {
    ...later(decision, milliseconds),
    ...(policies !== undefined && {
      policies: policies.map((verdict) => later(verdict, milliseconds)),
    }),
  };
}

function later<T extends { readonly resetAfterMs: number }>(verdict: T, milliseconds: number): T {
  const resetAfterMs = Math.max(0, Math.ceil(verdict.resetAfterMs - milliseconds));
  return { ...verdict, resetAfterMs };
}

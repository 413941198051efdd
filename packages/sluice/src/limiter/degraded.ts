/** Answers made without the store, labelled as such. */
import { systemClock } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import type { DebitLabel } from "./decisions.js";

/** What a fail-closed answer tells callers to wait: nobody knows when the store will be back. */
const CLOSED_RETRY_MS = 1000;

/** A decision by the failure policy "open" or "closed": nothing was counted, so nothing is known to remain. */
export function degradedDecision(labels: readonly DebitLabel[], allowed: boolean): Decision {
  const label = labels[0] as DebitLabel;
  return {
    allowed,
    reason: "store",
    limit: label.rule.limit,
    remaining: 0,
    retryAfterMs: allowed ? 0 : CLOSED_RETRY_MS,
    resetAfterMs: 0,
    decidedAtUs: systemClock.nowUs(),
    policy: label.name,
    source: allowed ? "fail-open" : "fail-closed",
  };
}

import type { States } from "../algorithms/step.js";
import { type Outcome, type Reply, sameButForWaits, sameOutcome } from "./kernel.js";

/**
 * The least by which the server's clock must have been behind for its answer to be `logged`.
 *
 * `ask` answers for a raw clock. Both waits count from it and only grow as it falls back, so the
 * least lag at which neither is too short is the only one that need be compared. Undefined where no
 * lag explains the answer.
 */
export function clockBehind(
  logged: Outcome & { readonly atUs: number },
  ask: (rawUs: number) => Reply,
): { readonly behindUs: number; readonly states: States } | undefined {
  const { outcome } = ask(logged.atUs);
  if (!sameButForWaits(outcome, logged)) return undefined;
  const lagMs = Math.max(
    lag(outcome.retryAfterMs, logged.retryAfterMs),
    lag(outcome.resetAfterMs, logged.resetAfterMs),
  );
  let tooShort = 0;
  let longEnough = (lagMs + 1) * 1000;
  while (longEnough - tooShort > 1) {
    const middle = Math.floor((tooShort + longEnough) / 2);
    const asked = ask(logged.atUs - middle).outcome;
    const enough =
      asked.retryAfterMs >= logged.retryAfterMs && asked.resetAfterMs >= logged.resetAfterMs;
    if (enough) longEnough = middle;
    else tooShort = middle;
  }
  const reply = ask(logged.atUs - longEnough);
  return sameOutcome(reply.outcome, logged)
    ? { behindUs: longEnough, states: reply.states }
    : undefined;
}

/** How many ms more were logged; none where the wait has no end. */
function lag(kernelMs: number, loggedMs: number): number {
  return loggedMs > kernelMs && Number.isFinite(loggedMs) ? loggedMs - kernelMs : 0;
}

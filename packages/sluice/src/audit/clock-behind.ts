/** Finds by how much the server's clock had gone back, if that explains an answer. */
import type { States } from "../algorithms/step.js";
import { type LoggedDecision, type Reply, sameButForWaits, sameDecision } from "./replayer.js";

/**
 * The least by which the server's clock must have been behind for its answer to be `logged`.
 *
 * `ask` answers for a raw clock. Both waits count from it and only grow as it falls back, so the
 * least lag at which neither is too short is the only one that need be compared. Undefined if no
 * lag explains the answer.
 */
export function clockBehind(
  logged: LoggedDecision & { readonly atUs: number },
  ask: (rawUs: number) => Reply,
): { readonly behindUs: number; readonly states: States } | undefined {
  const { decision } = ask(logged.atUs);
  if (!sameButForWaits(decision, logged)) return undefined;
  const lagMs = Math.max(
    lag(decision.retryAfterMs, logged.retryAfterMs),
    lag(decision.resetAfterMs, logged.resetAfterMs),
  );
  let tooShort = 0;
  let longEnough = (lagMs + 1) * 1000;
  while (longEnough - tooShort > 1) {
    const middle = Math.floor((tooShort + longEnough) / 2);
    const asked = ask(logged.atUs - middle).decision;
    const enough =
      asked.retryAfterMs >= logged.retryAfterMs && asked.resetAfterMs >= logged.resetAfterMs;
    if (enough) longEnough = middle;
    else tooShort = middle;
  }
  const reply = ask(logged.atUs - longEnough);
  return sameDecision(reply.decision, logged)
    ? { behindUs: longEnough, states: reply.states }
    : undefined;
}

/** How many ms more were logged; 0 if the wait has no end. */
function lag(kernelMs: number, loggedMs: number): number {
  return loggedMs > kernelMs && Number.isFinite(loggedMs) ? loggedMs - kernelMs : 0;
}

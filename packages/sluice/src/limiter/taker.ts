/** Units go back to what took them, whatever decides now: the caller names it by the decision that took them. */
import { VERBS } from "../algorithms/decide.js";
import type { DecisionSource } from "../core/decision.js";
import type { LocalDecisions } from "./local/local-decisions.js";
import { shadowsHere } from "./shadows.js";
import { reportDecision, type ReportingLimiter } from "./report.js";
import {
  type LimiterAnswer,
  type PreparedRequest,
  type RequestRunner,
  takerOf,
} from "./request.js";

/** Who may have taken the units. */
export interface Takers {
  readonly limiter: ReportingLimiter & RequestRunner & { readonly blockForUs: number };
  /** Asks the store. */
  readonly ask: () => Promise<LimiterAnswer>;
  readonly local: LocalDecisions | undefined;
  readonly fallback: RequestRunner | undefined;
}

export async function giveToTaker(
  prepared: PreparedRequest,
  { limiter, ask, local, fallback }: Takers,
): Promise<LimiterAnswer> {
  const { request, call } = prepared;
  const taker = takerOf(request.of as DecisionSource);
  if (taker === "store") return ask();
  if (taker === "local" && local !== undefined) {
    const decision = local.conclude(prepared, local.store.decide(call));
    const shadow = shadowsHere(limiter, prepared, local);
    return reportDecision(limiter, { ...prepared, shadow }, decision);
  }
  if (taker === "fallback" && fallback !== undefined) {
    const answer = await fallback.run({ ...request, of: undefined, policy: undefined });
    return reportDecision(limiter, prepared, { ...answer, source: "fallback" });
  }
  // They were not counted, so there is nothing to give back: the answer is a peek.
  const peek = { ...request, verb: VERBS.peek, cost: 0, of: undefined };
  return { ...(await limiter.run(peek)), refunded: 0 };
}

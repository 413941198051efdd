/** Tells those who log the requests of a PolicySet what became of one that came over HTTP. */
import type { Decision } from "../core/decision.js";
import { hear } from "../policies/met-rules.js";
import type { TakenByRules } from "../policies/rules-decision.js";
import type { RulesSettlement } from "../policies/rules-request.js";
import type { AskedCharge } from "./charge.js";

/** The charges of each request to a set that has a listener. */
function heardIn(asked: readonly AskedCharge[]): ReadonlyMap<TakenByRules, AskedCharge[]> {
  const byRequest = new Map<TakenByRules, AskedCharge[]>();
  for (const charge of asked) {
    const { met } = charge;
    if (met?.heard === undefined) continue;
    byRequest.set(met, [...(byRequest.get(met) ?? []), charge]);
  }
  return byRequest;
}

/** What a gate answered; `isRefused` by any of the charges. */
export function hearTaken(asked: readonly AskedCharge[], isRefused: boolean): void {
  for (const [met, charges] of heardIn(asked)) {
    const decisions = charges.flatMap(({ decision }) => decision ?? []);
    // Refused by something else than its rules, it took nothing of them.
    const isOwn = charges.some(({ refused }) => refused !== undefined);
    if (decisions.length < charges.length || (isRefused && !isOwn)) continue;
    hear("consume", [met], decisions);
  }
}

/** What requests cost after all. */
export function hearSettled(
  asked: readonly AskedCharge[],
  settled: ReadonlyMap<AskedCharge, { readonly decision: Decision; readonly cost: number }>,
): void {
  for (const [met, charges] of heardIn(asked)) {
    const known = charges.flatMap((charge) => settled.get(charge) ?? []);
    const [first] = known;
    if (first === undefined) continue;
    const after: RulesSettlement = { cost: first.cost };
    const decisions = known.map(({ decision }) => decision);
    hear("refund", [met], decisions, { after });
  }
}

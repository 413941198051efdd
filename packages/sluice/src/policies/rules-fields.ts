/** What an answer says of the rules that decided on its request. */
import { decisionFields, type DecisionFieldsOptions } from "../headers/decision-fields.js";
import type { Fields } from "../headers/field-writers.js";
import type { ChargedDecision } from "../headers/stated-limit.js";
import { checkDecided, type RulesDecision } from "./rules-decision.js";

/**
 * The header fields of a decision of a PolicySet: the limit of each rule that enforces, in the document's order, and
 * `Retry-After` on a denial. As `decisionFields` of `sluice/headers` otherwise.
 *
 * @throws InvalidOptionError for anything but a decision that a set answered
 * @example
 * import { PolicySet, rulesFields } from "sluice/policies";
 * const rules = new PolicySet({
 *   source: { rules: [{ name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 60, period: "1m" } }] },
 * });
 * const decision = await rules.consume({ entries: { user: "ann" } });
 * console.log(rulesFields(decision)[1]); // [ 'RateLimit', '"api";r=59;t=1' ]
 * await rules.close();
 */
export function rulesFields(decision: RulesDecision, options?: DecisionFieldsOptions): Fields {
  const charged: ChargedDecision[] = [];
  for (const { decision: each, policies, enforce } of checkDecided(decision).charges) {
    if (each !== undefined) charged.push({ decision: each, policies, enforce });
  }
  return decisionFields(charged, options);
}

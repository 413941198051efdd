/** What an answer says of the rules that decided on its request. */
import { decisionFields, type DecisionFieldsOptions } from "../headers/decision-fields.js";
import type { Fields } from "../headers/field-writers.js";
import type { ChargedDecision } from "../headers/stated-limit.js";
import {
  checkDecided,
  type RuleDecision,
  type RulesDecision,
  weighsMore,
} from "./rules-decision.js";

/**
 * The header fields of a decision of a PolicySet: the limit of each rule that enforces, in the document's order, and
 * `Retry-After` on a denial. As `decisionFields` of `sluice/headers` otherwise. Of several decisions each rule is listed
 * once: as it was denied, or with the least that is left.
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
export function rulesFields(
  decision: RulesDecision | readonly RulesDecision[],
  options?: DecisionFieldsOptions,
): Fields {
  if (!isList(decision)) return decisionFields(chargedBy(decision), options);
  const byRule = new Map<
    string,
    { readonly rule: RuleDecision; readonly charged: ChargedDecision }
  >();
  for (const each of decision) {
    const charged = chargedBy(each);
    each.rules.forEach((rule, i) => {
      const listed = byRule.get(rule.rule);
      if (listed !== undefined && !weighsMore(rule, listed.rule)) return;
      byRule.set(rule.rule, { rule, charged: charged[i] as ChargedDecision });
    });
  }
  return decisionFields(
    [...byRule.values()].map(({ charged }) => charged),
    options,
  );
}

function isList(
  decision: RulesDecision | readonly RulesDecision[],
): decision is readonly RulesDecision[] {
  return Array.isArray(decision);
}

function chargedBy(decision: RulesDecision): readonly ChargedDecision[] {
  const charged: ChargedDecision[] = [];
  for (const { decision: each, policies, enforce } of checkDecided(decision).charges) {
    if (each !== undefined) charged.push({ decision: each, policies, enforce });
  }
  return charged;
}

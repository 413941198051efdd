/** What there is to say of a request before it is counted. */
import type { Decision } from "../core/decision.js";
import type { PoliciesMode } from "./document.js";
import type { RuleExplanation } from "./matched-rule.js";
import type { RulesDecision } from "./rules-decision.js";

/** One rule, and what it would say. */
export interface ExplainedRule extends RuleExplanation {
  /** What it would answer now; undefined if the request does not meet it. */
  readonly decision: Decision | undefined;
}

/** What a request would come to. */
export interface RulesExplanation {
  /** Of the document in force. */
  readonly version: number | string;
  /** The switch over all rules, as it is in force. */
  readonly switchedTo: PoliciesMode;
  /** What `consume` would say now. */
  readonly decision: RulesDecision;
  /** Every rule of the document, in its order. */
  readonly rules: readonly ExplainedRule[];
}

export function explainedBy(
  told: readonly RuleExplanation[],
  decision: RulesDecision,
  switchedTo: PoliciesMode,
): RulesExplanation {
  const answers = new Map(decision.rules.map((each) => [each.rule, each.decision]));
  const rules = told.map((each) => ({ ...each, decision: answers.get(each.rule) }));
  return { version: decision.version, switchedTo, decision, rules };
}

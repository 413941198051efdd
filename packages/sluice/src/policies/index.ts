/** `sluice/policies`: policies as one document, checked, printed, and matched with requests. No I/O. */
export {
  compilePolicies,
  type CompiledPolicies,
} from "./compile.js";
export type {
  CostFrom,
  PoliciesDocument,
  PoliciesMode,
  PolicyChange,
  PolicyOverride,
  PolicyPlan,
  PolicyRule,
  PolicyWithoutName,
} from "./document.js";
export type {
  MatchedOverride,
  MatchedRule,
  PolicyRequest,
  RuleExplanation,
  UnmetEntry,
} from "./matched-rule.js";
export { type ParsedPolicies, parsePolicies, type ParsePoliciesOptions } from "./parse.js";
export { printPolicies } from "./print.js";
export { InvalidPoliciesError, type PoliciesProblem } from "./problems.js";
export { type RequestEntries, ruleKey } from "./rule-key.js";
export { loadYaml, type YamlModule, type YamlParser } from "./yaml-source.js";

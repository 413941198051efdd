/** `sluice/policies`: policies as one document: checked, printed, published, followed while it changes, and decided by. */
export {
  compilePolicies,
  type CompiledPolicies,
} from "./compile.js";
export type {
  CostFrom,
  EntryCondition,
  EntryTexts,
  PoliciesDocument,
  PoliciesMode,
  PolicyChange,
  PolicyOverride,
  PolicyPlan,
  PolicyRule,
  PolicyWithoutName,
} from "./document.js";
export { envoyEntry } from "./envoy-entry.js";
export { importEnvoy } from "./import-envoy.js";
export { importLimitador } from "./import-limitador.js";
export type { ImportedPolicies, ImportOptions } from "./import-rules.js";
export type {
  MatchedOverride,
  MatchedRule,
  PolicyRequest,
  RuleExplanation,
  UnmetEntry,
} from "./matched-rule.js";
export { type ParsedPolicies, parsePolicies, type ParsePoliciesOptions } from "./parse.js";
export { printPolicies } from "./print.js";
export type { DecisionFieldsOptions } from "../headers/decision-fields.js";
export type { Field, FieldForm, Fields, FieldWriter } from "../headers/field-writers.js";
export type { RateLimitForm } from "../headers/rate-limit.js";
export type { Quota, StatedLimit } from "../headers/stated-limit.js";
export { InvalidPoliciesError, type PoliciesProblem } from "./problems.js";
export { type RequestEntries, ruleKey } from "./rule-key.js";
export { loadYaml, type YamlModule, type YamlParser } from "./yaml-source.js";
export type { ChangeNote } from "./change-note.js";
export { PolicyConflictError } from "./conflict-error.js";
export {
  PublishedPolicies,
  type PublishedPoliciesOptions,
  type PublishedVersion,
  type PublicationOptions,
  type RollbackOptions,
} from "./published-policies.js";
export type {
  ClockReading,
  PolicySource,
  SeenSource,
  SourceLook,
  SourceText,
} from "./policy-source.js";
export { diffPolicies } from "./document-diff.js";
export type { RuleChange } from "../events/rule-events.js";
export type { DocumentNote } from "../stores/document-store.js";
export { PoliciesFile, type PoliciesFileOptions } from "./policies-file.js";
export { PolicySet } from "./policy-set.js";
export type { ModeSwitch, PolicySetOptions } from "./policy-set-options.js";
export type { PolicySetStatus } from "./policy-set-status.js";
export type { ReloadOutcome } from "./source-follower.js";
export type { RuleDecision, RulesDecision, RulesDecisions } from "./rules-decision.js";
export { rulesFields } from "./rules-fields.js";
export type { RulesReservation } from "./rules-reservation.js";
export {
  blockRuleKey,
  peekRuleKey,
  resetRuleKey,
  type RuleKeyTarget,
  ruleKeyId,
  unblockRuleKey,
} from "./rule-keys.js";
export {
  cancelReserved,
  consumeRulesNow,
  consumeRulesUpTo,
  penalizeRules,
  reserveRules,
} from "./rules-verbs.js";
export type {
  RulesManyOptions,
  RulesRequest,
  RulesRequestOfMany,
  RulesSettlement,
} from "./rules-request.js";
export type { ExplainedRule, RulesExplanation } from "./explain-request.js";

/** What is not the same in two documents: by rule, plan and override. */
import type { RuleChange } from "../events/rule-events.js";
import type { PoliciesDocument } from "./document.js";
import { canonicalPart, checkIsDocument } from "./print.js";

const NOTHING: PoliciesDocument = Object.freeze({ rules: [] });

/**
 * What has changed from one document to another, by rule, in the order of the later one; what is gone comes last. Comments
 * count as changes; the version of the document and the order of its rules do not.
 *
 * @throws InvalidOptionError for arguments of another kind
 * @example
 * import { diffPolicies } from "sluice/policies";
 * const policy = (limit: number) => ({ algorithm: "token-bucket" as const, limit, period: "1m" });
 * const before = { rules: [{ name: "api", policy: policy(100) }] };
 * const after = { rules: [{ name: "api", policy: policy(50) }] };
 * console.log(diffPolicies(before, after).map(({ part, name }) => `${part} ${name}`)); // [ 'rule api' ]
 */
export function diffPolicies(
  before: PoliciesDocument = NOTHING,
  after: PoliciesDocument = NOTHING,
): readonly RuleChange[] {
  checkIsDocument("before", before);
  checkIsDocument("after", after);
  return [
    ...changesOf("setting", settingsOf(before), settingsOf(after)),
    ...changesOf("plan", partsOf(before.plans), partsOf(after.plans)),
    ...changesOf("rule", rulesOf(before), rulesOf(after)),
    ...changesOf("override", overridesOf(before), overridesOf(after)),
  ];
}

function changesOf(
  part: RuleChange["part"],
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): readonly RuleChange[] {
  const changes: RuleChange[] = [];
  for (const name of new Set([...after.keys(), ...before.keys()])) {
    const was = before.get(name);
    const is = after.get(name);
    if (was !== undefined && is !== undefined && canonicalPart(was) === canonicalPart(is)) continue;
    changes.push({ part, name, before: was, after: is });
  }
  return changes;
}

function partsOf(parts: Readonly<Record<string, unknown>> = {}): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(parts).filter(([, value]) => value !== undefined));
}

function settingsOf({
  mode,
  defaults,
  activeFrom,
}: PoliciesDocument): ReadonlyMap<string, unknown> {
  return partsOf({ mode, defaults, activeFrom });
}

function rulesOf({ rules }: PoliciesDocument): ReadonlyMap<string, unknown> {
  return new Map(rules.map((rule) => [rule.name, rule]));
}

function overridesOf({ overrides = [] }: PoliciesDocument): ReadonlyMap<string, unknown> {
  return new Map(overrides.map((override) => [`${override.rule} ${override.key}`, override]));
}

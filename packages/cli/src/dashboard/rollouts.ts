/** Documents that try edited limits: decided beside those in force, or enforced for some of the keys. */
import type { PoliciesDocument, PolicyRule } from "sluice/policies";
import { diffPolicies } from "sluice/policies";
import { notValid, Refusal } from "./answers.js";

const NEXT = ".next";
const LONGEST_RULE = 54;

/** What both take: the rules whose limits an edit has changed, and nothing else. @throws Refusal */
function editedRules(
  now: PoliciesDocument,
  edited: PoliciesDocument,
): ReadonlyMap<string, PolicyRule> {
  const rules = new Map<string, PolicyRule>();
  for (const { part, name, before, after } of diffPolicies(now, edited)) {
    const [was, is] = [before as PolicyRule | undefined, after as PolicyRule | undefined];
    const isLimit =
      part === "rule" &&
      was !== undefined &&
      is !== undefined &&
      diffPolicies({ rules: [was] }, { rules: [{ ...is, policy: was.policy }] }).length === 0;
    if (!isLimit) {
      throw new Refusal(
        400,
        "Only limits can be tried this way",
        `${part} ${name} has changed in another way: publish that at once, or leave it as it was`,
      );
    }
    rules.set(name, is);
  }
  if (rules.size === 0) throw notValid("no limit has changed: there is nothing to try");
  return rules;
}

/** The limits in force, with those edited as candidates: decided and counted, never enforced. */
export function asCandidates(now: PoliciesDocument, edited: PoliciesDocument): PoliciesDocument {
  const changed = editedRules(now, edited);
  return {
    ...now,
    rules: now.rules.map((rule) => {
      const edit = changed.get(rule.name);
      return edit === undefined ? rule : { ...rule, candidate: { policy: edit.policy } };
    }),
  };
}

/**
 * The limits in force, and beside each that was edited a rule `<name>.next` with the new one, for a percentage of its keys.
 * All keys keep the first one, so that only a lower limit shows.
 */
export function forSome(
  now: PoliciesDocument,
  edited: PoliciesDocument,
  percent: number,
): PoliciesDocument {
  const changed = editedRules(now, edited);
  const nextNames = new Set([...changed.keys()].map((name) => name + NEXT));
  const rules = now.rules.flatMap((rule): PolicyRule[] => {
    if (nextNames.has(rule.name)) return [];
    const edit = changed.get(rule.name);
    if (edit === undefined) return [rule];
    checkLower(rule, edit);
    const { candidate: _, comment: __, ...same } = edit;
    return [rule, { ...same, name: rule.name + NEXT, rollout: { percent } }];
  });
  return { ...now, rules };
}

/** @throws Refusal */
function checkLower(rule: PolicyRule, edit: PolicyRule): void {
  const { name } = rule;
  if (name.length + NEXT.length > LONGEST_RULE) {
    throw notValid(`the name ${name} is too long for a rule ${name}${NEXT} beside it`);
  }
  const [was, is] = [rule.policy, edit.policy];
  const limitOf = (policy: PolicyRule["policy"]): number =>
    "limit" in policy ? policy.limit : Number.POSITIVE_INFINITY;
  if (was.algorithm !== is.algorithm || limitOf(is) <= limitOf(was)) return;
  throw new Refusal(
    400,
    "A higher limit cannot be tried this way",
    `the old limit of ${name} would still apply beside the new one: publish it at once, or as a candidate`,
  );
}

/** An edit for all: what tried the same rules before it is done, unless the edit changed that too. */
export function forAll(now: PoliciesDocument, edited: PoliciesDocument): PoliciesDocument {
  const before = new Map(now.rules.map((rule) => [rule.name, rule]));
  const isSame = (a: PolicyRule | undefined, b: PolicyRule): boolean =>
    a !== undefined && diffPolicies({ rules: [a] }, { rules: [b] }).length === 0;
  const decided = new Set(
    edited.rules
      .filter((rule) => {
        const was = before.get(rule.name);
        return was !== undefined && !samePart(was.policy, rule.policy);
      })
      .map(({ name }) => name),
  );
  const rules = edited.rules.flatMap((rule): PolicyRule[] => {
    const isTrial = rule.name.endsWith(NEXT) && decided.has(rule.name.slice(0, -NEXT.length));
    if (isTrial && isSame(before.get(rule.name), rule)) return [];
    const { candidate, ...others } = rule;
    const isDone = decided.has(rule.name) && candidate !== undefined;
    return [isDone && samePart(before.get(rule.name)?.candidate, candidate) ? others : rule];
  });
  return { ...edited, rules };
}

function samePart(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** What the parts of a document say of each other: names that must differ, and changes that must leave valid policies. */
import { parsePolicy } from "../algorithms/registry.js";
import { InWords } from "../core/shown.js";
import { checkedBy } from "./checks.js";
import type {
  PoliciesDocument,
  PolicyChange,
  PolicyOverride,
  PolicyPlan,
  PolicyRule,
} from "./document.js";
import { putOver } from "./merge.js";
import { formFault } from "./override-key.js";
import { below, type Problems } from "./problems.js";
import type { SourceNode } from "./source-node.js";

/** Each pair of a plan's and an override's change makes a policy; at most this many are checked. */
const MOST_COMBINATIONS = 100_000;

/** A part of what was read; the whole, if there is no such part. */
export function nodeAt(root: SourceNode, ...way: readonly (string | number)[]): SourceNode {
  let node = root;
  for (const step of way) {
    const next =
      node.kind === "list"
        ? node.items[step as number]
        : node.kind === "map"
          ? node.entries.get(step as string)
          : undefined;
    if (next === undefined) return node;
    node = next;
  }
  return node;
}

export class ReferenceChecks {
  readonly #document: PoliciesDocument;
  readonly #root: SourceNode;
  readonly #problems: Problems;
  readonly #rules = new Map<string, PolicyRule>();
  #combinations = 0;

  constructor(document: PoliciesDocument, root: SourceNode, problems: Problems) {
    this.#document = document;
    this.#root = root;
    this.#problems = problems;
  }

  run(): void {
    this.#checkNames();
    for (const [plan, changes] of Object.entries(this.#document.plans ?? {})) {
      for (const [rule, change] of Object.entries(changes)) {
        const path = below(below("plans", plan), rule);
        this.#checkChange(rule, path, nodeAt(this.#root, "plans", plan, rule), [change]);
      }
    }
    // A mistake in a plan would be reported again with each override.
    const plans = this.#problems.count > 0 ? [] : Object.values(this.#document.plans ?? {});
    const seen = new Map<string, number>();
    (this.#document.overrides ?? []).forEach((override, i) => {
      this.#checkOverride(override, i, seen, plans);
    });
  }

  #checkNames(): void {
    this.#document.rules.forEach(({ name }, i) => {
      if (this.#rules.has(name)) {
        const node = nodeAt(this.#root, "rules", i, "name");
        this.#problems.refuse(node, `rules[${i}].name`, name, "a name that no other rule has");
      } else {
        this.#rules.set(name, this.#document.rules[i] as PolicyRule);
      }
    });
  }

  #checkOverride(
    override: PolicyOverride,
    i: number,
    seen: Map<string, number>,
    plans: readonly PolicyPlan[],
  ): void {
    const node = nodeAt(this.#root, "overrides", i);
    const path = `overrides[${i}]`;
    const { rule, key, policy, mode } = override;
    if ((policy === undefined) === (mode === undefined)) {
      const given = new InWords(policy === undefined ? "neither" : "both");
      this.#problems.refuse(node, path, given, "either policy, or mode: deny or exempt");
    }
    // A key may identify a person, so it is not shown.
    const hidden = new InWords(`a key of ${key.length} characters`);
    const fault = formFault(key);
    const keyNode = nodeAt(node, "key");
    if (fault !== undefined) this.#problems.refuse(keyNode, `${path}.key`, hidden, fault);
    const both = `${rule}\n${key}`;
    const other = seen.get(both);
    if (other !== undefined) {
      const allowed = `a key that no other override of the rule has; overrides[${other}] has it`;
      this.#problems.refuse(keyNode, `${path}.key`, hidden, allowed);
    }
    seen.set(both, i);
    if (policy === undefined) return;
    this.#checkChange(rule, `${path}.policy`, nodeAt(node, "policy"), [policy]);
    for (const changes of plans) {
      const plan = Object.hasOwn(changes, rule) ? changes[rule] : undefined;
      if (plan !== undefined) {
        this.#checkChange(rule, `${path}.policy`, nodeAt(node, "policy"), [plan, policy]);
      }
    }
  }

  /** What becomes of a rule's policy, and of its candidate, with these changes over it. */
  #checkChange(
    name: string,
    path: string,
    node: SourceNode,
    changes: readonly PolicyChange[],
  ): void {
    const rule = this.#rules.get(name);
    if (rule === undefined) return;
    this.#combinations += 1;
    if (this.#combinations > MOST_COMBINATIONS) {
      const allowed = `at most ${MOST_COMBINATIONS} combinations of overrides and plans`;
      this.#problems.refuse(node, path, new InWords("more"), allowed);
      return;
    }
    const bases = [rule.policy, ...(rule.candidate === undefined ? [] : [rule.candidate.policy])];
    for (const base of bases) {
      checkedBy(node, this.#problems, path, () => parsePolicy(putOver(base, ...changes), path));
    }
  }
}

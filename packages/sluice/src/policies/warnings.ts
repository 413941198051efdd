/** What a document may say and hardly means: rules and overrides without effect. */
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import type {
  EntryTexts,
  PoliciesDocument,
  PolicyChange,
  PolicyOverride,
  PolicyRule,
  PolicyWithoutName,
} from "./document.js";
import { putOver } from "./merge.js";
import { type IndexedOverride, OverrideIndex } from "./override-index.js";
import { formOfKeys, isInReach, isPrefix, keyValues } from "./override-key.js";
import { conditionOf, cutPattern, EntryMatcher, listOf } from "./pattern.js";
import { below, type Problems } from "./problems.js";
import { nodeAt } from "./references.js";
import type { SourceNode } from "./source-node.js";

interface RuleInScope {
  readonly rule: PolicyRule;
  readonly policy: Policy;
}

class Warnings {
  readonly #document: PoliciesDocument;
  readonly #root: SourceNode;
  readonly #problems: Problems;
  readonly #nowUs: number;
  readonly #rules: ReadonlyMap<string, PolicyRule>;
  /** By rule: its overrides with a star. */
  readonly #prefixes: ReadonlyMap<string, OverrideIndex<IndexedOverride>>;
  /** Rules for the same requests and keys, that always deny what their policies do. */
  readonly #scopes = new Map<string, RuleInScope[]>();

  constructor(
    document: PoliciesDocument,
    root: SourceNode,
    problems: Problems,
    nowUs: number | undefined,
  ) {
    this.#document = document;
    this.#root = root;
    this.#problems = problems;
    this.#nowUs = nowUs ?? Number.NEGATIVE_INFINITY;
    this.#rules = new Map(document.rules.map((rule) => [rule.name, rule]));
    const changed = new Set([
      ...(document.overrides ?? []).map(({ rule }) => rule),
      ...Object.values(document.plans ?? {}).flatMap((plan) => Object.keys(plan)),
    ]);
    this.#prefixes = prefixesByRule(document.overrides);
    for (const rule of document.rules.filter((each) => !isTrial(each) && !changed.has(each.name))) {
      const scope = scopeOf(rule);
      const others = this.#scopes.get(scope) ?? [];
      others.push({ rule, policy: parsePolicy(rule.policy) });
      this.#scopes.set(scope, others);
    }
  }

  run(): void {
    const { rules, plans = {}, overrides = [] } = this.#document;
    rules.forEach((rule, i) => this.#ofRule(rule, i));
    for (const [plan, changes] of Object.entries(plans)) {
      for (const [rule, change] of Object.entries(changes)) {
        this.#ofChange(rule, change, below(below("plans", plan), rule), ["plans", plan, rule]);
      }
    }
    overrides.forEach((override, i) => this.#ofOverride(override, i));
  }

  #warn(way: readonly (string | number)[], path: string, message: string): void {
    this.#problems.warn(nodeAt(this.#root, ...way).line, path, message);
  }

  #ofRule(rule: PolicyRule, i: number): void {
    const path = `rules[${i}]`;
    const warn = (field: string, message: string): void =>
      this.#warn(["rules", i, field], `${path}.${field}`, message);
    const { mode = "enforce", rollout, candidate, policy, cost, onMissing } = rule;
    if (mode === "off" && candidate !== undefined) {
      warn("candidate", "the rule is off, so its candidate is not decided either");
    }
    if (rollout?.percent === 0) warn("rollout", "0 percent: every key is shadowed");
    if (rollout !== undefined && mode !== "enforce") {
      warn("rollout", `mode: ${mode} says more, so the percentage has no effect`);
    }
    if (candidate !== undefined && samePolicy(policy, candidate.policy)) {
      warn("candidate", "the same as the policy");
    }
    if (cost === 0) warn("cost", "a request that costs nothing is never denied");
    const most = capacityOf(parsePolicy(policy));
    if (typeof cost === "number" && most > 0 && cost > most) {
      warn("cost", `${cost} is more than the policy ever has, ${most}: every request is denied`);
    }
    if (onMissing === "deny" && neverMisses(rule)) {
      warn("onMissing", "match requires every entry of key, so none can be missing");
    }
    this.#ofMatch(rule, i);
    const tighter = shadowing(rule, this.#scopes.get(scopeOf(rule)) ?? []);
    if (tighter !== undefined) {
      this.#warn(
        ["rules", i],
        path,
        `never decides: the rule ${tighter.name} has the same match and key, and admits no more`,
      );
    }
  }

  /** Texts of a list that others in it already cover, and conditions that no text meets. */
  #ofMatch({ match = {} }: PolicyRule, i: number): void {
    for (const [entry, condition] of Object.entries(match)) {
      const path = below(`rules[${i}].match`, entry);
      const way = ["rules", i, "match", entry];
      const { is = [], not } = conditionOf(condition);
      const texts = listOf(is);
      if (texts.length > 0 && not !== undefined && texts.every((text) => isCovered(text, not))) {
        this.#warn(way, path, 'never matches: "not" excludes everything that "is" allows');
      }
      const withStars = texts.filter((text) => (cutPattern(text)?.length ?? 0) > 1);
      texts.forEach((text, j) => {
        const isTwice = texts.indexOf(text) < j;
        const others = withStars.filter((other) => other !== text);
        if (isTwice || isCovered(text, others)) {
          this.#warn([...way, j], `${path}[${j}]`, "another text of the list covers it");
        }
      });
    }
  }

  #ofChange(
    name: string,
    change: PolicyChange,
    path: string,
    way: readonly (string | number)[],
  ): void {
    const rule = this.#rules.get(name);
    if (rule === undefined) {
      this.#warn(way, path, `there is no rule ${name}`);
    } else if (samePolicy(rule.policy, putOver(rule.policy, change))) {
      this.#warn(way, path, "changes nothing: the rule's policy says the same");
    }
  }

  #ofOverride(override: PolicyOverride, i: number): void {
    const path = `overrides[${i}]`;
    const { key, policy, until } = override;
    const way = ["overrides", i];
    const rule = this.#rules.get(override.rule);
    if (rule === undefined) {
      this.#warn([...way, "rule"], `${path}.rule`, `there is no rule ${override.rule}`);
      return;
    }
    if (rule.mode === "off") this.#warn(way, path, `the rule ${rule.name} is off`);
    if (until !== undefined && Date.parse(until) * 1e3 <= this.#nowUs) {
      this.#warn([...way, "until"], `${path}.until`, `over since ${until}`);
    }
    const { key: names = [] } = rule;
    if (!isInReach(key, names)) {
      const message = `out of reach: keys of the rule ${rule.name} are ${formOfKeys(names)}`;
      this.#warn([...way, "key"], `${path}.key`, message);
    } else if (!isPrefix(key)) {
      this.#ofValues(rule, names, key, i);
    }
    // A plan's policy may differ even if the rule's does not, and so may a wider override's.
    if (policy !== undefined && this.#document.plans === undefined && !this.#isNarrower(override)) {
      this.#ofChange(rule.name, policy, `${path}.policy`, [...way, "policy"]);
    }
  }

  /** Whether a shorter one with a star would be for its key, if it were not there. */
  #isNarrower({ rule, key }: PolicyOverride): boolean {
    const shorter = isPrefix(key) ? key.slice(0, -2) : key;
    return key !== "*" && this.#prefixes.get(rule)?.find(shorter, 0) !== undefined;
  }

  #ofValues({ name, match = {} }: PolicyRule, names: readonly string[], key: string, i: number) {
    keyValues(key).forEach((value, j) => {
      const entry = names[j] as string;
      const condition = Object.hasOwn(match, entry) ? match[entry] : undefined;
      if (condition === undefined || new EntryMatcher(condition).matches(value)) return;
      const message = `out of reach: the rule ${name} does not match that ${entry}`;
      this.#warn(["overrides", i, "key"], `overrides[${i}].key`, message);
    });
  }
}

function prefixesByRule(
  overrides: readonly PolicyOverride[] = [],
): ReadonlyMap<string, OverrideIndex<IndexedOverride>> {
  const byRule = new Map<string, IndexedOverride[]>();
  for (const { rule, key } of overrides) {
    if (!isPrefix(key)) continue;
    const prefix = { text: key.slice(0, -1), isPrefix: true, untilUs: Number.POSITIVE_INFINITY };
    const others = byRule.get(rule);
    if (others === undefined) byRule.set(rule, [prefix]);
    else others.push(prefix);
  }
  return new Map([...byRule].map(([rule, prefixes]) => [rule, new OverrideIndex(prefixes)]));
}

/** The most that a policy has at once, in units; 0 if it admits nothing. */
function capacityOf(policy: Policy): number {
  if (policy.algorithm === "unlimited") return Number.POSITIVE_INFINITY;
  if ("burst" in policy) return policy.burst;
  return "capacity" in policy ? policy.capacity : policy.limit;
}

function samePolicy(a: PolicyWithoutName, b: object): boolean {
  return JSON.stringify(parsePolicy(a)) === JSON.stringify(parsePolicy(b));
}

function neverMisses({ key = [], match = {} }: PolicyRule): boolean {
  return key.every((entry) => Object.hasOwn(match, entry));
}

const sorted = (texts: readonly string[]): readonly string[] => [...texts].sort();

/** Whether others cover all that a text covers. Its star becomes a character that only a star matches. */
function isCovered(text: string, others: EntryTexts): boolean {
  const parts = cutPattern(text) ?? [text];
  return new EntryMatcher(others).matches(parts.join(A_STAR));
}

/** Replaces a star: a lone surrogate, which no text of a document is likely to contain. */
const A_STAR = "\ud800";

/** What decides which requests a rule counts, and under which identity. */
function scopeOf({ match = {}, key = [], cost, onMissing, exact }: PolicyRule): string {
  const entries = Object.entries(match).map(([entry, condition]) => {
    const { is, not } = conditionOf(condition);
    return [entry, is && sorted(listOf(is)), not && sorted(listOf(not))] as const;
  });
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([entries, sorted(key), cost, onMissing === "deny", exact === true]);
}

/** The rule that a rule is shadowed by: it denies all that the other does, for the same requests and keys. */
function shadowing(rule: PolicyRule, among: readonly RuleInScope[]): PolicyRule | undefined {
  const at = among.findIndex((each) => each.rule === rule);
  const own = among[at]?.policy;
  if (own === undefined) return undefined;
  const found = among.find(({ policy }, i) => {
    const tightness = i === at ? "looser" : compare(policy, own);
    // Of two that say the same, the later one is named.
    return tightness === "tighter" || (tightness === "same" && i < at);
  });
  return found?.rule;
}

function compare(a: Policy, b: Policy): "same" | "tighter" | "looser" {
  const optionsOfA = a as unknown as Readonly<Record<string, unknown>>;
  let result: "same" | "tighter" = "same";
  for (const [option, value] of Object.entries(b)) {
    const other = optionsOfA[option];
    if (other === value) continue;
    const isAmount = option === "limit" || option === "burst" || option === "capacity";
    if (!isAmount || (other as number) > (value as number)) return "looser";
    result = "tighter";
  }
  return result;
}

/** Whether a rule does not deny all that its policy would. */
function isTrial({ mode = "enforce", rollout }: PolicyRule): boolean {
  return mode !== "enforce" || (rollout !== undefined && rollout.percent < 100);
}

/** Adds what is likely not meant to the problems, as warnings. The document is valid. */
export function addWarnings(
  document: PoliciesDocument,
  root: SourceNode,
  problems: Problems,
  nowUs: number | undefined,
): void {
  new Warnings(document, root, problems, nowUs).run();
}

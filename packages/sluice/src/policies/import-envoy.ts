/** Imports the configuration of Envoy's rate limit service: a tree of descriptors becomes a list of rules. */
import { shownOf } from "./checks.js";
import type { EntryCondition, EntryTexts, PolicyRule, PolicyWithoutName } from "./document.js";
import {
  type ImportedPolicies,
  importedBy,
  type ImportOptions,
  literal,
  MOST_UNITS,
  type RuleImport,
  shortest,
  textOf,
} from "./import-rules.js";
import { envoyEntry } from "./envoy-entry.js";
import { fits, cutPattern } from "./pattern.js";
import type { Problems } from "./problems.js";
import type { MapNode, SourceNode } from "./source-node.js";

/** Units that are the same length always, in Envoy's clocked windows. */
const WINDOWS: ReadonlyMap<string, readonly [count: number, unit: string]> = new Map([
  ["second", [1, "s"]],
  ["minute", [1, "m"]],
  ["hour", [1, "h"]],
  ["day", [1, "d"]],
  ["week", [7, "d"]],
]);
const UNITS = [...WINDOWS.keys(), "month", "year"];
const LONGEST_WINDOW_DAYS = 366;

const FIELDS = ["key", "value", "rate_limit", "descriptors", "shadow_mode"];
const LIMIT_FIELDS = ["name", "unit", "requests_per_unit", "unlimited", "unit_multiplier"];
/** What Envoy has and a document has not, with the reason. */
const WITHOUT_EFFECT: ReadonlyMap<string, string> = new Map([
  ["detailed_metric", "metrics are labelled with the rule, never with values"],
  ["value_to_metric", "metrics are labelled with the rule, never with values"],
  ["metadata", "an answer has no metadata of a rule"],
  ["share_threshold", "of account only with a * in the value"],
]);

/** One step from the root of the tree to a limit. */
interface Step {
  /** The entry that it is in requests. */
  readonly key: string;
  /** As Envoy writes it in the names of its statistics. */
  readonly shown: string;
  readonly condition: EntryTexts | EntryCondition | undefined;
  /** Whether each value has its own budget. */
  readonly isCounted: boolean;
}

class EnvoyImport {
  readonly #rules: RuleImport;
  readonly #problems: Problems;
  #domain = "";

  constructor(rules: RuleImport, problems: Problems) {
    this.#rules = rules;
    this.#problems = problems;
  }

  document(root: SourceNode): void {
    if (root.kind !== "map") {
      this.#problems.refuse(root, "domain", shownOf(root), "an object with domain and descriptors");
      return;
    }
    const domain = textOf(root.entries.get("domain"));
    if (domain === undefined || domain === "") {
      this.#problems.refuse(root, "domain", domain, "the name of a domain");
      return;
    }
    this.#domain = domain;
    for (const [name, node] of root.entries) {
      if (name !== "domain" && name !== "descriptors") {
        this.#rules.note(node, name, "unknown here, so it has no effect");
      }
    }
    this.#level(root.entries.get("descriptors"), "descriptors", []);
  }

  #level(list: SourceNode | undefined, path: string, above: readonly Step[]): void {
    if (list === undefined || (list.kind === "scalar" && list.value === null)) return;
    if (list.kind !== "list") {
      this.#problems.refuse(list, path, shownOf(list), "a list of descriptors");
      return;
    }
    const siblings = list.items.filter((item) => item.kind === "map");
    const seen = new Set<string>();
    list.items.forEach((item, i) => {
      const at = `${path}[${i}]`;
      const key = item.kind === "map" ? textOf(item.entries.get("key")) : undefined;
      if (item.kind !== "map" || key === undefined || key === "") {
        this.#problems.refuse(item, at, shownOf(item), "a descriptor with a key");
        return;
      }
      const step = stepOf(item, key, siblings);
      if (seen.has(step.shown)) {
        this.#rules.note(item, at, `left out: ${step.shown} appears twice, which Envoy refuses`);
      } else {
        this.#descriptor(item, at, [...above, { ...step, key: entryFor(key, above) }]);
      }
      seen.add(step.shown);
    });
  }

  #descriptor(node: MapNode, path: string, steps: readonly Step[]): void {
    const { entries } = node;
    this.#rules.noteOthers(node, path, [...FIELDS, "quota_mode", ...WITHOUT_EFFECT.keys()]);
    for (const [field, reason] of WITHOUT_EFFECT) {
      const entry = entries.get(field);
      const isUsed = field === "share_threshold" && textOf(entries.get("value"))?.includes("*");
      if (entry !== undefined && textOf(entry) !== "false" && isUsed !== true) {
        this.#rules.note(entry, `${path}.${field}`, `no effect: ${reason}`);
      }
    }
    const limit = entries.get("rate_limit");
    if (limit?.kind === "map") this.#limit(node, limit, path, steps);
    this.#level(entries.get("descriptors"), `${path}.descriptors`, steps);
  }

  #limit(node: MapNode, limit: MapNode, path: string, steps: readonly Step[]): void {
    const at = `${path}.rate_limit`;
    this.#rules.noteOthers(limit, at, [...LIMIT_FIELDS, "replaces"]);
    const policy = this.#policy(limit, at);
    if (policy === undefined) return;
    const replaces = limit.entries.get("replaces");
    if (replaces !== undefined) {
      const message =
        "no effect: both rules are decided; write the other limit as a plan or an override";
      this.#rules.note(replaces, `${at}.replaces`, message);
    }
    const quota = node.entries.get("quota_mode");
    const isQuota = textOf(quota) === "true";
    if (quota !== undefined && isQuota) {
      const message =
        "imported in shadow: a rule that denies only together with others is not known here";
      this.#rules.note(quota, `${path}.quota_mode`, message);
    }
    const isShadow = isQuota || textOf(node.entries.get("shadow_mode")) === "true";
    const shown = steps.map((step) => step.shown).join(".");
    const key = steps.filter(({ isCounted }) => isCounted).map((step) => step.key);
    const rule: Omit<PolicyRule, "name"> = {
      comment: `${this.#domain}.${shown}`.slice(0, 1024),
      match: this.#match(steps),
      exact: true,
      ...(key.length > 0 ? { key } : {}),
      policy,
      ...(isShadow ? { mode: "shadow" } : {}),
    };
    this.#rules.add(textOf(limit.entries.get("name")) ?? shown, rule);
  }

  #match(steps: readonly Step[]): NonNullable<PolicyRule["match"]> {
    const conditions = steps.flatMap(({ key, condition }) =>
      condition === undefined ? [] : [[key, condition] as const],
    );
    // Without a condition an entry of the key has to be there anyway.
    return Object.fromEntries([["domain", literal(this.#domain)], ...conditions]);
  }

  #policy(limit: MapNode, path: string): PolicyWithoutName | undefined {
    const { entries } = limit;
    if (textOf(entries.get("unlimited")) === "true") return { algorithm: "unlimited" };
    const unitNode = entries.get("unit");
    const unit = textOf(unitNode)?.toLowerCase() ?? "";
    if (!UNITS.includes(unit)) {
      this.#problems.refuse(unitNode ?? limit, `${path}.unit`, unit, UNITS.join(" or "));
      return undefined;
    }
    const asked = Number(textOf(entries.get("requests_per_unit")) ?? 0);
    const multiplier = Number(textOf(entries.get("unit_multiplier")) ?? 1);
    if (asked > MOST_UNITS) {
      const message = `${MOST_UNITS} in place of ${asked}, which is more than a limit can be`;
      this.#rules.note(limit, path, message);
    }
    const count = Math.min(asked, MOST_UNITS);
    const window = WINDOWS.get(unit);
    if (window === undefined) {
      if (multiplier !== 1) {
        this.#rules.note(
          limit,
          path,
          `left out: ${multiplier} ${unit}s are no window of a calendar`,
        );
        return undefined;
      }
      this.#rules.note(limit, path, `a ${unit} of the calendar, in UTC, where Envoy counts days`);
      return { algorithm: "calendar-window", limit: count, unit: unit as "month" | "year" };
    }
    const length = window[0] * multiplier;
    if (window[1] === "d" && length > LONGEST_WINDOW_DAYS) {
      this.#rules.note(limit, path, `left out: a window has at most ${LONGEST_WINDOW_DAYS} days`);
      return undefined;
    }
    return { algorithm: "fixed-window", limit: count, window: `${length}${window[1]}` };
  }
}

/** The entry of a descriptor's key, below these. */
function entryFor(key: string, above: readonly Step[]): string {
  return envoyEntry(key, (name) => name === "domain" || above.some((other) => other.key === name));
}

/** A value of Envoy's as a text of ours: its stars are ours too. */
function patternOf(value: string): string {
  return value.replaceAll("\\", "\\\\");
}

/** A descriptor's value; an empty one is none. */
function valueIn(node: MapNode): string | undefined {
  const value = textOf(node.entries.get("value"));
  return value === "" ? undefined : value;
}

/** What an entry must be for this descriptor, among those beside it: Envoy takes the most specific one alone. */
function stepOf(node: MapNode, key: string, siblings: readonly MapNode[]): Step {
  const value = valueIn(node);
  const ofKey = siblings.filter((other) => textOf(other.entries.get("key")) === key);
  const valuesOf = (nodes: readonly MapNode[]): readonly string[] =>
    nodes.flatMap((other) => valueIn(other) ?? []).filter((other) => other !== value);
  const values = valuesOf(ofKey);
  if (value === undefined) {
    const not = [...new Set(values.map(patternOf))];
    const condition = not.length === 0 ? undefined : shortest(undefined, not);
    return { key, shown: key, condition, isCounted: true };
  }
  const shown = `${key}_${value}`;
  if (!value.includes("*")) return { key, shown, condition: literal(value), isCounted: false };
  // An exact value goes before a pattern, and of patterns the first.
  const pattern = cutPattern(patternOf(value)) ?? [value];
  const before = new Set(valuesOf(ofKey.slice(0, ofKey.indexOf(node))));
  const not = values.filter((other) =>
    other.includes("*") ? before.has(other) : fits(pattern, other),
  );
  const isShared = textOf(node.entries.get("share_threshold")) === "true";
  const condition = shortest([patternOf(value)], [...new Set(not.map(patternOf))]);
  return { key, shown, condition, isCounted: !isShared };
}

/**
 * A configuration of Envoy's rate limit service (YAML) as a document. Each limit becomes a rule of requests with the entry
 * `domain` and just the entries of its descriptor; the most specific descriptor counts, as there. Windows follow the clock.
 * What has no counterpart is in `notes`, with its line.
 * @throws InvalidPoliciesError
 * @example
 * import { importEnvoy, loadYaml } from "sluice/policies";
 * const text = "domain: a\ndescriptors: [{ key: user, rate_limit: { unit: minute, requests_per_unit: 5 } }]\n";
 * const { document, notes } = importEnvoy(text, { yaml: await loadYaml() });
 * console.log(document.rules[0]?.name, document.rules[0]?.key, notes.length); // user [ 'user' ] 0
 */
export function importEnvoy(source: string, options: ImportOptions = {}): ImportedPolicies {
  return importedBy(source, options, (root, rules, problems) => {
    new EnvoyImport(rules, problems).document(root);
  });
}

/** Imports a limits file of Limitador: each limit becomes a rule. */
import { shownOf } from "./checks.js";
import type { PolicyRule, PolicyWithoutName } from "./document.js";
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
import type { Problems } from "./problems.js";
import { entryIn, type SimpleCondition, simpleConditions } from "./simple-cel.js";
import type { MapNode, SourceNode } from "./source-node.js";

const FIELDS = [
  "namespace",
  "max_value",
  "seconds",
  "name",
  "id",
  "conditions",
  "variables",
  "policy",
];
const LONGEST_SECONDS = 366 * 86_400;

/** A list of texts, which may be left out. */
function textsOf(node: SourceNode | undefined): readonly string[] | undefined {
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return [];
  if (node.kind !== "list") return undefined;
  const texts = node.items.map(textOf);
  return texts.includes(undefined) ? undefined : (texts as readonly string[]);
}

class LimitadorImport {
  readonly #rules: RuleImport;
  readonly #problems: Problems;

  constructor(rules: RuleImport, problems: Problems) {
    this.#rules = rules;
    this.#problems = problems;
  }

  document(root: SourceNode): void {
    if (root.kind !== "list") {
      this.#problems.refuse(root, "limits", shownOf(root), "a list of limits");
      return;
    }
    root.items.forEach((item, i) => {
      const path = `[${i}]`;
      if (item.kind === "map") this.#limit(item, path);
      else this.#problems.refuse(item, path, shownOf(item), "a limit");
    });
  }

  #limit(node: MapNode, path: string): void {
    const { entries } = node;
    this.#rules.noteOthers(node, path, FIELDS);
    const namespace = textOf(entries.get("namespace"));
    if (namespace === undefined) {
      this.#problems.refuse(node, `${path}.namespace`, undefined, "the name of a namespace");
      return;
    }
    const policy = this.#policy(node, path);
    const match = this.#match(node, path, namespace);
    const key = this.#key(node, path);
    if (policy === undefined || match === undefined || key === undefined) return;
    const rule: Omit<PolicyRule, "name"> = { match, ...(key.length > 0 ? { key } : {}), policy };
    const name = textOf(entries.get("name")) ?? textOf(entries.get("id")) ?? namespace;
    this.#rules.add(name, rule);
  }

  #policy(node: MapNode, path: string): PolicyWithoutName | undefined {
    const { entries } = node;
    const limit = Number(textOf(entries.get("max_value")));
    const seconds = Number(textOf(entries.get("seconds")));
    if (!(limit >= 0) || !(seconds > 0)) {
      const allowed = "max_value and seconds, as numbers";
      this.#problems.refuse(node, path, undefined, allowed);
      return undefined;
    }
    if (seconds > LONGEST_SECONDS) {
      this.#rules.note(
        entries.get("seconds") ?? node,
        `${path}.seconds`,
        "left out: a window has at most 366 days",
      );
      return undefined;
    }
    if (limit > MOST_UNITS) {
      this.#rules.note(
        entries.get("max_value") ?? node,
        `${path}.max_value`,
        `${MOST_UNITS}, the most that a limit can be`,
      );
    }
    const most = Math.min(limit, MOST_UNITS);
    const kind = entries.get("policy");
    const words =
      kind === undefined
        ? "fixed_window"
        : textOf(kind)
            ?.toLowerCase()
            .replaceAll(/[^a-z]/g, "_");
    const length = `${seconds}s`;
    if (words === "token_bucket") return { algorithm: "token-bucket", limit: most, period: length };
    if (words !== "fixed_window") {
      this.#rules.note(
        kind as SourceNode,
        `${path}.policy`,
        "left out: neither fixed_window nor token_bucket",
      );
      return undefined;
    }
    // Its counters begin with the first hit, and end seconds later.
    return { algorithm: "fixed-window", limit: most, window: length, align: "first" };
  }

  #match(node: MapNode, path: string, namespace: string): PolicyRule["match"] | undefined {
    const at = `${path}.conditions`;
    const listed = node.entries.get("conditions");
    const texts = textsOf(listed);
    if (texts === undefined) {
      this.#problems.refuse(listed ?? node, at, shownOf(listed ?? node), "a list of conditions");
      return undefined;
    }
    const conditions: SimpleCondition[] = [];
    let isWhole = true;
    texts.forEach((text, i) => {
      const found = simpleConditions(text);
      conditions.push(...(found ?? []));
      if (found !== undefined) return;
      isWhole = false;
      const line = listed?.kind === "list" ? listed.items[i] : undefined;
      const message =
        "the limit is left out: only ==, !=, in, startsWith, endsWith, contains and && of entries are known";
      this.#rules.note(line ?? node, `${at}[${i}]`, message);
    });
    if (!isWhole) return undefined;
    const match = new Map([["domain", literal(namespace) as ReturnType<typeof shortest>]]);
    for (const entry of new Set(conditions.map((condition) => condition.entry))) {
      const own = conditions.filter((condition) => condition.entry === entry);
      const wanted = own.flatMap(({ is }) => (is === undefined ? [] : [is]));
      if (wanted.length > 1 || entry === "domain") {
        this.#rules.note(
          listed ?? node,
          at,
          `the limit is left out: more than one thing is asked of ${entry}`,
        );
        return undefined;
      }
      match.set(
        entry,
        shortest(
          wanted[0],
          own.flatMap(({ not }) => (not === undefined ? [] : [not])),
        ),
      );
    }
    return Object.fromEntries(match);
  }

  #key(node: MapNode, path: string): readonly string[] | undefined {
    const listed = node.entries.get("variables");
    const entries = textsOf(listed)?.map(entryIn);
    if (entries?.includes(undefined) === false) return entries as readonly string[];
    const message = "the limit is left out: only names of entries are known as variables";
    this.#rules.note(listed ?? node, `${path}.variables`, message);
    return undefined;
  }
}

/**
 * A limits file of Limitador (YAML) as a document. The namespace becomes the entry `domain`, variables the key. All limits
 * that match are decided, as there; windows begin with the first request. Conditions are read if they compare entries with
 * texts; a limit with others is left out. What has no counterpart is in `notes`, with its line.
 * @throws InvalidPoliciesError
 * @example
 * import { importLimitador, loadYaml } from "sluice/policies";
 * const text = "- { namespace: a, max_value: 5, seconds: 60, conditions: [\"m == 'GET'\"], variables: [user] }\n";
 * const { document } = importLimitador(text, { yaml: await loadYaml() });
 * console.log(document.rules[0]?.match); // { domain: 'a', m: 'GET' }
 */
export function importLimitador(source: string, options: ImportOptions = {}): ImportedPolicies {
  return importedBy(source, options, (root, rules, problems) => {
    new LimitadorImport(rules, problems).document(root);
  });
}

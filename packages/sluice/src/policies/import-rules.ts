/** What importers share: a source of another program is read, rules are collected under names of ours, and the rest is noted. */
import type { EntryCondition, PoliciesDocument, PolicyRule } from "./document.js";
import { InvalidOptionError } from "../core/errors.js";
import { aText, optional, optionReader, unchecked } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { parsePolicies, type ParsePoliciesOptions, rootOf } from "./parse.js";
import { type PoliciesProblem, Problems } from "./problems.js";
import { type MapNode, type SourceNode } from "./source-node.js";

/** How a configuration of another program is to be read: as `parsePolicies` reads, as YAML by default. */
export type ImportOptions = Pick<ParsePoliciesOptions, "format" | "file" | "yaml">;

const OPTIONS = optionReader<ImportOptions>()({
  ...unchecked("format", "yaml"),
  file: optional(aText("the name of a file, as text")),
});

/** A configuration as a document of ours. */
export interface ImportedPolicies {
  /** The document that was made of them. */
  readonly document: PoliciesDocument;
  /** What is not in the document, or differs in it: each with its line and the reason. */
  readonly notes: readonly PoliciesProblem[];
}

const LONGEST_NAME = 54;
/** More than any limit can be; Envoy's own most is above. */
export const MOST_UNITS = 1e9;

export class RuleImport {
  readonly #problems: Problems;
  readonly #rules: PolicyRule[] = [];
  readonly #names = new Set<string>();

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  add(wish: string, rule: Omit<PolicyRule, "name">): void {
    this.#rules.push({ name: this.#nameFor(wish), ...rule });
  }

  /** Tells what is left out or differs. */
  note(node: SourceNode, path: string, message: string): void {
    this.#problems.warn(node.line, path, message);
  }

  /** Notes the unknown fields. */
  noteOthers(node: MapNode, path: string, known: readonly string[]): void {
    for (const [name, entry] of node.entries) {
      if (!known.includes(name)) {
        this.note(entry, `${path}.${name}`, "unknown here, so it has no effect");
      }
    }
  }

  get rules(): readonly PolicyRule[] {
    return this.#rules;
  }

  /** A name that a rule may have and no other has. */
  #nameFor(wish: string): string {
    const plain = wish.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/\.candidate$/, "-candidate");
    const base = plain.slice(0, LONGEST_NAME) || "rule";
    let name = base;
    for (let count = 2; this.#names.has(name); count += 1) {
      name = `${base.slice(0, LONGEST_NAME - 1 - String(count).length)}-${count}`;
    }
    this.#names.add(name);
    return name;
  }
}

/**
 * Reads a source and lets `collect` make rules of it.
 * @throws InvalidPoliciesError
 */
export function importedBy(
  source: string,
  options: ImportOptions,
  collect: (root: SourceNode, rules: RuleImport, problems: Problems) => void,
): ImportedPolicies {
  const { file } = OPTIONS.read(options);
  if (typeof source !== "string") {
    throw new InvalidOptionError("source", withoutText(source), "the text of a configuration");
  }
  const problems = new Problems(file, Number.POSITIVE_INFINITY);
  const rules = new RuleImport(problems);
  problems.during(() => {
    const root = rootOf(source, { format: "yaml", ...options }, problems);
    if (root !== undefined) collect(root, rules, problems);
  });
  problems.end();
  const { document } = parsePolicies({ rules: rules.rules });
  return Object.freeze({ document, notes: problems.warnings });
}

/** A scalar as text; undefined if there is none. */
export function textOf(node: SourceNode | undefined): string | undefined {
  if (node?.kind !== "scalar" || node.value === null) return undefined;
  const { value } = node;
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

/** A text of which no character is a star or an escape of ours. */
export function literal(text: string): string {
  return text.replaceAll(/[*\\]/g, String.raw`\$&`);
}

/** A condition in its shortest form. */
export function shortest(
  is: readonly string[] | undefined,
  not: readonly string[],
): string | readonly string[] | EntryCondition {
  const brief = (texts: readonly string[]): string | readonly string[] =>
    texts.length === 1 ? (texts[0] as string) : texts;
  if (not.length === 0) return is === undefined ? "*" : brief(is);
  return is === undefined ? { not: brief(not) } : { is: brief(is), not: brief(not) };
}

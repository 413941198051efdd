/** Reads a document of policies: from JSON, YAML or a value; all that is wrong with it, with lines. */
import {
  unchecked,
  checkChoice,
  checkNumber,
  optional,
  optionReader,
  aText,
} from "../core/options.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import type { PoliciesDocument } from "./document.js";
import { checkDocument } from "./document-fields.js";
import { readJson } from "./json-source.js";
import { type PoliciesProblem, Problems } from "./problems.js";
import { ReferenceChecks } from "./references.js";
import { isTooLong, nodeOf, SourceError, type SourceNode, TOO_LONG } from "./source-node.js";
import { addWarnings } from "./warnings.js";
import { isYamlModule, readYaml, type YamlModule } from "./yaml-source.js";

/** How a document is to be read. */
export interface ParsePoliciesOptions {
  /** Default: "yaml" if `file` ends in .yaml or .yml, else "json". Ignored if the document is a value. */
  readonly format?: "json" | "yaml" | undefined;
  /** The name of its file, for messages; nothing is read. Default: none. */
  readonly file?: string | undefined;
  /** The package `yaml`, for YAML: `await loadYaml()`, or what `import("yaml")` gives. */
  readonly yaml?: YamlModule | undefined;
  /**
   * The time: µs since the epoch. With it there is a warning for each override whose `until` is over. Default: no such
   * warnings.
   */
  readonly nowUs?: number | undefined;
}

/** The format and the package count for text alone. */
const OPTIONS = optionReader<ParsePoliciesOptions>()({
  ...unchecked("format", "yaml"),
  nowUs: optional(checkNumber),
  file: optional(aText("the name of a file, as text")),
});

/** A document that may be used. */
export interface ParsedPolicies {
  /** Frozen, and every part of it. */
  readonly document: PoliciesDocument;
  /** What is allowed and likely not meant, such as an override that no request reaches; at most 100. */
  readonly warnings: readonly PoliciesProblem[];
}

/**
 * Checks a document of policies: a text in JSON or YAML, or a value. A policy in it is checked as `parsePolicy` checks one.
 * @throws InvalidPoliciesError with up to 20 problems, each with its line.
 * @throws InvalidOptionError for options that are none.
 * @example
 * import { parsePolicies } from "sluice/policies";
 * const text = '{ "rules": [{ "name": "api", "policy": { "algorithm": "gcra", "limit": 5, "period": "1s" } }] }';
 * const { document, warnings } = parsePolicies(text, { file: "policies.json" });
 * console.log(document.rules[0]?.name, warnings.length); // api 0
 */
export function parsePolicies(source: unknown, options: ParsePoliciesOptions = {}): ParsedPolicies {
  const { file, nowUs } = OPTIONS.read(options);
  const problems = new Problems(file);
  let document: PoliciesDocument | undefined;
  problems.during(() => {
    const root = rootOf(source, options, problems);
    document = root && checkDocument(root, "", problems);
    if (root === undefined || document === undefined) return;
    new ReferenceChecks(document, root, problems).run();
    if (problems.count === 0) addWarnings(document, root, problems, nowUs);
  });
  problems.end();
  return Object.freeze({
    document: document as PoliciesDocument,
    warnings: problems.warnings,
  });
}

/** The content of a source, not yet checked; undefined if it is refused, which is reported. */
export function rootOf(
  source: unknown,
  options: ParsePoliciesOptions,
  problems: Problems,
): SourceNode | undefined {
  try {
    if (typeof source !== "string") return nodeOf(source);
    if (isTooLong(source)) throw new SourceError(TOO_LONG);
    const { format = isYamlName(options.file) ? "yaml" : "json", yaml } = options;
    checkChoice("format", format, ["json", "yaml"]);
    if (format === "json") return readJson(source);
    if (!isYamlModule(yaml)) {
      throw new InvalidOptionError(
        "yaml",
        withoutText(yaml),
        "the result of await loadYaml(), for YAML",
      );
    }
    return readYaml(source, yaml);
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    problems.add(error.line, "", `the document is refused: ${error.message}`);
    return undefined;
  }
}

function isYamlName(file: string | undefined): boolean {
  return file !== undefined && /\.ya?ml$/i.test(file);
}

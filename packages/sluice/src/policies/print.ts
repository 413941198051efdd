/** Writes a document as JSON that reads well, in one form for one document. */
import { InvalidOptionError } from "../core/errors.js";
import { fieldOf, withoutText } from "../core/shown.js";
import type { PoliciesDocument } from "./document.js";
import { isTooLong } from "./source-node.js";

/** The order of fields; fields that are not here follow them, by name. */
const ORDER = [
  "$schema",
  "version",
  "activeFrom",
  "mode",
  "defaults",
  "plans",
  "rule",
  "name",
  "comment",
  "match",
  "is",
  "not",
  "exact",
  "key",
  "onMissing",
  "algorithm",
  "limit",
  "policy",
  "cost",
  "rollout",
  "candidate",
  "rules",
  "overrides",
];
const RANK: ReadonlyMap<string, number> = new Map(ORDER.map((name, i) => [name, i]));

function rankOf(name: string): number {
  return RANK.get(name) ?? ORDER.length;
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, each]) => [name, inOrder(each)]));
}

/** Without it, text or a promise in the place of a document would fail somewhere inside. */
export function checkIsDocument(option: string, value: unknown): void {
  if (Array.isArray(fieldOf(value, "rules"))) return;
  const hint = fieldOf(value, "document") === undefined ? undefined : "pass its .document";
  const allowed = "a document, such as parsePolicies(...).document";
  throw new InvalidOptionError(option, withoutText(value), allowed, { hint });
}

/**
 * The document as JSON: fields in a fixed order, two spaces a level, a line break at the end. `parsePolicies` makes the
 * same document of it. What would be longer than a document may be is printed without spaces.
 *
 * @throws InvalidOptionError for arguments of another kind
 * @example
 * import { parsePolicies, printPolicies } from "sluice/policies";
 * const { document } = parsePolicies('{ "rules": [], "mode": "shadow" }');
 * console.log(printPolicies(document).split("\n")[1]); //   "mode": "shadow",
 */
export function printPolicies(document: PoliciesDocument): string {
  checkIsDocument("document", document);
  const ordered = inOrder(document);
  const text = `${JSON.stringify(ordered, undefined, 2)}\n`;
  return isTooLong(text) ? `${JSON.stringify(ordered)}\n` : text;
}

/** All that a document says but its version, as one text: the same for the same content. */
export function canonicalText(document: PoliciesDocument): string {
  const { version: _, $schema: __, ...content } = document;
  return canonicalPart(content);
}

/** A part of a document as one text: the same for the same content. */
export function canonicalPart(part: unknown): string {
  return JSON.stringify(inOrder(part));
}

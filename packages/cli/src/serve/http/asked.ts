/** Out of the JSON of a request: what a PolicySet is asked. */
import type { PoliciesDocument, PolicySet, RulesRequest } from "sluice/policies";
import { HttpProblem } from "./problem.js";

type Json = Readonly<Record<string, unknown>>;
type Entries = RulesRequest["entries"];

const NO_ENTRIES: Entries = Object.freeze({});

/** What every request to rules may have. */
const ASKED_FIELDS = ["rule", "key", "entries", "cost", "plan", "slot"] as const;

const ASKED: ReadonlySet<string> = new Set(ASKED_FIELDS);

/**
 * `{ rule, key, cost }` asks one rule, `{ entries, cost }` all that match. What is not said here, such as a cost that is no
 * number, the set itself refuses. `others` are fields that the route reads.
 *
 * @throws HttpProblem
 */
export function askedOf(body: Json, rules: PolicySet, others?: ReadonlySet<string>): RulesRequest {
  onlyFields(body, (name) => ASKED.has(name) || others?.has(name) === true);
  const { rule, key, cost, plan, slot } = body as Record<string, never>;
  const entries = body["entries"] === undefined ? undefined : entriesIn("entries", body["entries"]);
  if (rule === undefined) {
    if (key !== undefined) {
      throw invalid("key goes with rule; for all rules that match say entries");
    }
    if (entries === undefined) throw invalid("say entries, or rule and key");
    return { entries, cost, plan, slot };
  }
  return { rule, entries: entriesOfKey(rules.document, rule, key, entries), cost, plan, slot };
}

const ENTRY = "a text or a number: one beyond 2^53 loses digits here, so say it as a text";

/** Two numbers that JSON.parse cannot tell apart would be one key. */
function isEntry(value: unknown): boolean {
  if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  return typeof value === "string";
}

/** @throws HttpProblem */
function entriesIn(field: string, entries: unknown): Entries {
  if (typeof entries !== "object" || entries === null || Array.isArray(entries)) {
    const allowed = field === "key" ? "a text, a number, or an object" : "an object";
    throw invalid(`${field} must be ${allowed} of texts and numbers`);
  }
  for (const name in entries) {
    const value: unknown = Reflect.get(entries, name);
    if (!isEntry(value)) {
      throw invalid(`${field}: ${JSON.stringify(name.slice(0, 60))} must be ${ENTRY}`);
    }
  }
  return entries as Entries;
}

/** The names in each rule's key. */
const keyNames = new WeakMap<PoliciesDocument, ReadonlyMap<string, readonly string[]>>();

/** The names in the key of each rule of a document, by the rule's name. */
export function keyNamesOf(document: PoliciesDocument): ReadonlyMap<string, readonly string[]> {
  let names = keyNames.get(document);
  if (names === undefined) {
    names = new Map(document.rules.map(({ name, key = [] }) => [name, key]));
    keyNames.set(document, names);
  }
  return names;
}

/** The entries by which a rule finds the key: `key` is the value of the only one, or an object of several. */
function entriesOfKey(
  document: PoliciesDocument,
  rule: unknown,
  key: unknown,
  entries: Entries | undefined,
): Entries {
  const names = typeof rule === "string" ? keyNamesOf(document).get(rule) : undefined;
  // The set says so, and which one was meant.
  if (names === undefined || key === undefined) return entries ?? NO_ENTRIES;
  if (typeof key === "object") return bothOf(entries, keyIn(key, names));
  if (!isEntry(key)) throw invalid(`key must be an object of entries, or ${ENTRY}`);
  const [only] = names;
  if (only !== undefined && names.length === 1) return bothOf(entries, { [only]: key as string });
  const form = names.map((name) => `${JSON.stringify(name)}: …`).join(", ");
  throw invalid(
    names.length === 0
      ? "the rule has no key: all share one budget"
      : `the rule has several entries in its key: say "key": { ${form} }`,
  );
}

/** @throws HttpProblem if an object has more than the key, which a slip in a name would be */
function keyIn(key: unknown, names: readonly string[]): Entries {
  const entries = entriesIn("key", key);
  const other = Object.keys(entries).find((name) => !names.includes(name));
  if (other === undefined) return entries;
  throw invalid(`key: ${JSON.stringify(other.slice(0, 60))} is no entry of the rule's key`);
}

/** @throws HttpProblem if the key and the entries contradict each other */
function bothOf(entries: Entries | undefined, key: Entries): Entries {
  if (entries === undefined) return key;
  for (const name of Object.keys(key)) {
    if (Object.hasOwn(entries, name) && entries[name] !== key[name]) {
      throw invalid(`key and entries differ in ${JSON.stringify(name.slice(0, 60))}`);
    }
  }
  return { ...entries, ...key };
}

/** @throws HttpProblem that names a field which the request does not have */
export function onlyFields(body: Json, isKnown: (name: string) => boolean): void {
  for (const name of Object.keys(body)) {
    if (isKnown(name)) continue;
    throw invalid(`${JSON.stringify(name.slice(0, 60))} is no field of this request`);
  }
}

export function invalid(detail: string): HttpProblem {
  return new HttpProblem("invalid-request", detail);
}

/** What logs cannot tell of a document's rules, as sentences for people. */
import { isPrefix } from "../policies/override-key.js";
import { conditionOf } from "../policies/pattern.js";
import type { PoliciesDocument, PolicyRule } from "../policies/document.js";
import { LoggedMatcher } from "./logged-entries.js";
import type { LoggedAttempts, LoggedRequests } from "./logged-attempts.js";

type Notes = readonly (readonly [applies: boolean, note: string])[];

export function notesOf(
  document: PoliciesDocument,
  { rules: logged, requests }: Pick<LoggedAttempts, "rules" | "requests">,
): readonly string[] {
  const byKeys = logged.filter(({ ofSet }) => !ofSet).flatMap(({ policies }) => policies);
  const names = new Set(byKeys.map(({ name }) => name));
  const isByKeys = requests === undefined || names.size > 0;
  const notes = [
    ...(isByKeys ? notesWithoutEntries(document, names) : []),
    ...(requests === undefined ? [] : notesOfEntries(document, requests)),
  ];
  return [...new Set(notes.flatMap(([applies, note]) => (applies ? [note] : [])))];
}

/** Of logs without the entries of requests. */
function notesWithoutEntries(
  { rules, overrides = [], plans = {} }: PoliciesDocument,
  logged: ReadonlySet<string>,
): Notes {
  const unknown = rules.filter(({ name }) => !logged.has(name));
  return [
    [
      rules.length > 0,
      "what rules match and what their keys are is as it was: logs have the entries of requests where a PolicySet is logged",
    ],
    [
      unknown.length > 0,
      `the logs have no attempts of ${listOf(unknown)}: a rule is known by its name`,
    ],
    rolloutNote(rules.filter(isPartial)),
    [
      overrides.some(({ key }) => isPrefix(key)),
      "without the overrides that end with *: logs hold the ids of keys",
    ],
    [Object.keys(plans).length > 0, "without the plans: logs do not say which plan a call had"],
  ];
}

function notesOfEntries(
  { rules, overrides = [] }: PoliciesDocument,
  { hidden, isSecret }: LoggedRequests,
): Notes {
  const isHidden = (entry: string): boolean => hidden.has(entry);
  const hiddenKey = rules.filter(({ key = [] }) => key.some(isHidden));
  const ofHidden = (named: readonly { readonly rule: string }[]): readonly PolicyRule[] =>
    hiddenKey.filter(({ name }) => named.some(({ rule }) => rule === name));
  const withPrefix = ofHidden(overrides.filter(({ key }) => isPrefix(key)));
  const exact = ofHidden(overrides.filter(({ key }) => !isPrefix(key)));
  return [
    ...rules.map((rule): Notes[number] => {
      const entries = unreadable(rule, isSecret).filter(isHidden);
      return [entries.length > 0, `rule ${rule.name} as it was: ${hashed(entries)}`];
    }),
    ...rules.map(({ name, cost }): Notes[number] => {
      const from = typeof cost === "object" && isHidden(cost.from) ? [cost.from] : [];
      return [from.length > 0, `rule ${name} with the costs that it had: ${hashed(from)}`];
    }),
    rolloutNote(hiddenKey.filter(isPartial)),
    [
      withPrefix.length > 0,
      `without the overrides of ${listOf(withPrefix)} that end with *: ${hashed(keysOf(withPrefix).filter(isHidden))}`,
    ],
    [
      isSecret && exact.length > 0,
      `without the overrides of ${listOf(exact)}: ids were made with a secret`,
    ],
  ];
}

/** The entries of `match` that ids are too little for. */
function unreadable({ match = {} }: PolicyRule, isSecret: boolean): readonly string[] {
  return Object.entries(match).flatMap(([name, condition]) => {
    const { is, not } = conditionOf(condition);
    const isCompared = isSecret && (is ?? not) !== undefined && is !== "*";
    return isCompared || new LoggedMatcher(name, condition).needsClear ? [name] : [];
  });
}

function hashed(entries: readonly string[]): string {
  const names = [...new Set(entries)];
  return `the logs have ids of ${names.join(", ")}; with clear: ${JSON.stringify(names)} they can be read`;
}

function keysOf(rules: readonly PolicyRule[]): readonly string[] {
  return rules.flatMap(({ key = [] }) => key);
}

function rolloutNote(rules: readonly PolicyRule[]): Notes[number] {
  return [rules.length > 0, `for all keys, as if the rollout of ${listOf(rules)} were complete`];
}

function isPartial({ rollout }: PolicyRule): boolean {
  return (rollout?.percent ?? 100) < 100;
}

const MOST_NAMED = 5;

function listOf(rules: readonly PolicyRule[]): string {
  const names = rules.map(({ name }) => name);
  const more = names.length - MOST_NAMED;
  const shown = names.slice(0, MOST_NAMED).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

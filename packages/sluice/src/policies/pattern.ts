/**
 * What entries are compared with: exact texts, and texts with `*`. Matching takes linear time, and no regular expression of
 * a user.
 */

import type { EntryCondition, EntryTexts } from "./document.js";

/** A text cut at its stars; one part, if there is none. */
export type Pattern = readonly string[];

/** Stars that a pattern may have. */
export const MOST_STARS = 8;

/** Cuts a pattern at its stars; `\*` and `\\` mean the characters. Undefined if a backslash precedes any other. */
export function cutPattern(text: string): Pattern | undefined {
  const parts: string[] = [];
  let part = "";
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string;
    if (character === "*") {
      parts.push(part);
      part = "";
    } else if (character === "\\") {
      i += 1;
      if (text[i] !== "*" && text[i] !== "\\") return undefined;
      part += text[i];
    } else {
      part += character;
    }
  }
  parts.push(part);
  return parts;
}

/** Whether a value is of the pattern. Parts are found from the left, each once, so that there is no going back. */
export function fits(pattern: Pattern, value: string): boolean {
  const first = pattern[0] as string;
  if (pattern.length === 1) return value === first;
  const last = pattern.at(-1) as string;
  if (!value.startsWith(first)) return false;
  const end = value.length - last.length;
  let from = first.length;
  for (let i = 1; i < pattern.length - 1; i++) {
    const part = pattern[i] as string;
    const at = value.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return from <= end && value.endsWith(last);
}

/** A set of texts, some with stars. */
class TextSet {
  /** Texts without a star. */
  readonly exact: ReadonlySet<string>;
  readonly patterns: readonly Pattern[];

  constructor(texts: readonly string[]) {
    const patterns = texts.map((text) => cutPattern(text) ?? [text]);
    const exact = patterns.filter(({ length }) => length === 1).map(([text]) => text as string);
    this.exact = new Set(exact);
    this.patterns = patterns.filter(({ length }) => length > 1);
  }

  has(value: string): boolean {
    if (this.exact.has(value)) return true;
    for (const pattern of this.patterns) if (fits(pattern, value)) return true;
    return false;
  }
}

/** One text or several, as a list. */
export function listOf(texts: EntryTexts): readonly string[] {
  return typeof texts === "string" ? [texts] : texts;
}

/** A condition in its longest form. */
export function conditionOf(condition: EntryTexts | EntryCondition): EntryCondition {
  return typeof condition === "string" || Array.isArray(condition)
    ? { is: condition }
    : (condition as EntryCondition);
}

/** How texts may begin: they are one of `exact`, or begin with one of `prefixes`. */
export interface Heads {
  readonly exact: ReadonlySet<string>;
  /** None is empty. */
  readonly prefixes: ReadonlySet<string>;
}

/** What one entry must be. */
export class EntryMatcher {
  /** What every text that matches is, or begins with; undefined if it may be any. */
  readonly heads: Heads | undefined;
  readonly #is: TextSet | undefined;
  readonly #not: TextSet | undefined;

  constructor(condition: EntryTexts | EntryCondition) {
    const { is, not } = conditionOf(condition);
    this.#is = is === undefined ? undefined : new TextSet(listOf(is));
    this.#not = not === undefined ? undefined : new TextSet(listOf(not));
    const prefixes = new Set(this.#is?.patterns.map(([first]) => first as string));
    this.heads =
      this.#is === undefined || prefixes.has("") ? undefined : { exact: this.#is.exact, prefixes };
  }

  matches(value: string): boolean {
    return this.#is?.has(value) !== false && this.#not?.has(value) !== true;
  }
}

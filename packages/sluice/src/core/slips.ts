/** Guesses what a mistake was meant to be: a misspelled word, or a value without the option that it is for. */
import { hasField } from "./shown.js";

/** A word may have one slip per this many characters and is still recognized. */
const CHARACTERS_A_SLIP = 3;
/** A part of a word names it from this length on: `wait` for `maxWait`. */
const SHORTEST_PART = 4;
/** Longer text is not a number that somebody typed. */
const LONGEST_NUMBER = 20;

/** The known word that a wrong one is a slip of, if one is near enough. */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  // Only short names are typed; a long one would take long to compare.
  if (wrong.length > 40) return undefined;
  const typed = wrong.toLowerCase();
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const word of known) {
    const slips = distance(typed, word.toLowerCase());
    if (slips < fewest && slips * CHARACTERS_A_SLIP <= Math.max(typed.length, word.length)) {
      best = word;
      fewest = slips;
    }
  }
  if (best !== undefined || typed.length < SHORTEST_PART) return best;
  return known.find((word) => word.toLowerCase().includes(typed));
}

/** Letters to add, drop, replace, or swap with the next one: the restricted Damerau–Levenshtein distance. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next[j] = Math.min(
        at(row, j) + 1,
        at(next, j - 1) + 1,
        at(row, j - 1) + (same ? 0 : 1),
        swapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    before = row;
    row = next;
  }
  return at(row, b.length);
}

function at(row: readonly number[], j: number): number {
  return row[j] as number;
}

/** For text in the place of a number, as every setting of the environment is. */
export function meantNumber(
  value: unknown,
  isGood: (meant: number) => boolean,
): string | undefined {
  if (typeof value !== "string" || value.trim() === "" || value.length > LONGEST_NUMBER) return;
  const meant = Number(value);
  return isGood(meant) ? `a text, not a number: did you mean ${meant}?` : undefined;
}

/** For text in the place of true or false. */
export function meantBoolean(value: unknown): string | undefined {
  return value === "true" || value === "false" ? `a text: did you mean ${value}?` : undefined;
}

/** Options for which a value may be meant, by what it looks like; the likeliest first. */
const MEANT: readonly (readonly [
  looksSo: (value: unknown) => boolean,
  options: readonly string[],
])[] = [
  [(value) => typeof value === "number", ["limit", "cost", "weight", "maxKeys"]],
  [(value) => typeof value === "boolean", ["keepLonger", "atomic"]],
  [(value) => typeof value === "string" && value.includes("://"), ["url", "client"]],
  [(value) => typeof value === "string" && /^[.\d]/.test(value), ["maxWait"]],
  [(value) => typeof value === "string", ["key"]],
  [(value) => hasField(value, "algorithm"), ["policy"]],
  [(value) => Array.isArray(value) && hasField(value[0], "algorithm"), ["policy"]],
  [(value) => hasField(value, "aborted"), ["signal"]],
  [(value) => hasField(value, "evalSha") || hasField(value, "evalsha"), ["client"]],
  [(value) => hasField(value, "submit"), ["store"]],
  [(value) => hasField(value, "nowUs"), ["clock"]],
  [(value) => hasField(value, "acquire"), ["limiter", "fallback"]],
  [(value) => typeof value === "function", ["policy", "fetch", "client"]],
];

/** For a value passed instead of options: the `known` option that it is probably meant for. */
export function meantOption(value: unknown, known: readonly string[]): string | undefined {
  for (const [looksSo, options] of MEANT) {
    const option = looksSo(value) ? options.find((each) => known.includes(each)) : undefined;
    if (option !== undefined) return option;
  }
  return undefined;
}

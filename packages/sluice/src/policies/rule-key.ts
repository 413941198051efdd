/** The identity that a rule limits, as one text: `user=acme,route=/v1`. No two identities of a rule share one. */
import { digestOf } from "../core/identity.js";

/** What a request says of itself, by name: texts, or numbers as they are printed. */
export type RequestEntries = Readonly<Record<string, string | number>>;

/** The identity of all requests to a rule without key entries. */
export const EVERYBODY = "all";
/** Longer identities become a digest: a key has at most 4,096 bytes. */
const LONGEST_IDENTITY = 1024;

/** What separates parts, begins an escape, or ends an override's prefix. */
const SPECIAL = /[%,*]/g;
/** Whether there is anything to escape: to ask costs less than to replace nothing. */
const UNUSUAL = /[%,*\uD800-\uDFFF]/;
const SPECIAL_IN_NAMES = /[%,*=]/g;
const LONE_SURROGATES = /\p{Surrogate}/gu;

const percent = (character: string): string =>
  `%${character.charCodeAt(0).toString(16).toUpperCase()}`;

/** With a `u`, which no other escape has. */
const percentU = (half: string): string => `%u${half.charCodeAt(0).toString(16).toUpperCase()}`;

/** `%`, `,` and `*` of a value, percent-encoded; half characters too, which no key may hold. */
function escapeValue(value: string): string {
  if (!UNUSUAL.test(value)) return value;
  const escaped = value.replace(SPECIAL, percent);
  return escaped.isWellFormed() ? escaped : escaped.replace(LONE_SURROGATES, percentU);
}

/** The same for an entry's name, and `=`, which ends it. */
export function escapeName(name: string): string {
  return name.replace(SPECIAL_IN_NAMES, percent);
}

/** An own entry as text; undefined if there is none. */
export function entryOf(entries: RequestEntries, name: string): string | undefined {
  if (!Object.hasOwn(entries, name)) return undefined;
  const value: unknown = entries[name];
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;
}

/** Makes identities out of these entries, in this order. */
export class KeyWriter {
  readonly #names: readonly string[];
  /** What goes before each value: `user=`, `,route=`. */
  readonly #before: readonly string[];

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#before = names.map((name, i) => `${i === 0 ? "" : ","}${escapeName(name)}=`);
  }

  /** The identity; undefined if an entry is absent. */
  write(entries: RequestEntries): string | undefined {
    const text = this.text(entries);
    return text === undefined ? undefined : identityOf(text);
  }

  /** The key as overrides spell it, however long. */
  text(entries: RequestEntries): string | undefined {
    const names = this.#names;
    if (names.length === 0) return EVERYBODY;
    let text = "";
    for (let i = 0; i < names.length; i++) {
      const value = entryOf(entries, names[i] as string);
      if (value === undefined) return undefined;
      text += (this.#before[i] as string) + escapeValue(value);
    }
    return text;
  }
}

/** What a key is limited by: the key itself, or its digest if it is long. */
export function identityOf(text: string): string {
  return text.length > LONGEST_IDENTITY ? digestOf(text) : text;
}

/**
 * The identity of a rule's `key`, as overrides spell it: `user=acme,route=/v1`. In values `%`, `,` and `*` are written %25,
 * %2C and %2A. Undefined if an entry is absent; `all` for a rule without key entries.
 *
 * @throws nothing
 * @example
 * import { ruleKey } from "sluice/policies";
 * console.log(ruleKey(["user", "route"], { user: "a,b", route: "/v1" })); // user=a%2Cb,route=/v1
 */
export function ruleKey(key: readonly string[], entries: RequestEntries): string | undefined {
  return new KeyWriter(key).write(entries);
}

/** How a refused value is shown, in messages and by `error.value`: never what is, or may be, a secret. */

/** Describes a value in words: a kind, such as "a promise". */
export class InWords {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Shown instead of a value that may be a secret. */
export const HIDDEN = new InWords("(hidden)");

/** A value as an error may keep it, and as a message shows it. */
export interface Shown {
  readonly value: unknown;
  readonly text: string;
}

const SHOWN_CHARACTERS = 80;
/** A text that is meant as an option's value is short: a longer one is something else in the wrong place. */
const LONGEST_SHOWN = 40;
/** What URLs have: they may hold a password. */
const URL_PARTS = /:\/\/|@/;

/** Numbers and the like as they are, and a short text too; all else only by its kind. */
export function shown(value: unknown): Shown {
  if (value instanceof InWords) return { value: value.text, text: shorten(value.text) };
  switch (typeof value) {
    case "undefined":
    case "boolean":
    case "number":
      return { value, text: String(value) };
    case "bigint":
      return { value, text: shorten(`${value}n`) };
    case "string":
      if (value.length <= LONGEST_SHOWN && !URL_PARTS.test(value)) {
        return { value, text: JSON.stringify(value) };
      }
      break;
    default:
      if (value === null) return { value, text: "null" };
  }
  return shown(withoutText(value));
}

/** For a place where any text may be a secret: an object, a text or a function only by its kind. */
export function withoutText(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return new InWords(
        value === "" ? "an empty string" : `a string of ${value.length} characters`,
      );
    case "symbol":
      return new InWords("a symbol");
    case "bigint":
      return new InWords("a bigint");
    case "function":
    case "object":
      if (value === null) return value;
      return new InWords(kindOfObject(value));
    default:
      return value;
  }
}

/** A number as people read it: 1,000,000,000. */
export function grouped(value: number): string {
  return String(value).replaceAll(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ",");
}

/** A value as JSON, however deeply it is nested: deeper than JSON can be written, in words. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "nothing";
  } catch {
    return "nested too deeply to be shown";
  }
}

const CLASS_NAME = /^[A-Z][A-Za-z]{1,39}$/;
export const A_PROMISE = "a promise";

function kindOfObject(value: object): string {
  try {
    // Promises of other libraries and realms too.
    if (typeof (value as { then?: unknown }).then === "function") return A_PROMISE;
    if (typeof value === "function") return "a function";
    if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
    const { name } = value.constructor;
    if (name !== "Object" && CLASS_NAME.test(name)) return withArticle(name);
  } catch {
    // Without a prototype, or not to be looked at.
  }
  return "an object";
}

/** Whether a value of any type has such a field, its own or its class's. */
export function hasField(value: unknown, name: string): boolean {
  return fieldOf(value, name) !== undefined;
}

/** A field of a value that may be anything. */
export function fieldOf(value: unknown, name: string): unknown {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) {
    return undefined;
  }
  try {
    return (value as unknown as Readonly<Record<string, unknown>>)[name];
  } catch {
    // A proxy or a getter that refuses to be asked.
    return undefined;
  }
}

function withArticle(noun: string): string {
  return `${/^[AEIOU]/.test(noun) ? "an" : "a"} ${noun}`;
}

export function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

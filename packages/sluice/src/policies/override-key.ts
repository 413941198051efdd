/** Reads an override's key back: is it what `ruleKey` writes, and can a rule have such a key? */
import { EVERYBODY, escapeName } from "./rule-key.js";

/** A percent sign that `ruleKey` would not write. At the end of a prefix its escape may be cut short. */
const BAD_ESCAPE = /%(?!25|2A|2C|3D|uD[89A-F][\dA-F]{2})/;
const CUT_ESCAPE = /%(?:2|3|u(?:D(?:[89A-F][\dA-F]?)?)?)?$/;

/** Whether an override is for all keys that begin with what is before its star. */
export function isPrefix(key: string): boolean {
  return key.endsWith("*");
}

/** What is wrong with a key, whatever the rule; undefined if nothing is. */
export function formFault(key: string): string | undefined {
  const isCutShort = isPrefix(key);
  const text = isCutShort ? key.slice(0, -1) : key;
  if (text.includes("*")) return "a * only at the end; the character itself is written %2A";
  if (BAD_ESCAPE.test(isCutShort ? text.replace(CUT_ESCAPE, "") : text)) {
    return "% only in %25, %2C, %2A and %3D, for the characters % , * and =";
  }
  return undefined;
}

/** The form of a rule's keys, for people: `user=…,route=…`. */
export function formOfKeys(names: readonly string[]): string {
  return names.length === 0 ? EVERYBODY : names.map((name) => `${escapeName(name)}=…`).join(",");
}

/** Whether a rule with these key entries can have such a key. */
export function isInReach(key: string, names: readonly string[]): boolean {
  const isCutShort = isPrefix(key);
  const text = isCutShort ? key.slice(0, -1) : key;
  // Keys have escapes instead of half characters.
  if (!text.isWellFormed()) return false;
  if (names.length === 0) return isCutShort ? EVERYBODY.startsWith(text) : text === EVERYBODY;
  const parts = text.split(",");
  if (parts.length > names.length || (!isCutShort && parts.length < names.length)) return false;
  return parts.every((part, i) => {
    const before = `${escapeName(names[i] as string)}=`;
    const isCut = isCutShort && i === parts.length - 1;
    return part.startsWith(before) || (isCut && before.startsWith(part));
  });
}

/** The value of each entry that an exact key of a rule in reach names. */
export function keyValues(key: string): readonly string[] {
  if (key === EVERYBODY) return [];
  return key
    .split(",")
    .map((part) =>
      part
        .slice(part.indexOf("=") + 1)
        .replace(/%u([\dA-F]{4})|%([\dA-F]{2})/g, (_, half: string | undefined, code: string) =>
          String.fromCharCode(Number.parseInt(half ?? code, 16)),
        ),
    );
}

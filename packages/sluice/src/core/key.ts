/** What a partition key, a slot text and a name may be. */
import { InvalidOptionError } from "./errors.js";
import { unchecked, optionReader } from "./options.js";
import { InWords, withoutText } from "./shown.js";

const MAX_KEY_BYTES = 4096;
/** A string this short cannot pass the limit: one UTF-16 unit is at most three bytes of UTF-8. */
const SURELY_SHORT = Math.floor(MAX_KEY_BYTES / 3);

const ALLOWED = `a well-formed string of 1 to ${MAX_KEY_BYTES} bytes of UTF-8`;

/** Throws unless `key` is a well-formed string of 1 to 4,096 bytes. */
export function checkKey(key: unknown): asserts key is string {
  if (!isKey(key)) throw keyError(key);
}

/** An option of every verb on a key. */
export interface SlotOption {
  /**
   * Puts the key beside others with the same text, such as "org:7": 1 to 4,096 bytes. On a Cluster they share a slot, so
   * that `consumeAtomic` decides over them in one script; a key of just that text, without a slot, is in that slot too. It
   * is part of the key, in every store: a key has another state in each slot, and one more without. So all verbs on it need
   * the same slot. It is hashed as keys are. Default: none.
   */
  readonly slot?: string | undefined;
}

/** Of verbs that have no other option; the slot is checked with the key. */
export const SLOT_OPTIONS = optionReader<SlotOption>()(unchecked("slot"));

/** Throws unless `slot` is undefined or what a key may be: its text becomes a part of ids as a key does. */
export function checkSlot(slot: unknown): asserts slot is string | undefined {
  if (slot !== undefined && !isKey(slot)) throw keyError(slot, ALLOWED, "slot");
}

/** What a verb is called with. */
export interface Keyed extends SlotOption {
  readonly key: string;
}

/** `checkKey` and `checkSlot`. */
export function checkKeyed({ key, slot }: Keyed): void {
  checkKey(key);
  checkSlot(slot);
}

function isKey(key: unknown): key is string {
  if (typeof key !== "string" || key.length === 0 || !key.isWellFormed()) return false;
  return (
    key.length <= SURELY_SHORT || (key.length <= MAX_KEY_BYTES && utf8Bytes(key) <= MAX_KEY_BYTES)
  );
}

/** Says why a key, or a slot text, is refused without showing it: it names a person, or is a token. */
export function keyError(key: unknown, allowed = ALLOWED, option = "key"): InvalidOptionError {
  const shown = typeof key === "number" ? new InWords("a number") : withoutText(key);
  const hint = typeof key === "number" ? { hint: "make it a string: String(id)" } : {};
  return new InvalidOptionError(option, shown, allowed, hint);
}

/** Half of a character: neither a key nor a slot text holds one. */
const BETWEEN = "\ud800";

/** A key with the slot text that it was given, as one text: no other key, and none in another slot, has the same. */
export function keyInSlot({ key, slot }: Keyed): string {
  return slot === undefined ? key : `${slot}${BETWEEN}${key}`;
}

/** The key alone of what `keyInSlot` made. */
export function keyWithoutSlot(text: string): string {
  // With the flag u no half of a whole character is found.
  return text.slice(text.search(/\ud800/u) + 1);
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Namespaces and policy names become part of store keys: letters, digits, dot, underscore, hyphen. */
export function checkName(option: string, name: unknown): string {
  if (isName(name)) return name;
  throw new InvalidOptionError(option, name, "1 to 64 characters of A-Z a-z 0-9 . _ -");
}

export function isName(name: unknown): name is string {
  return typeof name === "string" && NAME.test(name);
}

/** What a partition key and a name may be. */
import { InvalidOptionError } from "./errors.js";
import { InWords, withoutText } from "./shown.js";

const MAX_KEY_BYTES = 4096;
/** A string this short cannot pass the limit: one UTF-16 unit is at most three bytes of UTF-8. */
const SURELY_SHORT = Math.floor(MAX_KEY_BYTES / 3);

const ALLOWED = `a well-formed string of 1 to ${MAX_KEY_BYTES} bytes of UTF-8`;

/** Throws unless `key` is a well-formed string of 1 to 4,096 bytes. */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== "string" || key.length === 0 || !key.isWellFormed()) throw keyError(key);
  if (key.length > SURELY_SHORT && (key.length > MAX_KEY_BYTES || utf8Bytes(key) > MAX_KEY_BYTES)) {
    throw keyError(key);
  }
}

/** Says why a key is refused without the key: it names a person, or is a token. */
export function keyError(key: unknown, allowed = ALLOWED): InvalidOptionError {
  const shown = typeof key === "number" ? new InWords("a number") : withoutText(key);
  const hint = typeof key === "number" ? { hint: "make it a string: String(id)" } : {};
  return new InvalidOptionError("key", shown, allowed, hint);
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Namespaces and policy names become part of store keys: letters, digits, dot, underscore, hyphen. */
export function checkName(option: string, name: unknown): string {
  if (typeof name === "string" && NAME.test(name)) return name;
  throw new InvalidOptionError(option, name, "1 to 64 characters of A-Z a-z 0-9 . _ -");
}

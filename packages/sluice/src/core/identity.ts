/** From a caller's key to the id that the store sees instead. */
import { URL_ALPHABET } from "./base64.js";
import { digests } from "./digest.js";
import { InvalidOptionError } from "./errors.js";
import { keyError } from "./key.js";
import { HIDDEN } from "./shown.js";

/**
 * "sha256" hides keys from casual reading, not from somebody who can enumerate addresses: prefer a secret for those.
 * "plain" sends them as they are. Default: "sha256" if the store is outside the process.
 */
export type Identity =
  | "sha256"
  | "plain"
  | {
      /** The secret: at least 16 bytes, the same in every process. */ readonly hmacSecret:
        | string
        | Uint8Array;
    };

/**
 * Turns a checked key into an id. With a slot text it is another id, which begins with the id of that text in braces: on a
 * Cluster it is in the slot of a key with that text.
 */
export type Identify = (key: string, slot?: string) => string;

const OPEN = "{".charCodeAt(0);

/** Whether an id, of those that leave the process, brings the hash tag of the slot that its key was given. */
export function isInSlot(id: string): boolean {
  return id.charCodeAt(0) === OPEN;
}

/** The name of a key in Redis. Its id is the hash tag, unless it brings one. */
export function keyNameOf(keyspace: string, id: string): string {
  return isInSlot(id) ? `${keyspace}:${id}` : `${keyspace}:{${id}}`;
}

const SHORTEST_SECRET = 16;

/**
 * The first 16 bytes of a digest in base64url: no two keys of one user will ever meet, and 22 characters
 * keep store keys short. Cut out of the text of the whole digest, since that is five times faster than
 * going through a Buffer: the last character keeps the two bits that belong to byte 16.
 */
function first16Bytes(digest: string): string {
  const last = URL_ALPHABET.indexOf(digest[21] as string) & 0b110000;
  return digest.slice(0, 21) + (URL_ALPHABET[last] as string);
}

/** A whole digest as text, of 65 characters: it replaces a text that is too long to be kept. */
export function digestOf(text: string): string {
  return `sha256 of a long key: ${digests.sha256(text)}`;
}

const DIGEST = /^sha256 of a long key: [\w-]{43}$/;

/** Whether a text is what `digestOf` makes. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/**
 * In memory the key itself. Any text may be a key there, so a key in a slot becomes a text that no key can be: a lone
 * surrogate and a digest, since a digest of the id would not keep the surrogate.
 */
const unchanged: Identify = (key, slot) =>
  slot === undefined
    ? key
    : `\ud800${first16Bytes(digests.sha256(`${slot.length}:${slot}${key}`))}`;

const plain: Identify = (key, slot) =>
  slot === undefined ? checkPlain(key) : `{${checkPlain(slot, "slot")}}${checkPlain(key)}`;

/** Whether ids are the keys themselves: then some keys are refused. */
export function refusesBraces(identify: Identify): boolean {
  return identify === plain;
}

/** Braces would move a key to another Cluster slot, and NUL cuts it short in many tools. */
function checkPlain(key: string, option?: string): string {
  if (!/[{}\0]/.test(key)) return key;
  throw keyError(key, 'no braces and no NUL with identity "plain"; any text when hashed', option);
}

/** How keys become ids under the option `identity`. */
export function identifyBy(identity: unknown, external: boolean): Identify {
  const choice = identity === undefined && external ? "sha256" : identity;
  if (choice === undefined) return unchanged;
  if (choice === "plain") return plain;
  if (choice === "sha256") {
    return remembered((key) => first16Bytes(digests.sha256(key)));
  }
  const secret = secretOf(choice);
  return remembered((key) => first16Bytes(digests.hmacSha256(secret, key)));
}

/** The same function if its ids are hashes; else the default for a store outside the process. */
export function hiding(identify: Identify): Identify {
  return identify === unchanged || identify === plain ? HASHED : identify;
}

/** Ids of recent keys; a power of two. */
const REMEMBERED = 256;

/**
 * Remembers the ids of recent keys, each in the one slot that its length and last characters select: a hot key is hashed
 * once, and the look-up costs other keys next to nothing.
 */
function remembered(identify: (key: string) => string): Identify {
  const keys = new Array<string>(REMEMBERED).fill("");
  const ids = new Array<string>(REMEMBERED).fill("");
  return function idOf(key: string, slot?: string): string {
    if (slot !== undefined) return `{${idOf(slot)}}${idOf(key)}`;
    const end = key.length - 1;
    const place =
      (key.charCodeAt(end) * 31 + (end > 0 ? key.charCodeAt(end - 1) : 0) * 7 + end) &
      (REMEMBERED - 1);
    if (keys[place] === key) return ids[place] as string;
    const id = identify(key);
    keys[place] = key;
    ids[place] = id;
    return id;
  };
}

const HASHED = identifyBy("sha256", true);

/** What is refused here may be a secret in the wrong place or of the wrong name: no error shows it. */
function secretOf(choice: unknown): string | Uint8Array {
  const isWrapped =
    typeof choice === "object" && choice !== null && Object.keys(choice).join() === "hmacSecret";
  if (!isWrapped) {
    throw new InvalidOptionError("identity", HIDDEN, '"sha256", "plain" or { hmacSecret }');
  }
  const secret: unknown = Reflect.get(choice, "hmacSecret");
  if (typeof secret === "string" && secret.length >= SHORTEST_SECRET) return secret;
  // A copy, because a caller that wipes the bytes afterwards must not change the ids.
  if (isBytes(secret) && secret.length >= SHORTEST_SECRET) return Uint8Array.from(secret);
  throw new InvalidOptionError(
    "identity.hmacSecret",
    HIDDEN,
    `a string or Uint8Array of at least ${SHORTEST_SECRET} characters or bytes`,
  );
}

/** Of other realms too, such as those of a test runner. */
function isBytes(value: unknown): value is Uint8Array {
  return (
    ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === "[object Uint8Array]"
  );
}

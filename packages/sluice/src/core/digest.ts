/**
 * Digests and random names: by Node's own functions if the platform has them, else in plain JavaScript. No import names a
 * module of Node, so that the library can be bundled for browsers, workers and edge runtimes.
 */
import { encodeBase64Url } from "./base64.js";
import { hmacSha256, sha1, sha256 } from "./portable-digest.js";

export interface Digests {
  /** Base64url, without padding. */
  sha256(text: string): string;
  /** Base64url, without padding. */
  hmacSha256(secret: string | Uint8Array, text: string): string;
  /** Lower-case hexadecimal. */
  sha1(text: string): string;
}

const encoder = new TextEncoder();
const bytesOf = (text: string | Uint8Array): Uint8Array =>
  typeof text === "string" ? encoder.encode(text) : text;

export const portableDigests: Digests = {
  sha256: (text) => encodeBase64Url(sha256(bytesOf(text))),
  hmacSha256: (secret, text) => encodeBase64Url(hmacSha256(bytesOf(secret), bytesOf(text))),
  sha1: (text) =>
    Array.from(sha1(bytesOf(text)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
};

/** The digests of this platform. Bun and Deno have Node's too. */
export const digests: Digests = nodeDigests() ?? portableDigests;

function nodeDigests(): Digests | undefined {
  const crypto =
    typeof process === "object" ? process.getBuiltinModule?.("node:crypto") : undefined;
  if (crypto === undefined) return undefined;
  const { createHash, createHmac } = crypto;
  // Not everywhere, and much faster for short texts.
  const hash =
    crypto.hash ??
    ((name: string, text: string, encoding: "base64url" | "hex") =>
      createHash(name).update(text).digest(encoding));
  return {
    sha256: (text) => hash("sha256", text, "base64url"),
    hmacSha256: (secret, text) => createHmac("sha256", secret).update(text).digest("base64url"),
    sha1: (text) => hash("sha1", text, "hex"),
  };
}

/** A unique name: that number of random bytes, in base64url. */
export function randomName(bytes: number): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(bytes)));
}

/** How many are drawn at a time: that takes little longer than one. */
const NAMES_AT_ONCE = 256;

/** Makes random names of `bytes` each, a multiple of 3. */
export function randomNames(bytes: number): () => string {
  const length = (bytes / 3) * 4;
  let drawn = "";
  let at = 0;
  return () => {
    if (at === drawn.length) {
      drawn = randomName(bytes * NAMES_AT_ONCE);
      at = 0;
    }
    at += length;
    return drawn.slice(at - length, at);
  };
}

/** Base64 (RFC 4648 §4, and §5 for URLs) without Buffer, which browsers and edge runtimes lack. */

const COMMON = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ALPHABET = `${COMMON}+/`;
export const URL_ALPHABET = `${COMMON}-_`;

const VALUES: ReadonlyMap<string, number> = new Map(
  Array.from(ALPHABET).map((character, value) => [character, value]),
);

export function encodeBase64(bytes: Uint8Array): string {
  return encode(bytes, ALPHABET, "=");
}

/** For URLs and names, without padding. */
export function encodeBase64Url(bytes: Uint8Array): string {
  return encode(bytes, URL_ALPHABET, "");
}

function encode(bytes: Uint8Array, alphabet: string, padding: string): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(i, i + 3);
    const triple = (a << 16) | (b << 8) | c;
    const have = bytes.length - i;
    text += alphabet.charAt(triple >> 18) + alphabet.charAt((triple >> 12) & 63);
    text += have > 1 ? alphabet.charAt((triple >> 6) & 63) : padding;
    text += have > 2 ? alphabet.charAt(triple & 63) : padding;
  }
  return text;
}

/**
 * The bytes, or undefined if the text is not base64. As RFC 9651 §4.2.7 asks, padding may be
 * missing and its bits need not be zero.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = text.length - padding;
  if (digits % 4 === 1 || (padding > 0 && text.length % 4 !== 0)) return undefined;
  const bytes = new Uint8Array(Math.floor((digits * 6) / 8));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits; i += 1) {
    const value = VALUES.get(text.charAt(i));
    if (value === undefined) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at] = (bits >> held) & 0xff;
      at += 1;
    }
  }
  return bytes;
}

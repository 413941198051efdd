/** Tickets: what a caller keeps and brings back, as one text for JSON and URLs. Its content cannot be trusted. */
import { decodeBase64, encodeBase64Url } from "./base64.js";

/** A value of JSON as a ticket. */
export function encodeTicket(value: unknown): string {
  return encodeBase64Url(new TextEncoder().encode(JSON.stringify(value)));
}

/** What a ticket holds; undefined for what is none, or is longer than `mostCharacters`. */
export function decodeTicket(text: unknown, mostCharacters: number): unknown {
  if (typeof text !== "string" || text.length > mostCharacters) return undefined;
  try {
    const bytes = decodeBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

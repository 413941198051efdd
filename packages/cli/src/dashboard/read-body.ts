/** Reads the JSON of requests: no longer than it may be, and an object in any case. */
import { Refusal } from "./answers.js";

export type Fields = Readonly<Record<string, unknown>>;

/** @throws Refusal */
export async function jsonOf(request: Request, mostBytes: number): Promise<Fields> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new Refusal(415, "The body must be JSON", "Content-Type: application/json is missing");
  }
  const bytes = await bytesOf(request, mostBytes);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Refusal(400, "The body is no JSON", "it cannot be parsed");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refusal(400, "The body is no JSON object", "an object is expected");
  }
  return value as Fields;
}

async function bytesOf(request: Request, mostBytes: number): Promise<Uint8Array> {
  const tooLong = new Refusal(413, "The body is too long", `at most ${mostBytes} bytes are read`);
  if (Number(request.headers.get("content-length") ?? 0) > mostBytes) throw tooLong;
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const read = await reader?.read();
    if (read === undefined || read.done) break;
    const chunk = read.value as Uint8Array;
    size += chunk.length;
    if (size > mostBytes) {
      void reader?.cancel().catch(() => {});
      throw tooLong;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** A field that may be left out. @throws Refusal */
export function textIn(fields: Fields, name: string, most: number): string | undefined {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && value.length <= most) return value;
  throw new Refusal(
    400,
    "That is not valid",
    `${name} must be a text of at most ${most} characters`,
  );
}

/** A field that must be there. @throws Refusal */
export function neededTextIn(fields: Fields, name: string, most: number): string {
  const value = textIn(fields, name, most);
  if (value !== undefined && value !== "") return value;
  throw new Refusal(400, "That is not valid", `${name} is missing`);
}

const MOST_ENTRIES = 50;
const LONGEST_ENTRY = 4096;

/** What a request says of itself: texts by name. @throws Refusal */
export function entriesIn(fields: Fields): Readonly<Record<string, string>> | undefined {
  const value = Object.hasOwn(fields, "entries") ? fields["entries"] : undefined;
  if (value === undefined || value === null) return undefined;
  const isObject = typeof value === "object" && !Array.isArray(value);
  const entries = isObject ? Object.entries(value) : [];
  const isGood =
    isObject &&
    entries.length <= MOST_ENTRIES &&
    entries.every(([name, text]) => {
      return typeof text === "string" && text.length + name.length <= LONGEST_ENTRY;
    });
  if (isGood) return Object.fromEntries(entries) as Record<string, string>;
  const detail = `entries must be at most ${MOST_ENTRIES} texts by name`;
  throw new Refusal(400, "That is not valid", detail);
}

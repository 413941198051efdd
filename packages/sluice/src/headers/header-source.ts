/** The header fields of an answer, whatever holds them. */

/** One field's value as the frameworks and fetch give it. */
export type FieldValue =
  | string
  | Uint8Array
  | number
  | readonly (string | Uint8Array)[]
  | null
  | undefined;

/**
 * A `Headers`, Node's `IncomingHttpHeaders`, a plain object, pairs of name and value, or a flat array
 * of names and values in turn, as undici and Node's `rawHeaders` have them (strings or bytes).
 */
export type HeaderSource =
  | Iterable<readonly [string, string]>
  | Iterable<string | Uint8Array | readonly (string | Uint8Array)[]>
  | Readonly<Record<string, FieldValue>>;

/** The fields that are wanted, by name in lower case; several lines of one field are joined by a comma. */
export function pickFields(
  source: unknown,
  isWanted: (name: string) => boolean,
): ReadonlyMap<string, string> {
  return collect(source, isWanted);
}

/** All fields, as above. */
export function pickAll(source: unknown): ReadonlyMap<string, string> {
  return collect(source, () => true);
}

function collect(
  source: unknown,
  isWanted: (name: string) => boolean,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [rawName, value] of pairs(source)) {
    const name = text(rawName)?.toLowerCase();
    if (name === undefined || !isWanted(name)) continue;
    for (const line of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
      const characters = text(line);
      if (characters === undefined) continue;
      const before = found.get(name);
      found.set(name, before === undefined ? characters : `${before}, ${characters}`);
    }
  }
  return found;
}

function* pairs(source: unknown): Iterable<readonly [unknown, unknown]> {
  if (typeof source !== "object" || source === null) return;
  if (!(Symbol.iterator in source)) {
    yield* Object.entries(source);
    return;
  }
  let name: unknown;
  let isNamed = false;
  for (const entry of source as Iterable<unknown>) {
    if (isNamed) {
      yield [name, entry];
      isNamed = false;
    } else if (Array.isArray(entry)) {
      yield entry as unknown as readonly [unknown, unknown];
    } else {
      name = entry;
      isNamed = true;
    }
  }
}

/** Trimmed, as a field's value is; bytes are read as Latin-1, which ASCII is a part of. */
function text(value: unknown): string | undefined {
  if (typeof value === "string") return trim(value);
  if (typeof value === "number") return String(value);
  if (!(value instanceof Uint8Array)) return undefined;
  let characters = "";
  for (const byte of value) characters += String.fromCharCode(byte);
  return trim(characters);
}

/** Spaces and tabs off both ends, in linear time. */
function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start += 1;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Strict reading of what came over the wire: anything else than the format says ends the request before it does anything. */

/** A request that is not of the format. Nothing was done. */
export class BadRequest extends Error {
  /** HTTP's. */
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

function refuse(what: string, allowed: string): never {
  throw new BadRequest(`${what} must be ${allowed}`);
}

export function readObject(what: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  return refuse(what, "an object");
}

export function readList(what: string, value: unknown, most: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= most) return value as readonly unknown[];
  return refuse(what, `a list of at most ${most}`);
}

export function readWhole(what: string, value: unknown, least: number, most: number): number {
  const isRight = Number.isInteger(value) && (value as number) >= least;
  if (isRight && (value as number) <= most) return value as number;
  return refuse(what, `a whole number from ${least} to ${most}`);
}

/** Well-formed, and of at most `mostBytes` bytes of UTF-8. */
export function readString(what: string, value: unknown, mostBytes: number, least = 0): string {
  const isRight =
    typeof value === "string" &&
    value.length >= least &&
    value.length <= mostBytes &&
    value.isWellFormed() &&
    (value.length * 3 <= mostBytes || Buffer.byteLength(value) <= mostBytes);
  if (isRight) return value;
  return refuse(what, `a well-formed text of ${least} to ${mostBytes} bytes`);
}

/** A key and a slot text of 4,096 bytes each, with braces around the one. */
const LONGEST_ID = 8194;

/** Of a key, as stores have it. */
export function readId(what: string, value: unknown): string {
  return readString(what, value, LONGEST_ID, 1);
}

export function readOptional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === null || value === undefined ? undefined : read(value);
}

/** Letters, digits and the separators between the parts of a name: namespaces, policies, semaphores, documents. */
const NAME = /^[\w.~:-]{1,200}$/;

export function readName(what: string, value: unknown): string {
  if (typeof value === "string" && NAME.test(value)) return value;
  return refuse(what, "1 to 200 characters of A-Z a-z 0-9 . _ - ~ :");
}

/** A word in a list, or beside numbers: no spaces and no controls. */
const WORD = /^[\x21-\x7e]{1,128}$/;

export function readWord(what: string, value: unknown): string {
  if (typeof value === "string" && WORD.test(value)) return value;
  return refuse(what, "1 to 128 visible ASCII characters");
}

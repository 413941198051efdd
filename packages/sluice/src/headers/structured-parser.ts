/**
 * Parses structured fields by the algorithms of RFC 9651 §4.2. One pass, no backtracking, so the time
 * is linear in the length of the field.
 */
import { decodeBase64 } from "../core/base64.js";
import {
  type BareItem,
  type Dictionary,
  type InnerList,
  type Item,
  type List,
  type Member,
  NO_PARAMETERS,
  type Parameters,
} from "./structured-field.js";

/** Longer fields are ignored: four times what Node accepts for all header fields together. */
export const MAX_FIELD_CHARACTERS = 65_536;

/** The list of a field, or undefined if the field is malformed. An empty field is an empty list. */
export function parseList(field: string): List | undefined {
  return parse(field, list);
}

/** The dictionary of a field, or undefined if the field is malformed. */
export function parseDictionary(field: string): Dictionary | undefined {
  return parse(field, dictionary);
}

/** The item of a field, or undefined if the field is malformed. */
export function parseItem(field: string): Item | undefined {
  return parse(field, item);
}

/** Thrown and caught within this file. */
class Malformed extends Error {}

/** The parser's position in the text. */
class Cursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** "" at the end. */
  get next(): string {
    return this.text.charAt(this.at);
  }

  get atEnd(): boolean {
    return this.at >= this.text.length;
  }

  take(): string {
    const character = this.next;
    this.at += 1;
    return character;
  }

  /** Steps over `character` if it comes next. */
  skip(character: string): boolean {
    if (this.next !== character) return false;
    this.at += 1;
    return true;
  }

  expect(character: string): void {
    if (!this.skip(character)) throw new Malformed();
  }

  /** Steps over, and returns, the characters of a set. */
  run(isMember: (character: string) => boolean): string {
    const start = this.at;
    while (!this.atEnd && isMember(this.next)) this.at += 1;
    return this.text.slice(start, this.at);
  }

  skipSpaces(): void {
    this.run((character) => character === " ");
  }

  /** OWS: spaces and tabs. */
  skipBlanks(): void {
    this.run((character) => character === " " || character === "\t");
  }
}

function parse<T>(field: string, rule: (cursor: Cursor) => T): T | undefined {
  if (field.length > MAX_FIELD_CHARACTERS) return undefined;
  const cursor = new Cursor(field);
  try {
    cursor.skipSpaces();
    const value = rule(cursor);
    cursor.skipSpaces();
    return cursor.atEnd ? value : undefined;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** §4.2.1 and §4.2.2: members with commas between them. */
function members(cursor: Cursor, readOne: () => void): void {
  while (!cursor.atEnd) {
    readOne();
    cursor.skipBlanks();
    if (cursor.atEnd) return;
    cursor.expect(",");
    cursor.skipBlanks();
    if (cursor.atEnd) throw new Malformed();
  }
}

function list(cursor: Cursor): List {
  const found: Member[] = [];
  members(cursor, () => found.push(member(cursor)));
  return found;
}

function dictionary(cursor: Cursor): Dictionary {
  const found = new Map<string, Member>();
  members(cursor, () => {
    const name = key(cursor);
    const value = cursor.skip("=")
      ? member(cursor)
      : { item: { kind: "boolean", value: true } as const, parameters: parameters(cursor) };
    // The last of several with one name counts, at the position of the first.
    found.set(name, value);
  });
  return found;
}

function member(cursor: Cursor): Member {
  return cursor.next === "(" ? innerList(cursor) : item(cursor);
}

/** §4.2.1.2 */
function innerList(cursor: Cursor): InnerList {
  cursor.expect("(");
  const items: Item[] = [];
  for (;;) {
    cursor.skipSpaces();
    if (cursor.skip(")")) return { items, parameters: parameters(cursor) };
    items.push(item(cursor));
    if (cursor.next !== " " && cursor.next !== ")") throw new Malformed();
  }
}

/** §4.2.3 */
function item(cursor: Cursor): Item {
  return { item: bareItem(cursor), parameters: parameters(cursor) };
}

/** §4.2.3.2 */
function parameters(cursor: Cursor): Parameters {
  if (cursor.next !== ";") return NO_PARAMETERS;
  const found = new Map<string, BareItem>();
  while (cursor.skip(";")) {
    cursor.skipSpaces();
    const name = key(cursor);
    const value: BareItem = cursor.skip("=") ? bareItem(cursor) : { kind: "boolean", value: true };
    found.set(name, value);
  }
  return found;
}

const isDigit = (character: string): boolean => character >= "0" && character <= "9";
const isLower = (character: string): boolean => character >= "a" && character <= "z";
const isLetter = (character: string): boolean => isLower(character.toLowerCase());
const isKeyStart = (character: string): boolean => isLower(character) || character === "*";
const isKeyPart = (character: string): boolean =>
  isKeyStart(character) || isDigit(character) || "_-.".includes(character);
const isTokenStart = (character: string): boolean =>
  character === "*" || (character <= "z" && isLetter(character));
const isTokenPart = (character: string): boolean =>
  isTokenStart(character) || isDigit(character) || "!#$%&'+-.^_`|~:/".includes(character);
const isPrintableAscii = (character: string): boolean => character >= " " && character <= "~";

/** §4.2.3.3 */
function key(cursor: Cursor): string {
  if (cursor.atEnd || !isKeyStart(cursor.next)) throw new Malformed();
  return cursor.run(isKeyPart);
}

/** What a bare item can begin with, besides a digit, and what then follows (§4.2.3.1). */
const BY_FIRST_CHARACTER: Readonly<Record<string, (cursor: Cursor) => BareItem>> = {
  "-": number,
  '"': string,
  ":": byteSequence,
  "?": boolean,
  "@": date,
  "%": displayString,
};

function bareItem(cursor: Cursor): BareItem {
  const first = cursor.next;
  const rule =
    BY_FIRST_CHARACTER[first] ??
    (isDigit(first) ? number : first !== "" && isTokenStart(first) ? token : undefined);
  if (rule === undefined) throw new Malformed();
  return rule(cursor);
}

const MAX_INTEGER_DIGITS = 15;
const MAX_WHOLE_DIGITS = 12;
const MAX_FRACTION_DIGITS = 3;

/** §4.2.4 */
function number(cursor: Cursor): { kind: "integer" | "decimal"; value: number } {
  const sign = cursor.skip("-") ? -1 : 1;
  const whole = cursor.run(isDigit);
  if (whole === "") throw new Malformed();
  if (!cursor.skip(".")) {
    if (whole.length > MAX_INTEGER_DIGITS) throw new Malformed();
    return { kind: "integer", value: signed(sign, Number(whole)) };
  }
  const fraction = cursor.run(isDigit);
  if (whole.length > MAX_WHOLE_DIGITS) throw new Malformed();
  if (fraction === "" || fraction.length > MAX_FRACTION_DIGITS) throw new Malformed();
  return { kind: "decimal", value: signed(sign, Number(`${whole}.${fraction}`)) };
}

/** Never -0. */
function signed(sign: number, magnitude: number): number {
  return magnitude === 0 ? 0 : sign * magnitude;
}

/** §4.2.5 */
function string(cursor: Cursor): BareItem {
  cursor.expect('"');
  let value = "";
  for (;;) {
    value += cursor.run((character) => {
      return isPrintableAscii(character) && character !== '"' && character !== "\\";
    });
    if (cursor.skip('"')) return { kind: "string", value };
    cursor.expect("\\");
    const escaped = cursor.take();
    if (escaped !== '"' && escaped !== "\\") throw new Malformed();
    value += escaped;
  }
}

/** §4.2.6 */
function token(cursor: Cursor): BareItem {
  return { kind: "token", value: cursor.run(isTokenPart) };
}

/** §4.2.7 */
function byteSequence(cursor: Cursor): BareItem {
  cursor.expect(":");
  const value = decodeBase64(cursor.run((character) => character !== ":"));
  if (value === undefined) throw new Malformed();
  cursor.expect(":");
  return { kind: "bytes", value };
}

/** §4.2.8 */
function boolean(cursor: Cursor): BareItem {
  cursor.expect("?");
  const value = cursor.skip("1");
  if (!value) cursor.expect("0");
  return { kind: "boolean", value };
}

/** §4.2.9 */
function date(cursor: Cursor): BareItem {
  cursor.expect("@");
  const { kind, value } = number(cursor);
  if (kind !== "integer") throw new Malformed();
  return { kind: "date", value };
}

const isLowerHex = (character: string): boolean =>
  isDigit(character) || (character >= "a" && character <= "f");

/** §4.2.10: printable ASCII, with "%" and two lower-case hex digits for each other byte of UTF-8. */
function displayString(cursor: Cursor): BareItem {
  cursor.expect("%");
  cursor.expect('"');
  const bytes: number[] = [];
  for (;;) {
    const character = cursor.take();
    if (character === '"') return { kind: "display", value: utf8(bytes) };
    if (character === "" || !isPrintableAscii(character)) throw new Malformed();
    bytes.push(character === "%" ? escapedByte(cursor) : character.charCodeAt(0));
  }
}

function escapedByte(cursor: Cursor): number {
  const digits = [cursor.take(), cursor.take()];
  if (!digits.every(isLowerHex)) throw new Malformed();
  return Number.parseInt(digits.join(""), 16);
}

function utf8(bytes: readonly number[]): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(bytes),
    );
  } catch (cause) {
    throw new Malformed(undefined, { cause });
  }
}

/**
 * Serializes structured fields by the algorithms of RFC 9651 §4.1. What the grammar cannot carry is
 * refused, so no value can end a field early or begin another.
 */
import { InvalidOptionError } from "../core/errors.js";
import { encodeBase64 } from "../core/base64.js";
import {
  type BareItem,
  type Dictionary,
  type Item,
  KEY,
  type List,
  MAX_DECIMAL,
  MAX_INTEGER,
  type Member,
  type Parameters,
  PRINTABLE_ASCII,
  TOKEN,
} from "./structured-field.js";

export function serializeList(list: List): string {
  return list.map(serializeMember).join(", ");
}

export function serializeDictionary(dictionary: Dictionary): string {
  return [...dictionary]
    .map(([name, member]) => {
      if ("item" in member && isTrue(member.item)) {
        return serializeKey(name) + serializeParameters(member.parameters);
      }
      return `${serializeKey(name)}=${serializeMember(member)}`;
    })
    .join(", ");
}

export function serializeItem({ item, parameters }: Item): string {
  return serializeBareItem(item) + serializeParameters(parameters);
}

function serializeMember(member: Member): string {
  if ("item" in member) return serializeItem(member);
  return `(${member.items.map(serializeItem).join(" ")})${serializeParameters(member.parameters)}`;
}

function serializeParameters(parameters: Parameters): string {
  return [...parameters]
    .map(([name, value]) => {
      return `;${serializeKey(name)}${isTrue(value) ? "" : `=${serializeBareItem(value)}`}`;
    })
    .join("");
}

function isTrue(item: BareItem): boolean {
  return item.kind === "boolean" && item.value;
}

function serializeKey(key: string): string {
  return matching("key", key, KEY, "a-z or *, then a-z, 0-9, _ - . *");
}

function serializeBareItem(item: BareItem): string {
  switch (item.kind) {
    case "integer":
      return serializeInteger(item.value);
    case "decimal":
      return serializeDecimal(item.value);
    case "date":
      return `@${serializeInteger(item.value)}`;
    case "string":
      return `"${matching("string", item.value, PRINTABLE_ASCII, "printable ASCII").replaceAll(/["\\]/g, String.raw`\$&`)}"`;
    case "token":
      return matching(
        "token",
        item.value,
        TOKEN,
        "a letter or *, then letters, digits, !#$%&'*+-.^_`|~:/",
      );
    case "display":
      return serializeDisplayString(item.value);
    case "bytes":
      return `:${encodeBase64(item.value)}:`;
    case "boolean":
      return item.value ? "?1" : "?0";
  }
}

function matching(what: string, text: unknown, pattern: RegExp, allowed: string): string {
  if (typeof text === "string" && pattern.test(text)) return text;
  throw new InvalidOptionError(what, text, allowed);
}

function serializeInteger(value: number): string {
  if (!Number.isInteger(value) || Math.abs(value) > MAX_INTEGER) {
    throw new InvalidOptionError("integer", value, "a whole number of at most 15 digits");
  }
  return String(value);
}

const DECIMAL_SCALE = 1000;

/** Three digits after the point at most, the last rounded half to even. */
function serializeDecimal(value: number): string {
  const thousandths = roundHalfEven(Math.abs(value) * DECIMAL_SCALE);
  if (!(thousandths <= MAX_DECIMAL * DECIMAL_SCALE)) {
    throw new InvalidOptionError(
      "decimal",
      value,
      "a number of at most 12 digits before the point",
    );
  }
  const digits = String(thousandths).padStart(4, "0");
  const fraction = digits.slice(-3).replace(/0{1,2}$/, "");
  const sign = value < 0 && thousandths > 0 ? "-" : "";
  return `${sign}${digits.slice(0, -3)}.${fraction}`;
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const over = value - below;
  return over < 0.5 || (over === 0.5 && below % 2 === 0) ? below : below + 1;
}

function serializeDisplayString(text: string): string {
  if (!text.isWellFormed()) {
    throw new InvalidOptionError("display string", text, "a string without lone surrogates");
  }
  let encoded = "";
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    const isPlain = byte >= 0x20 && byte <= 0x7e && character !== "%" && character !== '"';
    encoded += isPlain ? character : `%${byte.toString(16).padStart(2, "0")}`;
  }
  return `%"${encoded}"`;
}

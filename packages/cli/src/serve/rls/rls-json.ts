/** Envoy's `POST /json`: its messages in proto3 JSON. */
import {
  MOST_UINT32,
  RLS_UNITS,
  type RlsAnswer,
  type RlsDescriptor,
  type RlsEntry,
  type RlsRequest,
  RlsRequestError,
  type RlsStatus,
  type RlsUnit,
} from "./rls-messages.js";

type Json = Readonly<Record<string, unknown>>;

/** A field by its JSON name; null is as good as none. */
type Read<T> = (value: unknown, path: string) => T;

/**
 * The request in a JSON value. Fields may have their names of the .proto too, such as `hits_addend`.
 * @throws RlsRequestError
 */
export function readRlsJson(value: unknown): RlsRequest {
  const field = fieldsIn(value, "the request", ["domain", "descriptors", "hitsAddend"]);
  return {
    domain: field("domain", textIn) ?? "",
    descriptors: field("descriptors", listOf(descriptorIn)) ?? [],
    hitsAddend: field("hitsAddend", uintIn(32)) ?? 0,
  };
}

/** The answer as a JSON value; defaults are left out, as protobuf does. */
export function rlsJson(answer: RlsAnswer): Json {
  const { overallCode, statuses, responseHeaders, rawBody, metadata } = answer;
  return {
    overallCode,
    statuses: statuses.map(statusJson),
    ...(responseHeaders.length > 0 && {
      responseHeadersToAdd: responseHeaders.map(([key, value]) => ({ key, value })),
    }),
    ...(rawBody !== "" && { rawBody: Buffer.from(rawBody).toString("base64") }),
    ...(metadata !== undefined && { dynamicMetadata: metadata }),
  };
}

function statusJson({ code, currentLimit, limitRemaining, resetAfterMs }: RlsStatus): Json {
  return {
    code,
    ...(currentLimit !== undefined && { currentLimit: limitJson(currentLimit) }),
    ...(limitRemaining > 0 && { limitRemaining }),
    ...(resetAfterMs !== undefined && { durationUntilReset: durationJson(resetAfterMs) }),
  };
}

function limitJson({ requestsPerUnit, unit, name }: NonNullable<RlsStatus["currentLimit"]>): Json {
  return {
    ...(requestsPerUnit > 0 && { requestsPerUnit }),
    ...(unit !== "UNKNOWN" && { unit }),
    name,
  };
}

function durationJson(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${(ms / 1000).toFixed(3)}s`;
}

function descriptorIn(value: unknown, path: string): RlsDescriptor {
  const field = fieldsIn(value, path, ["entries", "limit", "hitsAddend", "isNegativeHits"]);
  return {
    entries: field("entries", listOf(entryIn)) ?? [],
    limit: field("limit", limitIn),
    hitsAddend: field("hitsAddend", uintIn(64)),
    isNegativeHits: field("isNegativeHits", flagIn) ?? false,
  };
}

function entryIn(value: unknown, path: string): RlsEntry {
  const field = fieldsIn(value, path, ["key", "value"]);
  return { key: field("key", textIn) ?? "", value: field("value", textIn) ?? "" };
}

function limitIn(value: unknown, path: string): RlsDescriptor["limit"] {
  const field = fieldsIn(value, path, ["requestsPerUnit", "unit"]);
  return {
    requestsPerUnit: field("requestsPerUnit", uintIn(32)) ?? 0,
    unit: field("unit", unitIn) ?? "UNKNOWN",
  };
}

function unitIn(value: unknown, path: string): RlsUnit {
  const found = RLS_UNITS.find((name, number) => value === name || value === number);
  return found ?? refuse(path, `one of ${RLS_UNITS.join(", ")}`);
}

function textIn(value: unknown, path: string): string {
  return typeof value === "string" ? value : refuse(path, "a text");
}

function flagIn(value: unknown, path: string): boolean {
  return typeof value === "boolean" ? value : refuse(path, "true or false");
}

const DIGITS = /^\d{1,20}$/;

/** A whole number, or its digits. */
function uintIn(bits: 32 | 64): Read<number> {
  // JavaScript has no number for the largest one of 64 bits.
  const most = bits === 32 ? MOST_UINT32 : 2 ** 64;
  return (value, path) => {
    const number = typeof value === "string" && DIGITS.test(value) ? Number(value) : value;
    const isWhole = typeof number === "number" && Number.isInteger(number);
    if (isWhole && number >= 0 && number <= most) return number;
    return refuse(path, `a whole number of ${bits} bits`);
  };
}

function listOf<T>(read: Read<T>): Read<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) return refuse(path, "a list");
    return value.map((item, i) => read(item, `${path}[${i}]`));
  };
}

/** Reads fields by name, after it has refused what is no field. */
function fieldsIn(
  value: unknown,
  path: string,
  names: readonly string[],
): <T>(name: string, read: Read<T>) => T | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse(path, "an object");
  }
  const given = new Map<string, unknown>();
  for (const [key, field] of Object.entries(value)) {
    const name = names.find((each) => each === key || snake(each) === key);
    if (name === undefined || given.has(name)) {
      return refuse(path, `an object with ${names.join(", ")}, each once`);
    }
    given.set(name, field);
  }
  return (name, read) => {
    const field = given.get(name);
    return field === undefined || field === null ? undefined : read(field, name);
  };
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function refuse(path: string, allowed: string): never {
  throw new RlsRequestError(`${path} must be ${allowed}`);
}

/** Reads what a line of a log holds, and says what is wrong with it. */
import { parsePolicy } from "../algorithms/registry.js";
import { toThousandths } from "../core/amount.js";
import { jsonText } from "../core/shown.js";
import { type LogRecord, REASONS, SOURCES } from "./record.js";
import { type LoggedRequest, REQUEST_VERBS } from "./request-record.js";

export type LineObject = Readonly<Record<string, unknown>>;

/** Makes the error that names the file and the line. */
type ErrorAt = (message: string, cause?: unknown) => Error;

/** Reads the fields of lines; what is not as it should be throws. */
export class LineFields {
  readonly #error: ErrorAt;

  constructor(error: ErrorAt) {
    this.#error = error;
  }

  /** Undefined if the line is not JSON. */
  tryParse(line: string): LineObject | undefined {
    try {
      return this.#object(JSON.parse(line) as unknown, line);
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  parse(line: string): LineObject {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw this.#error(`not a line of JSON (cut short?): ${excerpt(line)}`, error);
    }
    return this.#object(value, line);
  }

  #object(value: unknown, line: string): LineObject {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as LineObject;
    }
    throw this.#error(`a line is one JSON object, not ${excerpt(line)}`);
  }

  /** A record of one of these verbs; `file` and `line` are its position. */
  record(
    fields: LineObject,
    verbs: readonly LogRecord["verb"][],
    { file, line }: { readonly file: number; readonly line: number },
  ): LogRecord {
    return {
      atUs: this.whole(fields, "atUs", "whole microseconds since 1970"),
      readyAtUs:
        fields["readyAtUs"] === undefined
          ? undefined
          : this.whole(fields, "readyAtUs", "whole microseconds since 1970"),
      key: this.text(fields, "key"),
      verb: fields["verb"] === undefined ? "consume" : this.choice(fields, "verb", verbs),
      maxWaitUs:
        fields["maxWaitUs"] === undefined
          ? undefined
          : this.whole(fields, "maxWaitUs", "whole microseconds"),
      cost: this.units(fields, "cost"),
      allowed: this.#allowed(fields),
      granted: this.units(fields, "granted"),
      remaining:
        fields["remaining"] === null ? Number.POSITIVE_INFINITY : this.units(fields, "remaining"),
      retryAfterMs:
        fields["retryAfterMs"] === null
          ? Number.POSITIVE_INFINITY
          : this.whole(fields, "retryAfterMs", "whole milliseconds, or null for never"),
      resetAfterMs:
        fields["resetAfterMs"] === null
          ? Number.POSITIVE_INFINITY
          : this.whole(fields, "resetAfterMs", "whole milliseconds, or null for never"),
      reason: this.choice(fields, "reason", REASONS),
      source: this.#source(fields),
      file,
      line,
    };
  }

  /** What a set of rules was asked: its `key` is the text of `RequestsKey`. */
  requests(
    fields: LineObject,
    { file, line }: { readonly file: number; readonly line: number },
  ): LogRecord {
    const { asked, secret, denied } = fields;
    const isList = Array.isArray(asked) && asked.length > 0 && asked.every(isRequest);
    if (!isList) throw this.#unexpected(fields, "asked", "a list of requests");
    const key = [this.text(fields, "limiter"), secret === true, asked] satisfies RequestsKey;
    const rules = asked.flatMap(({ met }) => Object.keys(met));
    const decider = rules.indexOf(String(denied));
    return {
      atUs: this.whole(fields, "atUs", "whole microseconds since 1970"),
      readyAtUs: undefined,
      key: JSON.stringify(key),
      verb: fields["verb"] === undefined ? "consume" : this.choice(fields, "verb", REQUEST_VERBS),
      maxWaitUs:
        fields["maxWaitUs"] === undefined
          ? undefined
          : this.whole(fields, "maxWaitUs", "whole microseconds"),
      cost: 0,
      allowed: this.#allowed(fields),
      granted: 0,
      remaining: 0,
      retryAfterMs: 0,
      resetAfterMs: 0,
      reason: this.choice(fields, "reason", REASONS),
      source: this.#source(fields),
      ...(decider >= 0 && { decider }),
      file,
      line,
    };
  }

  /** Logs of 0.1 call it a lease. */
  #source(fields: LineObject): LogRecord["source"] {
    return fields["source"] === "lease" ? "prefetch" : this.choice(fields, "source", SOURCES);
  }

  text(fields: LineObject, name: string): string {
    const value = fields[name];
    if (typeof value === "string" && value !== "") return value;
    throw this.#unexpected(fields, name, "a text");
  }

  #allowed(fields: LineObject): boolean {
    const value = fields["allowed"];
    if (typeof value === "boolean") return value;
    throw this.#unexpected(fields, "allowed", "true or false");
  }

  whole(fields: LineObject, name: string, expected: string): number {
    const value = fields[name];
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw this.#unexpected(fields, name, expected);
  }

  share(fields: LineObject, name: string): number {
    const value = fields[name];
    if (typeof value === "number" && value >= 0 && value <= 1) return value;
    throw this.#unexpected(fields, name, "a share from 0 to 1");
  }

  texts(fields: LineObject, name: string): readonly string[] {
    const value = fields[name];
    if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
    throw this.#unexpected(fields, name, "a list of texts");
  }

  units(fields: LineObject, name: string): number {
    try {
      toThousandths(name, fields[name]);
      return fields[name] as number;
    } catch {
      throw this.#unexpected(fields, name, "units: a number ≥ 0 in whole thousandths");
    }
  }

  choice<const T extends string>(fields: LineObject, name: string, choices: readonly T[]): T {
    const choice = choices.find((known) => known === fields[name]);
    if (choice !== undefined) return choice;
    throw this.#unexpected(fields, name, `one of ${choices.join(", ")}`);
  }

  #unexpected(fields: LineObject, name: string, expected: string): Error {
    const message = Object.hasOwn(fields, name)
      ? `"${name}" is ${show(fields[name])}; expected ${expected}`
      : `the record has no "${name}" (${expected})`;
    return this.#error(message);
  }
}

/** The limiter, whether ids are made with a secret, and what was asked: as JSON the key of a record of requests. */
export type RequestsKey = readonly [
  limiter: string,
  isSecret: boolean,
  asked: readonly LoggedRequest[],
];

/** As far as a mistake would throw later. */
function isRequest(value: unknown): value is LoggedRequest {
  if (!isObject(value)) return false;
  const { plan = "", rule = "", slot = "", policy, after } = value;
  return (
    isSaid(value) &&
    (after === undefined || (isObject(after) && isSaid(after))) &&
    [plan, rule, slot].every(isText) &&
    (policy === undefined || isPolicy(policy))
  );
}

/** What a request said, and what it was charged. */
function isSaid({ entries = {}, ids = {}, cost = 1, met }: LineObject): boolean {
  return (
    [entries, ids].every((each) => isObject(each) && Object.values(each).every(isText)) &&
    isUnits(cost) &&
    isObject(met) &&
    Object.values(met).every(isUnits)
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isUnits(value: unknown): boolean {
  try {
    toThousandths("cost", value);
    return true;
  } catch {
    return false;
  }
}

function isObject(value: unknown): value is LineObject {
  return typeof value === "object" && value !== null;
}

function isPolicy(value: unknown): boolean {
  try {
    parsePolicy(value);
    return true;
  } catch {
    return false;
  }
}

const EXCERPT_CHARACTERS = 60;

/** Part of a line, quoted, so that control characters cannot reach the terminal. */
function excerpt(line: string): string {
  return line.length > EXCERPT_CHARACTERS
    ? `${JSON.stringify(line.slice(0, EXCERPT_CHARACTERS))}…`
    : JSON.stringify(line);
}

export function show(value: unknown): string {
  return excerpt(jsonText(value)).slice(1, -1).replaceAll('\\"', '"');
}

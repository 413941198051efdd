/** The records of a log, in columns. */
import { Column, NONE, orUndefined, type Rows, rowsByGroup } from "./columns.js";
import { LOGGED_VERBS, type LogRecord, REASONS, SOURCES } from "./record.js";

/** A file's number and a line in one number that is exact. */
const LINES_A_FILE = 2 ** 32;

/** Every field of a record that is a number, or is stored as one. */
type Field = Exclude<keyof LogRecord, "file" | "line"> | "place";

const FIELDS: readonly Field[] = [
  "atUs",
  "readyAtUs",
  "key",
  "verb",
  "maxWaitUs",
  "cost",
  "allowed",
  "granted",
  "remaining",
  "retryAfterMs",
  "resetAfterMs",
  "reason",
  "source",
  "rule",
  "decider",
  "place",
];

export class Records implements Rows<LogRecord>, Iterable<LogRecord> {
  readonly #columns = Object.fromEntries(FIELDS.map((field) => [field, new Column()])) as Readonly<
    Record<Field, Column>
  >;
  readonly #keys: string[] = [];
  readonly #numbers = new Map<string, number>();

  get length(): number {
    return this.#columns.atUs.length;
  }

  /** How many keys they are of. */
  get keys(): number {
    return this.#keys.length;
  }

  push(record: LogRecord): void {
    const { key, verb, allowed, reason, source, file, line, readyAtUs, maxWaitUs } = record;
    const { atUs, cost, granted, remaining, retryAfterMs, resetAfterMs } = record;
    const row: Record<Field, number> = {
      atUs,
      readyAtUs: readyAtUs ?? NONE,
      key: this.#numberOf(key),
      verb: LOGGED_VERBS.indexOf(verb),
      maxWaitUs: maxWaitUs ?? NONE,
      cost,
      allowed: Number(allowed),
      granted,
      remaining,
      retryAfterMs,
      resetAfterMs,
      reason: REASONS.indexOf(reason),
      source: SOURCES.indexOf(source),
      rule: record.rule ?? NONE,
      decider: record.decider ?? NONE,
      place: file * LINES_A_FILE + line,
    };
    for (const field of FIELDS) this.#columns[field].push(row[field]);
  }

  *[Symbol.iterator](): Generator<LogRecord> {
    for (let row = 0; row < this.length; row++) yield this.at(row) as LogRecord;
  }

  at(row: number): LogRecord | undefined {
    if (row >= this.length) return undefined;
    const columns = this.#columns;
    const place = columns.place.get(row);
    return {
      atUs: columns.atUs.get(row),
      readyAtUs: orUndefined(columns.readyAtUs.get(row)),
      key: this.#keys[columns.key.get(row)] as string,
      verb: LOGGED_VERBS[columns.verb.get(row)] as LogRecord["verb"],
      maxWaitUs: orUndefined(columns.maxWaitUs.get(row)),
      cost: columns.cost.get(row),
      allowed: columns.allowed.get(row) === 1,
      granted: columns.granted.get(row),
      remaining: columns.remaining.get(row),
      retryAfterMs: columns.retryAfterMs.get(row),
      resetAfterMs: columns.resetAfterMs.get(row),
      reason: REASONS[columns.reason.get(row)] as LogRecord["reason"],
      source: SOURCES[columns.source.get(row)] as LogRecord["source"],
      ...(Number.isNaN(columns.rule.get(row)) ? {} : { rule: columns.rule.get(row) }),
      ...(Number.isNaN(columns.decider.get(row)) ? {} : { decider: columns.decider.get(row) }),
      file: Math.floor(place / LINES_A_FILE),
      line: place % LINES_A_FILE,
    };
  }

  /** The number of a record's key, counted from 0. */
  keyNumber(row: number): number {
    return this.#columns.key.get(row);
  }

  /** The key of a number. */
  keyOf(number: number): string {
    return this.#keys[number] as string;
  }

  /** The records of each key, those with the most first. */
  *byKey(): Generator<{ readonly key: string; readonly records: Rows<LogRecord> }> {
    const { key } = this.#columns;
    for (const { group, rows } of rowsByGroup(this.length, this.keys, (row) => key.get(row))) {
      const at = (i: number): LogRecord | undefined => this.at(rows[i] ?? this.length);
      yield { key: this.#keys[group] as string, records: { length: rows.length, at } };
    }
  }

  /** Each line that is parsed brings a copy of its key; one a key is kept. */
  #numberOf(key: string): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#keys.push(key) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

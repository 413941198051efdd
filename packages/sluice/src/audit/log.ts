/** Reads the logs of limiters, and says by file and line what is wrong with them. */
import type { Policy } from "../algorithms/registry.js";
import { rulesOf } from "../algorithms/rule.js";
import { SluiceError } from "../core/errors.js";
import { type LineObject, LineFields, show } from "./line-fields.js";
import { type ByteSource, LineTooLongError, linesOf } from "./lines.js";
import { FORMAT, TAKING_VERBS } from "./record.js";
import { Records } from "./records.js";

/** Everything that was read. Every header agreed on `policies`. */
export interface Log {
  readonly files: readonly string[];
  readonly policies: readonly Policy[];
  readonly records: Records;
  /** How many calls got no answer. */
  readonly failedCalls: number;
}

/** A named input: the name is what errors call it. */
export interface LogSource {
  /** What reports call it, such as a path. */
  readonly name: string;
  /** Called when its turn comes, so that no more than one is open. */
  readonly open: () => ByteSource;
}

/** A log that cannot be read; the message begins with the file and the line. */
export class LogError extends Error {
  /** The error's class. */
  override readonly name = "LogError";
}

/** A log of more keys is refused: each key is a text in V8's heap. */
export const MOST_KEYS = 1_000_000;
export const TOO_MANY_KEYS = `there are more than ${MOST_KEYS} keys; audit them in parts, all records of a key together`;

/**
 * Reads logs, one after another, as a stream: beyond the records themselves memory stays small. Those take some 110
 * bytes each, outside V8's heap.
 *
 * Logs may have been concatenated, so headers may come again anywhere, but must agree. With
 * `policies` given, that is what the records are audited against and headers are skipped over.
 */
export async function readLogs(
  sources: Iterable<LogSource>,
  policies?: readonly Policy[],
): Promise<Log> {
  const reader = new LogReader(policies);
  for (const source of sources) await reader.read(source);
  return reader.finish();
}

class LogReader {
  readonly #files: string[] = [];
  readonly #records = new Records();
  #failedCalls = 0;
  readonly #overridden: boolean;
  #policies: readonly Policy[] | undefined;
  readonly #fields = new LineFields((message, cause) => this.#error(message, cause));
  #policyText = "";
  #policyFrom = "";
  #line = 0;

  constructor(policies: readonly Policy[] | undefined) {
    this.#overridden = policies !== undefined;
    this.#policies = policies;
  }

  async read({ name, open }: LogSource): Promise<void> {
    this.#files.push(name);
    this.#line = 0;
    try {
      for await (const lines of linesOf(open())) {
        for (const line of lines) {
          this.#line += 1;
          if (line !== "") this.#accept(line);
        }
      }
    } catch (error) {
      if (error instanceof LogError) throw error;
      if (error instanceof LineTooLongError) {
        this.#line += 1;
        throw this.#error(`${error.message}; this is not a sluice log`);
      }
      throw new LogError(`${name}: cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  finish(): Log {
    if (this.#policies === undefined) {
      throw new LogError(`${this.#files.join(", ")}: empty: there is no header and no record`);
    }
    return {
      files: this.#files,
      policies: this.#policies,
      records: this.#records,
      failedCalls: this.#failedCalls,
    };
  }

  #accept(line: string): void {
    const value = this.#fields.parse(line);
    if ("sluice" in value) this.#header(value);
    else if (this.#policies === undefined) {
      throw this.#error(
        'a log begins with its header, {"sluice":1,"policy":…}; this is a record (or give --policy)',
      );
    } else if ("failed" in value) {
      this.#checkFailedCall(value);
      this.#failedCalls += 1;
    } else this.#addRecord(value);
  }

  #header(fields: LineObject): void {
    if (fields["sluice"] !== FORMAT) {
      throw this.#error(
        `log format ${show(fields["sluice"])} is not known; this version reads format ${FORMAT}`,
      );
    }
    if (this.#overridden) return;
    const policies = this.#policiesOf(fields["policy"]);
    const text = JSON.stringify(policies);
    if (this.#policies === undefined) {
      this.#policies = policies;
      this.#policyText = text;
      this.#policyFrom = this.#place();
    } else if (text !== this.#policyText) {
      throw this.#error(
        `the policy differs from the one at ${this.#policyFrom}; logs of different policies cannot be audited together` +
          `\n  ${this.#policyFrom}: ${this.#policyText}\n  ${this.#place()}: ${text}`,
      );
    }
  }

  #policiesOf(value: unknown): readonly Policy[] {
    try {
      return parseLogged(value);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      throw this.#error(`the header's policy is not valid: ${error.message}`, error);
    }
  }

  #addRecord(fields: LineObject): void {
    const place = { file: this.#files.length - 1, line: this.#line };
    const record = this.#fields.record(fields, TAKING_VERBS, place);
    const decider = this.#policies?.findIndex(({ name }) => name === fields["policy"]) ?? -1;
    this.#records.push(decider < 0 ? record : { ...record, decider });
    if (this.#records.keys <= MOST_KEYS) return;
    throw this.#error(TOO_MANY_KEYS);
  }

  #checkFailedCall(fields: LineObject): void {
    this.#fields.text(fields, "failed");
    this.#fields.text(fields, "key");
    this.#fields.units(fields, "cost");
  }

  #error(message: string, cause?: unknown): LogError {
    return new LogError(`${this.#place()}: ${message}`, { cause });
  }

  #place(): string {
    return `${this.#files.at(-1) ?? ""}:${this.#line}`;
  }
}

/** One policy or several, from plain JSON. */
export function parseLogged(value: unknown): readonly Policy[] {
  return rulesOf(value).map(({ policy }) => policy);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

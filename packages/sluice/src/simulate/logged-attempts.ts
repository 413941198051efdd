/** Reads logs of either kind for a simulation: what was asked of which key, when, and what was answered. */
import { type AttemptPolicies, readAttempts } from "../audit/attempts-read.js";
import { LogError, type LogSource, readLogs } from "../audit/log.js";
import type { LogRecord } from "../audit/record.js";
import { Records } from "../audit/records.js";
import { peekKind } from "../audit/semaphore-log.js";
import { InvalidOptionError } from "../core/errors.js";
import { hasField, withoutText } from "../core/shown.js";

/** What logs say of the requests of sets of rules. */
export interface LoggedRequests {
  /** How many were asked, alone or together with others. */
  readonly count: number;
  /** Entries of which some have an id alone. */
  readonly hidden: ReadonlySet<string>;
  /** Whether some of the ids were made with a secret, so that no text can be compared with them. */
  readonly isSecret: boolean;
}

/** Logs as a simulation reads them: those of `sluice exercise`, or of `sluice/log`. Made by `readLoggedAttempts`. */
export interface LoggedAttempts {
  /** The names of their sources. */
  readonly files: readonly string[];
  /** What decided them. */
  readonly rules: readonly AttemptPolicies[];
  /** Requests of sets with their entries; undefined if the logs have none. */
  readonly requests?: LoggedRequests | undefined;
  /** The share of keys that is in the logs: 0 to 1. */
  readonly sample: number;
  /** Calls without an answer, lines that the logs say are missing, and runs of processes without their beginning or end. */
  readonly failedCalls: number;
  /** Lines that the writers could not keep. */
  readonly lost: number;
  /** Logs that end without a last line. */
  readonly incomplete: number;
}

/** The same with what was read. */
export interface ReadAttempts extends LoggedAttempts {
  /** Keys of one limiter have one number, whatever its policies were. */
  readonly records: Records;
  /** What sets of rules were asked; their rules' own records are `ofSet`. */
  readonly asked: Records;
}

/** What was read, of a log that a user passes. */
export function readOf(log: LoggedAttempts): ReadAttempts {
  if (hasField(log, "records")) return log as ReadAttempts;
  throw new InvalidOptionError("log", withoutText(log), "what readLoggedAttempts resolved to");
}

/**
 * Reads logs of attempts into memory: a few dozen bytes an attempt, and each key's id once.
 *
 * @param sources logs of one kind, those that `sluice exercise --log` wrote or those of `sluice/log`, of any number of
 * processes, in any order
 * @throws LogError for what is no log of attempts; its message names the source and the line.
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { headerLine, recordLine } from "sluice/audit";
 * import { readLoggedAttempts } from "sluice/simulate";
 * const policy = tokenBucket({ limit: 2, period: "1h" });
 * const limiter = new RateLimiter({ policy });
 * let text = headerLine([policy]);
 * for (let call = 0; call < 3; call++) text += recordLine({ key: "k", cost: 1 }, await limiter.consume("k"));
 * const source = { name: "a.jsonl", open: () => (async function* () { yield new TextEncoder().encode(text); })() };
 * const log = await readLoggedAttempts([source]);
 * console.log(log.files); // [ 'a.jsonl' ]
 */
export async function readLoggedAttempts(sources: readonly LogSource[]): Promise<LoggedAttempts> {
  return readAll(sources);
}

async function readAll(sources: readonly LogSource[]): Promise<ReadAttempts> {
  const [first, ...others] = sources;
  if (first === undefined) throw new LogError("there is no log to replay");
  const { kind, source } = await peekKind(first);
  if (kind === "semaphore") {
    throw new LogError(`${first.name}: this is a log of a semaphore, which has no policies`);
  }
  if (kind === "limiter") {
    const { files, records, policies, failedCalls } = await readLogs([source, ...others]);
    const rules = [{ limiter: "", store: undefined, policies, ofSet: false }];
    const asked = new Records();
    return { files, records, asked, rules, sample: 1, failedCalls, lost: 0, incomplete: 0 };
  }
  const read = await readAttempts([source, ...others], placeOf, { withRequests: true });
  const { files, records, asked, rules, sample, incomplete, hidden, isSecret } = read;
  const requests = asked.length > 0 ? { count: asked.length, hidden, isSecret } : undefined;
  const lost = read.lost + read.torn;
  return { files, records, asked, requests, rules, sample, failedCalls: 0, lost, incomplete };
}

/** Whose keys these are: a limiter's, and in the memory of a process that one's. */
function placeOf({ limiter, store }: AttemptPolicies): string {
  return store === undefined ? limiter : `${limiter}@${store}`;
}

/** What decided a record; undefined if the log does not say. */
export function decidedBy(
  { rules }: Pick<LoggedAttempts, "rules">,
  { rule }: LogRecord,
): AttemptPolicies | undefined {
  // A log of `sluice exercise` has one limiter, which its lines do not name.
  if (rule === undefined) return rules[0]?.limiter === "" ? rules[0] : undefined;
  return rules[rule];
}

/** The id of a key, as logged. */
export function idOf(key: string): string {
  return key.slice(key.lastIndexOf(" ") + 1);
}

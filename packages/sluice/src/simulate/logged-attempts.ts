/** Reads logs of either kind for a simulation: what was asked of which key, when, and what was answered. */
import { type AttemptPolicies, readAttempts } from "../audit/attempts-read.js";
import { LogError, type LogSource, readLogs } from "../audit/log.js";
import type { LogRecord } from "../audit/record.js";
import type { Records } from "../audit/records.js";
import { peekKind } from "../audit/semaphore-log.js";

/** Logs as a simulation reads them: those of `sluice exercise`, or of `sluice/log`. */
export interface LoggedAttempts {
  readonly files: readonly string[];
  /** Keys of one limiter have one number, whatever its policies were. */
  readonly records: Records;
  /** What decided them. */
  readonly rules: readonly AttemptPolicies[];
  /** The share of keys that is in the logs: 0 to 1. */
  readonly sample: number;
  /** Calls without an answer, lines that the logs say are missing, and runs of processes without their beginning or end. */
  readonly failedCalls: number;
  readonly lost: number;
  readonly incomplete: number;
}

/** @throws LogError for what is no log of attempts; its message names the source and the line. */
export async function readLoggedAttempts(sources: readonly LogSource[]): Promise<LoggedAttempts> {
  const [first, ...others] = sources;
  if (first === undefined) throw new LogError("there is no log to replay");
  const { kind, source } = await peekKind(first);
  if (kind === "semaphore") {
    throw new LogError(`${first.name}: this is a log of a semaphore, which has no policies`);
  }
  if (kind === "limiter") {
    const { files, records, policies, failedCalls } = await readLogs([source, ...others]);
    const rules = [{ limiter: "", store: undefined, policies }];
    return { files, records, rules, sample: 1, failedCalls, lost: 0, incomplete: 0 };
  }
  const read = await readAttempts([source, ...others], placeOf);
  const { files, records, rules, sample, incomplete } = read;
  return { files, records, rules, sample, failedCalls: 0, lost: read.lost + read.torn, incomplete };
}

/** Whose keys these are: a limiter's, and in the memory of a process that one's. */
function placeOf({ limiter, store }: AttemptPolicies): string {
  return store === undefined ? limiter : `${limiter}@${store}`;
}

/** What decided a record; undefined where the log does not know. */
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

/** Audits logs: reads them, proves or refutes the bounds of each key, and replays its decisions. */
import { createReadStream } from "node:fs";
import type { Policy } from "../algorithms/registry.js";
import { rulesOf } from "../algorithms/rule.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkFunction, checkList, checkObject } from "../core/options.js";
import { InWords } from "../core/shown.js";
import { type BoundReport, checkBound } from "./bound.js";
import type { Rows } from "./columns.js";
import { type Log, LogError, type LogSource, readLogs } from "./log.js";
import type { LogRecord } from "./record.js";
import { type ReplayReport, replay } from "./replay.js";
import { type AttemptAuditReport, auditAttempts } from "./attempt-audit.js";
import { readAttempts } from "./attempts-read.js";
import { auditSemaphore, type SemaphoreAuditReport } from "./semaphore-audit.js";
import { peekKind, readSemaphoreLogs } from "./semaphore-log.js";
import { type Tally, TallyCounter } from "./tally.js";

/** What the audit found of one key. */
export interface KeyReport {
  /** The key's id, as logged. */
  readonly key: string;
  /** Whether every promise held. */
  readonly passed: boolean;
  /** Decisions, counted. */
  readonly tally: Tally;
  /** One report a policy, in the policies' order. */
  readonly bounds: readonly BoundReport[];
  /** How its decisions compare with the kernel's. */
  readonly replay: ReplayReport;
}

/** The verdict on a log, and everything it rests on. */
export interface AuditReport {
  /** Whether every bound holds and every decision is the kernel's. */
  readonly passed: boolean;
  /** The logs that were read. */
  readonly files: readonly string[];
  /** The policies that the logs name. */
  readonly policies: readonly Policy[];
  /** Decisions, counted. */
  readonly tally: Tally;
  /** Calls that got no answer; units they took are in no record. */
  readonly failedCalls: number;
  /** The store's time of the first record: µs since the epoch. */
  readonly fromUs: number;
  /** The store's time of the last record: µs since the epoch. */
  readonly toUs: number;
  /** How many keys were audited. */
  readonly keyCount: number;
  /** How many of them have a decision that breaks a promise. */
  readonly refutedCount: number;
  /** Refuted keys first, then those with the most records; at most 10,000 of them. */
  readonly keys: readonly KeyReport[];
}

/** A report is some kilobytes: of a million keys they would fill the memory. */
const MOST_REPORTS = 10_000;

/**
 * Audits what was read: for each key, proves or refutes every policy's bound over every interval,
 * and replays every decision through the pure kernel.
 *
 * @throws LogError if there is no decision to audit: that would prove nothing.
 */
export function audit(log: Log): AuditReport {
  const first = log.records.at(0);
  if (first === undefined) {
    const calls = log.failedCalls;
    const reason = calls === 0 ? "" : `; all ${calls} calls failed`;
    throw new LogError(`${log.files.join(", ")}: there is no decision to audit${reason}`);
  }
  let fromUs = first.atUs;
  let toUs = first.atUs;
  for (const { atUs } of log.records) {
    fromUs = Math.min(fromUs, atUs);
    toUs = Math.max(toUs, atUs);
  }
  const [refuted, proven]: [KeyReport[], KeyReport[]] = [[], []];
  let refutedCount = 0;
  for (const { key, records } of log.records.byKey()) {
    const report = auditKey(log.policies, key, records);
    refutedCount += Number(!report.passed);
    const reports = report.passed ? proven : refuted;
    if (reports.length < MOST_REPORTS) reports.push(report);
  }
  return {
    passed: refutedCount === 0,
    files: log.files,
    policies: log.policies,
    tally: tallyOf(log.records),
    failedCalls: log.failedCalls,
    fromUs,
    toUs,
    keyCount: log.records.keys,
    refutedCount,
    keys: [...refuted, ...proven].slice(0, MOST_REPORTS),
  };
}

/** A report, and of what it is. */
export type LogAudit =
  | {
      /** What the logs are of. */
      readonly of: "limiter";
      /** What the audit found. */
      readonly report: AuditReport;
    }
  | { readonly of: "semaphore"; readonly report: SemaphoreAuditReport }
  | { readonly of: "attempts"; readonly report: AttemptAuditReport };

/**
 * Audits logs together, read as streams one after another: of limiters, of semaphores, or of attempts as `sluice/log`
 * writes them, which the first line of the first one tells. For a limiter it proves or refutes the bound of every
 * policy over every interval, and replays every decision; for a semaphore, that no more than the limit was ever held,
 * and that permits were granted first come, first served.
 *
 * @param policies What to audit a limiter's log against, instead of the policies in it.
 * @throws LogError for what is no log, or holds nothing to audit; its message names the source and the line.
 * @throws InvalidOptionError
 * @example
 * import { gcra, RateLimiter } from "sluice";
 * import { auditLogs, headerLine, keyId, recordLine } from "sluice/audit";
 * const policy = gcra({ limit: 5, period: "1s" });
 * const limiter = new RateLimiter({ policy });
 * let log = headerLine([policy]);
 * for (let i = 0; i < 3; i++) {
 *   log += recordLine({ key: keyId("user:42"), cost: 1 }, await limiter.consume("user:42"));
 * }
 * async function* open() {
 *   yield log;
 * }
 * const { report } = await auditLogs([{ name: "memory", open }]);
 * console.log(report.passed); // true
 */
export async function auditLogs(
  sources: readonly LogSource[],
  policies?: readonly Policy[],
): Promise<LogAudit> {
  checkList("sources", sources);
  for (const [i, source] of sources.entries()) {
    checkObject(`sources[${i}]`, source);
    checkFunction(`sources[${i}].open`, source.open);
  }
  if (policies !== undefined) rulesOf(policies, "policies");
  const [first, ...others] = sources;
  if (first === undefined) throw new LogError("there is no log to audit");
  const { kind, source } = await peekKind(first);
  if (kind === "attempts") {
    if (policies !== undefined) {
      const allowed = "none: a log of attempts says what decided each of them";
      throw new InvalidOptionError("policies", new InWords("policies"), allowed);
    }
    return { of: "attempts", report: auditAttempts(await readAttempts([source, ...others])) };
  }
  if (kind === "semaphore") {
    const log = await readSemaphoreLogs([source, ...others]);
    return { of: "semaphore", report: auditSemaphore(log) };
  }
  return { of: "limiter", report: audit(await readLogs([source, ...others], policies)) };
}

/**
 * Audits the logs of limiters in files; see `auditLogs`.
 *
 * @throws LogError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { auditFiles, headerLine, recordLine } from "sluice/audit";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * const policy = tokenBucket({ limit: 2, period: "1h" });
 * const limiter = new RateLimiter({ policy });
 * let text = headerLine([policy]);
 * for (let call = 0; call < 3; call++) text += recordLine({ key: "k", cost: 1 }, await limiter.consume("k"));
 * const file = `${mkdtempSync("/tmp/audit-")}/a.jsonl`;
 * writeFileSync(file, text);
 * console.log((await auditFiles([file])).passed); // true
 */
export async function auditFiles(
  files: readonly string[],
  policies?: readonly Policy[],
): Promise<AuditReport> {
  checkList("files", files);
  for (const [i, file] of files.entries()) {
    if (typeof file !== "string") throw new InvalidOptionError(`files[${i}]`, file, "a path");
  }
  if (policies !== undefined) rulesOf(policies, "policies");
  const sources = files.map((name): LogSource => ({ name, open: () => createReadStream(name) }));
  return audit(await readLogs(sources, policies));
}

function auditKey(policies: readonly Policy[], key: string, records: Rows<LogRecord>): KeyReport {
  const bounds = policies.map((policy) => checkBound(policy, records));
  const replayed = replay(policies, records);
  const passed = bounds.every(({ holds }) => holds) && replayed.matches;
  return { key, passed, tally: tallyOf(records), bounds, replay: replayed };
}

function tallyOf(records: Rows<LogRecord>): Tally {
  const counter = new TallyCounter();
  for (let row = 0; row < records.length; row++) counter.add(records.at(row) as LogRecord);
  return counter.tally;
}

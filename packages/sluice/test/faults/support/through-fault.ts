/** Runs a load through a fault and holds every answer against what is promised. */
import { expect } from "vitest";
import { fractionToNumber } from "../../../src/audit/fraction.js";
import { type AuditReport, auditFiles } from "../../../src/testing/index.js";
import {
  countBySource,
  format,
  lateAnswers,
  type Load,
  type LoadAnswer,
  type LoadOptions,
  logOf,
  type Notices,
  readLedger,
  type Sources,
  startLoad,
  withFiles,
} from "./load.js";

/** What a fault may cost. */
export interface Costs {
  /** How often each key may have started fresh: a burst each time. */
  readonly freshStarts?: number;
  /** Calls that got no answer were not counted either, so that the log explains every answer. */
  readonly nothingUnseen?: boolean;
  /** How many outages are told of, by the part that fails, "" for all of the store; default: one of "". */
  readonly outages?: Readonly<Record<string, number>>;
  /** The client sends again what was under way, so that a call may count twice. */
  readonly resends?: boolean;
}

export interface Outcome {
  readonly sources: Sources;
  /** By how many units the worst interval of any key passed its policy's bound. */
  readonly over: number;
  /** What the hooks were told from the fault on. */
  readonly notices: Notices;
}

/**
 * `fault` does it, undoes it, and returns after how many ms the store answered again for every key. Then:
 * every call was answered in time, none threw, no policy admitted more than its bound and the stated
 * costs, no unit was counted for nobody, and each outage was told of once, and once of its end.
 */
export async function throughFault(
  title: string,
  options: LoadOptions & Costs,
  fault: (load: Load) => Promise<number>,
): Promise<Outcome> {
  const load = startLoad(options);
  let recoveredMs: number;
  let outagesBefore: number;
  let answersBefore: number;
  try {
    // Every key runs out first.
    await load.answered("store", 300);
    // What a stall of this machine did is no part of it.
    await load.settled();
    outagesBefore = load.notices.errors.length;
    answersBefore = load.answers.length;
    recoveredMs = await fault(load);
    // Not a lucky answer in between: it stays.
    await load.answered("store", 50);
    await load.settled();
  } finally {
    await load.stop();
  }
  const { answers, errors, begun, lag } = load;
  expect(errors).toEqual([]);
  expect(answers.length).toBe(begun);
  expect(lateAnswers(load)).toEqual([]);
  const notices = noticesSince(load, outagesBefore);
  checkNotices(load, notices, options, timesOfFailures(answers.slice(answersBefore)));
  const over = await overAdmission(load, options);
  await checkLedger(load, options);
  await load.limiter.close();
  const sources = countBySource(answers);
  say(
    `${title}: ${format(sources)}; recovered after ${recoveredMs.toFixed()} ms; ` +
      `outages told of: ${notices.errors.length}; ${over.toFixed(1)} units over the bound; ` +
      `event loop late by ${lag.worstMs.toFixed()} ms at most`,
  );
  return { sources, over, notices };
}

function noticesSince({ notices: { errors, recoveries } }: Load, outages: number): Notices {
  return { errors: errors.slice(outages), recoveries: recoveries.slice(outages) };
}

function checkNotices(
  { notices: all, answers }: Load,
  notices: Notices,
  { outages = { "": 1 } }: Costs,
  times: number,
): void {
  // The first of an outage tells of it, and its end comes with the same error.
  const begun = new Set(notices.errors.map(({ error }) => error));
  expect(begun.size).toBe(notices.errors.length);
  expect(new Set(notices.recoveries.map(({ error }) => error))).toEqual(begun);
  const what = notices.errors.map(({ part, error }) => [part, String(error)].join(" "));
  const counts = countByPart(notices);
  expect(Object.keys(counts).sort(), what.join("\n")).toEqual(Object.keys(outages).sort());
  for (const [part, count] of Object.entries(outages)) {
    // One is over when nothing has failed for a while: on a busy machine that may be between two faults, or two failures.
    const isAsSaid = counts[part] === count || (counts[part] ?? 0) <= count - 1 + times;
    expect(isAsSaid, `${times} times of failures\n${what.join("\n")}`).toBe(true);
  }
  const unanswered = all.recoveries.reduce((sum, event) => sum + event.unanswered.failClosed, 0);
  expect(unanswered).toBe(countBySource(answers)["fail-closed"] ?? 0);
}

/** So long nothing may have failed that an outage is over. */
const QUIET_MS = 1000;

/** How often calls began to fail after so long without a failure. */
function timesOfFailures(answers: readonly LoadAnswer[]): number {
  const failed = answers.filter(({ decision }) => decision.source !== "store");
  return failed.filter(({ endMs }, i) => endMs - (failed[i - 1]?.endMs ?? -Infinity) >= QUIET_MS)
    .length;
}

function countByPart({ errors }: Notices): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { part = "" } of errors) counts[part] = (counts[part] ?? 0) + 1;
  return counts;
}

async function overAdmission(
  { policies, answers }: Load,
  { freshStarts = 0, nothingUnseen = false }: Costs,
): Promise<number> {
  const report = await withFiles([logOf(policies, answers)], (files) => auditFiles(files));
  if (nothingUnseen) expect(report.passed, "the replay through the kernel").toBe(true);
  return unitsOver(report, freshStarts);
}

/**
 * By how many units the worst interval of any key passed its policy's bound; at most what was lost: a burst for
 * each fresh start, and the rate for as long as two masters served.
 */
export function unitsOver(report: AuditReport, freshStarts: number, twoMastersMs = 0): number {
  let most = 0;
  for (const { bounds } of report.keys) {
    for (const [i, { worst }] of bounds.entries()) {
      const policy = report.policies[i];
      if (worst === undefined || policy?.algorithm !== "token-bucket") continue;
      const over = -fractionToNumber(worst.slack);
      const ratePerMs = policy.limit / policy.period;
      expect(over).toBeLessThanOrEqual(freshStarts * policy.burst + ratePerMs * twoMastersMs);
      most = Math.max(most, over);
    }
  }
  return most;
}

async function checkLedger(load: Load, { freshStarts = 0, resends }: Costs): Promise<void> {
  const { granted, unanswered, counted } = await readLedger(load);
  if (freshStarts === 0) expect(counted).toBeGreaterThanOrEqual(granted);
  if (resends !== true) expect(counted).toBeLessThanOrEqual(granted + unanswered);
}

/** One line of a report. */
export function say(line: string): void {
  process.stdout.write(`  ${line}\n`);
}

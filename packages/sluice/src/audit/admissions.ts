/** Finds in the records of a log what a policy admitted, and when. */
import type { LogRecord } from "./record.js";

/** All that one key was given at one instant, in thousandths of a unit. */
export interface AdmittedAmount {
  readonly atUs: number;
  readonly amount: bigint;
}

/**
 * What the policy admitted, in order of time, one entry an instant: nothing between two records of
 * one instant can tell intervals apart. Answers made without the store (fail-open and the like) are
 * left out, for no policy made them.
 */
export function admissionsOf(records: readonly LogRecord[]): readonly AdmittedAmount[] {
  const granted = records.filter(isAdmission).sort((a, b) => startOf(a) - startOf(b));
  const admissions: { atUs: number; amount: bigint }[] = [];
  for (const record of granted) {
    const amount = BigInt(Math.round(record.granted * 1000));
    const last = admissions.at(-1);
    if (last?.atUs === startOf(record)) last.amount += amount;
    else admissions.push({ atUs: startOf(record), amount });
  }
  return admissions;
}

function isAdmission(record: LogRecord): boolean {
  return record.source === "store" && record.granted > 0;
}

/** A reservation's work starts when it is ready, not when it was booked. */
function startOf(record: LogRecord): number {
  return record.readyAtUs ?? record.atUs;
}

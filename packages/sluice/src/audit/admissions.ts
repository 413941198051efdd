/** Finds in the records of a log what a policy admitted, and when. */
import { type Rows, rowsByTime } from "./columns.js";
import type { LogRecord } from "./record.js";

/** All that one key was given at one instant, in thousandths of a unit. */
export interface AdmittedAmount {
  readonly atUs: number;
  readonly amount: bigint;
}

/** This many records of 1e9 units each still add up to less than 2^63. */
const FIT_INTO_64_BITS = 9_000_000;

/** What was admitted, in order of time, one entry an instant. */
export class Admissions implements Iterable<AdmittedAmount> {
  length = 0;
  readonly #times: Float64Array;
  readonly #amounts: BigInt64Array | bigint[];

  constructor(capacity: number) {
    this.#times = new Float64Array(capacity);
    this.#amounts = bigints(capacity);
  }

  /** Not before what was added last. */
  add(atUs: number, amount: bigint): void {
    const last = this.length - 1;
    if (last >= 0 && this.#times[last] === atUs) {
      this.#amounts[last] = (this.#amounts[last] as bigint) + amount;
      return;
    }
    this.#times[this.length] = atUs;
    this.#amounts[this.length] = amount;
    this.length += 1;
  }

  /** A negative index counts from the end. */
  at(index: number): AdmittedAmount | undefined {
    if (index < 0) return index < -this.length ? undefined : this.at(this.length + index);
    if (index >= this.length) return undefined;
    return { atUs: this.#times[index] as number, amount: this.#amounts[index] as bigint };
  }

  *[Symbol.iterator](): Generator<AdmittedAmount> {
    for (let i = 0; i < this.length; i++) yield this.at(i) as AdmittedAmount;
  }
}

/** Room for the sums of what this many records were granted: outside V8's heap as long as each surely fits. */
export function bigints(count: number): BigInt64Array | bigint[] {
  return count <= FIT_INTO_64_BITS
    ? new BigInt64Array(count)
    : Array.from({ length: count }, () => 0n);
}

/**
 * What the policy admitted: nothing between two records of one instant can tell intervals apart. Answers made without
 * the store (fail-open and the like) are left out, for no policy made them.
 */
export function admissionsOf(records: Rows<LogRecord>): Admissions {
  const { rows, times } = rowsByTime(records, (record) =>
    isAdmission(record) ? startOf(record) : undefined,
  );
  const admissions = new Admissions(rows.length);
  for (const row of rows) {
    const { granted } = records.at(row) as LogRecord;
    admissions.add(times[row] as number, BigInt(Math.round(granted * 1000)));
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

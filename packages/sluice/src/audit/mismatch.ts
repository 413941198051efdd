/** What a replay shows when it fails. */
import type { LogRecord } from "./record.js";
import type { LoggedDecision } from "./replayer.js";

/** The first record that nothing explains. */
export interface Mismatch {
  /** The decision, as it was logged. */
  readonly record: LogRecord;
  /** What the kernel answers at the record's position. */
  readonly kernel: LoggedDecision;
  /** How many records of this key share the microsecond, and were tried in other orders. */
  readonly tied: number;
  /** False if too many records are tied for every order to be tried. */
  readonly exhaustive: boolean;
}

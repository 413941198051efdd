/** What a replay shows when it fails. */
import type { LogRecord } from "./record.js";
import type { LoggedDecision } from "./replayer.js";

/** The first record that nothing explains. */
export interface Mismatch {
  /** The decision, as it was logged. */
  readonly record: LogRecord;
  /** What the kernel answers where the record would have to stand. */
  readonly kernel: LoggedDecision;
  /** How many records of this key share the microsecond, and were tried in other orders. */
  readonly tied: number;
  /** False where so many records are tied that not every order was tried. */
  readonly exhaustive: boolean;
}

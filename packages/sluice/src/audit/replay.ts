/** Replays a key's records through the pure kernel, which must give every answer that was logged. */
import type { Policy } from "../algorithms/registry.js";
import type { States } from "../algorithms/step.js";
import { type Rows, rowsByTime } from "./columns.js";
import type { Mismatch } from "./mismatch.js";
import type { LogRecord } from "./record.js";
import { Replayer, sameDecision } from "./replayer.js";
import { explainInstant } from "./same-instant.js";

/** Whether the kernel, replaying a key's records, gives every answer that was logged. */
export interface ReplayReport {
  /** Whether the kernel makes every decision in the same way. */
  readonly matches: boolean;
  /** Records whose answers were found to be the kernel's. */
  readonly replayed: number;
  /** The first that it makes otherwise; undefined if there is none. */
  readonly mismatch: Mismatch | undefined;
  /** The furthest that the server's clock must have gone back, in µs, by the waits it reported. */
  readonly clockBackUs: number;
}

/**
 * Replays the records of one key, in order of the server's time, through the pure kernel, from a
 * fresh state. Every answer must be the same to the last number.
 *
 * Calls that share a microsecond were decided one after another, but the log cannot tell in which
 * order: any order that explains them all will do. Answers that the store did not make are left
 * out, for they neither ask nor change it. A server's clock that went back is recognised by the
 * waits it reported, if all calls have the same cost; with different costs a refusal just before
 * may seem wrong.
 */
export function replay(policies: readonly Policy[], records: Rows<LogRecord>): ReplayReport {
  const kernel = new Replayer(policies);
  const { rows, times } = rowsByTime(records, ({ source, atUs }) =>
    source === "store" ? atUs : undefined,
  );
  let states: States = kernel.fresh;
  let clockBackUs = 0;

  for (let start = 0; start < rows.length; ) {
    const tied = Array.from(
      tiedFrom(rows, times, start),
      (row): LogRecord => records.at(row) as LogRecord,
    );
    const [only] = tied;
    if (tied.length === 1 && only !== undefined) {
      const reply = kernel.ask(states, only, only.atUs);
      if (!sameDecision(reply.decision, only)) {
        const mismatch = { record: only, kernel: reply.decision, tied: 1, exhaustive: true };
        return { matches: false, replayed: start, mismatch, clockBackUs };
      }
      states = reply.states;
    } else {
      const explained = explainInstant(kernel, states, tied);
      clockBackUs = Math.max(clockBackUs, explained.clockBackUs);
      if (explained.mismatch !== undefined) {
        const { mismatch } = explained;
        return { matches: false, replayed: start + explained.replayed, mismatch, clockBackUs };
      }
      states = explained.states;
    }
    start += tied.length;
  }
  return { matches: true, replayed: rows.length, mismatch: undefined, clockBackUs };
}

/** The rows from `start` on that share its microsecond. */
function tiedFrom(rows: Uint32Array, times: Float64Array, start: number): Uint32Array {
  const timeOf = (place: number): number | undefined => times[rows[place] as number];
  let end = start + 1;
  while (end < rows.length && timeOf(end) === timeOf(start)) end += 1;
  return rows.subarray(start, end);
}

/** Shows how far a run is. */
import { monotonicMs } from "../clock.js";
import { formatNumber } from "./format.js";
import { type Io, terminalOf } from "./terminal.js";

/** Redrawing more often than a person can read only costs time. */
const REDRAW_MS = 80;
const BAR_COLUMNS = 28;
const ERASE_LINE = "\r\u001b[2K";

/** How far a run is: on stderr, on one line, and only if a person looks at it. */
export interface Progress {
  update(done: number, total: number, note: string): void;
  /** Takes the line away. */
  finish(): void;
}

const SILENT: Progress = { update() {}, finish() {} };

/** A bar, or silence. */
export function startProgress({ stderr, env }: Pick<Io, "stderr" | "env">): Progress {
  if (stderr.isTTY !== true || env["TERM"] === "dumb") return SILENT;
  const terminal = terminalOf(stderr, env);
  const [full, empty] = terminal.unicode ? ["█", "░"] : ["#", "."];
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  return {
    update(done, total, note) {
      const nowMs = monotonicMs();
      if (nowMs - drawnAtMs < REDRAW_MS) return;
      drawnAtMs = nowMs;
      const filled = Math.floor((done / total) * BAR_COLUMNS);
      const bar = terminal.paint("cyan", full.repeat(filled)) + empty.repeat(BAR_COLUMNS - filled);
      const percent = Math.floor((done / total) * 100);
      stderr.write(
        `${ERASE_LINE}  ${bar} ${percent}%  ${formatNumber(done)}/${formatNumber(total)}  ${note}`,
      );
    },
    finish() {
      if (drawnAtMs > Number.NEGATIVE_INFINITY) stderr.write(ERASE_LINE);
    },
  };
}

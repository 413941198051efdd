/** From the lines of processes: who reports, and what is missing. */
import type { ProcessLine } from "./line.js";
import type { ReportGap, ReportingProcess } from "./view.js";

/** What a process wrote in one minute. */
export interface Written {
  readonly line: ProcessLine;
  /** Decisions that it counted there. */
  readonly decisions: number;
}

/** A process that missed this many of its reports, and was not seen for at least this long, is silent. */
const MISSED_REPORTS = 3;
const LEAST_SILENCE_MS = 10_000;

export function processOf(process: string, { line }: Written, nowMs: number): ReportingProcess {
  const { beganMs, seenMs, hasEnded } = line;
  const isLate = nowMs - seenMs > silenceMs(line);
  return { process, state: hasEnded ? "ended" : isLate ? "silent" : "reporting", beganMs, seenMs };
}

/** The minutes in which counts of a process are missing, or late. `written` is by minute, the oldest first. */
export function gapsOf(process: string, written: readonly Written[], fromMs: number): ReportGap[] {
  const gaps: ReportGap[] = [];
  let before: Written | undefined;
  for (const each of written) {
    const gap = gapBefore(each.line, before, fromMs);
    if (gap !== undefined) gaps.push({ process, ...gap });
    before = each;
  }
  return gaps;
}

function gapBefore(
  line: ProcessLine,
  before: Written | undefined,
  fromMs: number,
): Omit<ReportGap, "process"> | undefined {
  const minuteMs = Math.floor(line.seenMs / 60_000) * 60_000;
  if (before !== undefined) {
    const decisions = line.before - before.line.before - before.decisions;
    if (decisions > 0) {
      return { kind: "lost", fromMs: before.line.fromMs, toMs: line.fromMs, decisions };
    }
  } else if (line.before > 0 && line.fromMs > fromMs) {
    const isWhole = line.beganMs >= fromMs;
    const decisions = isWhole ? line.before : undefined;
    return { kind: "lost", fromMs: Math.max(line.beganMs, fromMs), toMs: line.fromMs, decisions };
  }
  if (minuteMs - line.fromMs <= silenceMs(line)) return undefined;
  return { kind: "late", fromMs: line.fromMs, toMs: minuteMs, decisions: 0 };
}

function silenceMs({ everyMs }: ProcessLine): number {
  return Math.max(MISSED_REPORTS * everyMs, LEAST_SILENCE_MS);
}

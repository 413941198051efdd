/** The line of a process in a minute: when it reported, and how much it had reported before. */
import { lineHead } from "../stores/report-store.js";

/** Times are ms since the epoch, by the store's clock. */
export interface ProcessLine {
  /** When the process began to report. */
  readonly beganMs: number;
  /** What it counts in this minute happened from here on, */
  readonly fromMs: number;
  /** up to here. */
  readonly seenMs: number;
  /** Decisions that it has reported in earlier minutes. */
  readonly before: number;
  /** How often it reports: ms. */
  readonly everyMs: number;
  /** Whether it has ended, and said all that it had to say. */
  readonly hasEnded: boolean;
}

const VERSION = "1";
const NUMBERS = 6;

export function lineToText(turn: number, line: ProcessLine): string {
  const { beganMs, fromMs, seenMs, before, everyMs, hasEnded } = line;
  const times = [beganMs, fromMs, seenMs].map(Math.floor);
  return `${lineHead(turn)}${[...times, before, everyMs, hasEnded ? 1 : 0].join(" ")}`;
}

/** Undefined if its format is unknown. */
export function lineFromText(text: string): ProcessLine | undefined {
  const [version, , ...words] = text.split(" ");
  const numbers = words.map(Number);
  const isWhole = numbers.length >= NUMBERS && !numbers.some(Number.isNaN);
  if (version !== VERSION || !isWhole) return undefined;
  const [beganMs = 0, fromMs = 0, seenMs = 0, before = 0, everyMs = 0, ended] = numbers;
  return { beganMs, fromMs, seenMs, before, everyMs, hasEnded: ended === 1 };
}

/** The port between a report and the store that keeps it: for each minute a table of texts, which processes add to. */

/** The table of one minute. */
export interface ReportMinute {
  /** Whose reports they are. */
  readonly name: string;
  /** Minutes since the Unix epoch, by the store's clock. */
  readonly minute: number;
}

/** What one process has counted in a minute. All of it replaces what it wrote before, so it may be written twice. */
export interface ReportWrite {
  /** Names the process, and is the field of that process's line. */
  readonly process: string;
  /** Grows with each write of the process: a write that comes after a later one changes nothing. */
  readonly turn: number;
  /** Begins with `lineHead(turn)`. */
  readonly line: string;
  /** Other fields and their texts. */
  readonly fields: ReadonlyMap<string, string>;
}

/** What the store says to a write. */
export interface ReportWritten {
  /** Its clock: ms since the epoch. */
  readonly nowMs: number;
  /** Whether the process had a line in this minute before. */
  readonly wasKnown: boolean;
}

/** The table of a minute as it is now. */
export interface ReportRead {
  /** The store's clock: ms since the epoch. */
  readonly nowMs: number;
  /** All fields of the table, and their texts. */
  readonly fields: ReadonlyMap<string, string>;
}

/** Keeps the reports of processes for a store. */
export interface ReportStore {
  /** The store's clock: ms since the epoch. */
  nowMs(name: string): Promise<number>;
  /** All of it or nothing. */
  write(to: ReportMinute, what: ReportWrite): Promise<ReportWritten>;
  /** The table of one minute. */
  read(from: ReportMinute): Promise<ReportRead>;
}

export const MINUTE_MS = 60_000;
/** A minute is forgotten so long after its end. */
export const REPORT_KEPT_MS = 3_600_000;

/** How lines begin: the version of the format, and the turn. */
export function lineHead(turn: number): string {
  return `1 ${turn} `;
}

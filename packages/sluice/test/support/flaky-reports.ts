/** A store of reports as if far away, which can fail in every way a server can: as the script in Redis, by turns. */
import type { ManualClock } from "../../src/testing/index.js";
import type {
  ReportMinute,
  ReportRead,
  ReportStore,
  ReportWrite,
  ReportWritten,
} from "../../src/stores/report-store.js";

/**
 * "loses": it is done, and the answer does not come. "delays": it is done at `deliver`. "fails": it is not done.
 */
export type ReportFault = "none" | "fails" | "loses" | "delays";

export class FlakyReports implements ReportStore {
  fault: ReportFault = "none";
  writes = 0;
  /** Characters that were written, since the start. */
  written = 0;
  readonly #clock: ManualClock;
  readonly #tables = new Map<string, Map<string, string>>();
  #delayed: (() => void)[] = [];

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  /** Does what was delayed, in this order or the other one. */
  deliver(isReversed: boolean): void {
    const delayed = isReversed ? this.#delayed.toReversed() : this.#delayed;
    this.#delayed = [];
    for (const apply of delayed) apply();
  }

  /** As a server that was killed and keeps nothing. */
  forget(): void {
    this.#tables.clear();
  }

  async nowMs(): Promise<number> {
    if (this.fault === "fails") throw new Error("connection refused");
    return this.#nowMs();
  }

  async write(to: ReportMinute, what: ReportWrite): Promise<ReportWritten> {
    this.writes += 1;
    if (this.fault === "fails") throw new Error("connection refused");
    let wasKnown = false;
    const apply = (): void => {
      wasKnown = this.#apply(to, what);
    };
    if (this.fault === "delays") this.#delayed.push(apply);
    else apply();
    if (this.fault !== "none") throw new Error("connection lost");
    return { nowMs: this.#nowMs(), wasKnown };
  }

  async read(from: ReportMinute): Promise<ReportRead> {
    return { nowMs: this.#nowMs(), fields: this.#table(from) };
  }

  /** Characters of the largest minute. */
  largest(): number {
    const sizes = [...this.#tables.values()].map((table) =>
      [...table].reduce((sum, [field, text]) => sum + field.length + text.length, 0),
    );
    return Math.max(0, ...sizes);
  }

  #apply(to: ReportMinute, { process, turn, line, fields }: ReportWrite): boolean {
    const table = this.#table(to);
    const known = table.get(process);
    if (known !== undefined && Number(known.split(" ")[1]) > turn) return true;
    for (const [field, text] of [[process, line], ...fields] as const) {
      this.written += field.length + text.length;
      table.set(field, text);
    }
    return known !== undefined;
  }

  #table({ name, minute }: ReportMinute): Map<string, string> {
    const key = `${name} ${minute}`;
    const table = this.#tables.get(key) ?? new Map<string, string>();
    this.#tables.set(key, table);
    return table;
  }

  #nowMs(): number {
    return this.#clock.nowUs() / 1e3;
  }
}

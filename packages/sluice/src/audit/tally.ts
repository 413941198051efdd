/** Counts decisions and units. */
import type { LogRecord } from "./record.js";

/** Counts of decisions and units. */
export interface Tally {
  /** Decisions in all. */
  readonly records: number;
  /** Calls that were allowed. */
  readonly allowed: number;
  /** Calls that were denied. */
  readonly denied: number;
  /** Units that the policy admitted. */
  readonly granted: number;
  /** Decisions that the store did not make, by source: no policy answers for them. */
  readonly unaudited: Readonly<Partial<Record<LogRecord["source"], Unaudited>>>;
}

/** Decisions that an audit leaves out, since the store did not make them. */
export interface Unaudited {
  /** Decisions in all. */
  readonly records: number;
  /** Units that they granted. */
  readonly granted: number;
}

const ATTEMPTS: ReadonlySet<string> = new Set(["consume", "consumeUpTo", "reserve"]);

export class TallyCounter {
  #records = 0;
  #allowed = 0;
  #thousandths = 0;
  readonly #unaudited: Partial<Record<LogRecord["source"], Unaudited>> = {};

  /** Counts attempts; the other verbs are no decisions on them. */
  add({ verb, allowed, source, granted }: LogRecord): void {
    if (!ATTEMPTS.has(verb)) return;
    this.#records += 1;
    this.#allowed += Number(allowed);
    if (source === "store") {
      this.#thousandths += Math.round(granted * 1000);
      return;
    }
    const known = this.#unaudited[source] ?? { records: 0, granted: 0 };
    const sum = (known.granted * 1000 + Math.round(granted * 1000)) / 1000;
    this.#unaudited[source] = { records: known.records + 1, granted: sum };
  }

  get tally(): Tally {
    const [records, allowed] = [this.#records, this.#allowed];
    const granted = this.#thousandths / 1000;
    return { records, allowed, denied: records - allowed, granted, unaudited: this.#unaudited };
  }
}

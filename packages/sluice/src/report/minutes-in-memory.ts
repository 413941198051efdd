/** Reports of a store inside the process, or of any that keeps none: the minutes stay in this process. */
import { systemClock } from "../core/clock.js";
import {
  MINUTE_MS,
  REPORT_KEPT_MS,
  type ReportMinute,
  type ReportRead,
  type ReportStore,
  type ReportWrite,
  type ReportWritten,
} from "../stores/report-store.js";
import type { Store } from "../stores/store.js";

const NO_FIELDS: ReadonlyMap<string, string> = new Map();
const KEPT_MINUTES = REPORT_KEPT_MS / MINUTE_MS;

class MinutesInMemory implements ReportStore {
  readonly #timeOf: () => number;
  /** By name, then by minute. */
  readonly #names = new Map<string, Map<number, Map<string, string>>>();

  constructor(timeOf: () => number) {
    this.#timeOf = timeOf;
  }

  async nowMs(): Promise<number> {
    return this.#timeOf();
  }

  async write(
    { name, minute }: ReportMinute,
    { process, line, fields }: ReportWrite,
  ): Promise<ReportWritten> {
    const nowMs = this.#timeOf();
    const minutes = this.#names.get(name) ?? new Map<number, Map<string, string>>();
    this.#names.set(name, minutes);
    const oldest = Math.floor(nowMs / MINUTE_MS) - KEPT_MINUTES;
    for (const each of minutes.keys()) if (each < oldest) minutes.delete(each);
    const table = minutes.get(minute) ?? new Map<string, string>();
    minutes.set(minute, table);
    const wasKnown = table.has(process);
    table.set(process, line);
    for (const [field, text] of fields) table.set(field, text);
    return { nowMs, wasKnown };
  }

  async read({ name, minute }: ReportMinute): Promise<ReportRead> {
    const fields = this.#names.get(name)?.get(minute) ?? NO_FIELDS;
    return { nowMs: this.#timeOf(), fields: new Map(fields) };
  }
}

const inMemory = new WeakMap<Store, ReportStore>();

/** What keeps the reports of a store. */
export function reportsOf(store: Store): ReportStore {
  const known = store.reports ?? inMemory.get(store);
  if (known !== undefined) return known;
  const { clock = systemClock } = store;
  const minutes = new MinutesInMemory(() => clock.nowUs() / 1e3);
  inMemory.set(store, minutes);
  return minutes;
}

/** Reads what all processes have reported. */
import { checkName } from "../core/key.js";
import { byDefault, aCount, optionReader } from "../core/options.js";
import { MINUTE_MS, REPORT_KEPT_MS } from "../stores/report-store.js";
import { checkStore, type Store } from "../stores/store.js";
import { mergeReports, type ReadMinute } from "./merge.js";
import { reportsOf } from "./minutes-in-memory.js";
import type { Reports } from "./view.js";

/** Options of `readReports`. */
export interface ReadReportsOptions {
  /** The store that the reports were written to; of a store in memory, the same one. */
  readonly store: Store;
  /** How far back: 1 to 60 minutes, the one that is under way included; default 5. */
  readonly minutes?: number | undefined;
  /** The `name` of the reports; default "sluice". */
  readonly name?: string | undefined;
}

const OPTIONS = optionReader<ReadReportsOptions>()({
  store: checkStore,
  minutes: byDefault(5, aCount(1, REPORT_KEPT_MS / MINUTE_MS)),
  name: byDefault("sluice", checkName),
});

/**
 * What all processes have reported in the last minutes: sums and rates of each limiter and policy, the ids that were denied
 * most, who reports, and what is missing. Rejects if the store cannot be read.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * import { readReports, report } from "sluice/report";
 * const store = new MemoryStore();
 * const policy = tokenBucket({ name: "api", limit: 1, period: "1h" });
 * const limiter = new RateLimiter({ policy, store });
 * const reporter = report({ store, limiters: [limiter] });
 * for (let i = 0; i < 3; i++) await limiter.consume("user:42");
 * await reporter.flush();
 * const { limiters, processes } = await readReports({ store, minutes: 1 });
 * const [api] = limiters[0]?.policies ?? [];
 * console.log(api?.policy, api?.asked, api?.topDenied[0]?.atLeast, processes.length); // api 3 2 1
 * await reporter.end();
 */
export async function readReports(options: ReadReportsOptions): Promise<Reports> {
  const { store, minutes, name } = OPTIONS.read(options);
  const reports = reportsOf(store);
  let nowMs = await reports.nowMs(name);
  const last = Math.floor(nowMs / MINUTE_MS);
  const read: ReadMinute[] = [];
  // One by one, since a minute may be large, and a server does nothing else during a read.
  for (let minute = last - minutes + 1; minute <= last; minute++) {
    const found = await reports.read({ name, minute });
    read.push({ minute, fields: found.fields });
    nowMs = found.nowMs;
  }
  return mergeReports(read, nowMs);
}

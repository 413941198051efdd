/** One key for all calls: what calls for the same key gain from being batched. */
import { CLIENTS } from "./clients.mjs";
import { COUNTER, REFERENCE } from "./contenders/index.mjs";
import { COST_HEAD, costCells, measureEntrants, p99, rowOf, series, speed } from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";
import { AMPLE } from "./workload.mjs";

const IN_FLIGHT = 256;
const CONTENDERS = ["sluice", REFERENCE, COUNTER];

/** @param {import("./rounds.mjs").Schedule} schedule */
export function measureHot(schedule) {
  const entrants = CLIENTS.flatMap((client) =>
    CONTENDERS.map((contender) => ({ contender, client, policies: 1 })),
  );
  const stages = [{ keys: 1, inFlight: IN_FLIGHT, ms: schedule.ms }];
  return measureEntrants(schedule, entrants, ({ contender, client }, url, seed) =>
    perform({ kind: "redis", contender, client, url, seed, quota: AMPLE, stages }),
  );
}

/** @param {readonly import("./entrants.mjs").Row[]} rows */
export function showHot(rows) {
  const cells = rows.map((row) => {
    const own = series(row, 0, speed);
    const [reference, counter] = [REFERENCE, COUNTER].map((contender) =>
      series(rowOf(rows, row.client, contender), 0, speed),
    );
    return [
      `${row.contender} through ${row.client}`,
      wholeSpread(spread(own)),
      factorSpread(ratios(own, reference ?? [])),
      factorSpread(ratios(own, counter ?? [])),
      wholeSpread(spread(series(row, 0, p99))),
      ...costCells(row, 0),
    ];
  });
  const head = ["calls/s", "× reference", `× ${COUNTER}`, "p99 µs", ...COST_HEAD];
  return table([`one key, ${IN_FLIGHT} in flight`, ...head], cells);
}

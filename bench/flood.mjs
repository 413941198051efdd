/** A flood of calls on keys that have nothing left, all denied. */
import { CLIENTS } from "./clients.mjs";
import { BLOCKING, floodContenders, REFERENCE } from "./contenders/index.mjs";
import { COST_HEAD, costCells, measureEntrants, rowOf, series, speed } from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";

/** Addresses that an attack comes from. */
const KEYS = 1000;
const IN_FLIGHT = 256;

/** @param {import("./rounds.mjs").Schedule} schedule */
export function measureFlood(schedule) {
  const entrants = CLIENTS.flatMap((client) =>
    Object.keys(floodContenders).map((contender) => ({ contender, client, policies: 1 })),
  );
  const stage = { keys: KEYS, inFlight: IN_FLIGHT, ms: schedule.ms };
  return measureEntrants(schedule, entrants, ({ contender, client }, url, seed) =>
    perform({ kind: "flood", contender, client, url, seed, stage }),
  );
}

/** @param {readonly import("./entrants.mjs").Row[]} rows */
export function showFlood(rows) {
  const cells = rows.map((row) => {
    const own = series(row, 0, speed);
    const [reference, blocking] = [REFERENCE, BLOCKING].map((contender) =>
      series(rowOf(rows, row.client, contender), 0, speed),
    );
    return [
      `${row.contender} through ${row.client}`,
      wholeSpread(spread(own)),
      factorSpread(ratios(own, reference ?? [])),
      factorSpread(ratios(own, blocking ?? [])),
      ...costCells(row, 0),
    ];
  });
  const head = ["denials/s", "× reference", "× reference, blocking", ...COST_HEAD];
  return table([`${whole(KEYS)} keys used up, ${IN_FLIGHT} in flight`, ...head], cells);
}

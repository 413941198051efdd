/** Calls on many keys, beside one hot key that gets all kinds of calls: what it costs the others. */
import { AIMS } from "./aims.mjs";
import { CLIENTS } from "./clients.mjs";
import { BESIDE, BESIDE_EVERY } from "./contenders/index.mjs";
import { COST_HEAD, costCells, measureEntrants, p99, rowOf, series, speed } from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";
import { AMPLE } from "./workload.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */

const OWN = "sluice";
const KEYS = 10_000;
const IN_FLIGHT = 256;
const CONTENDERS = [OWN, ...Object.values(BESIDE)];

/** @param {import("./rounds.mjs").Schedule} schedule */
export function measureMixed(schedule) {
  const entrants = CLIENTS.flatMap((client) =>
    CONTENDERS.map((contender) => ({ contender, client, policies: 1 })),
  );
  const stages = [{ keys: KEYS, inFlight: IN_FLIGHT, ms: schedule.ms }];
  return measureEntrants(schedule, entrants, ({ contender, client }, url, seed) =>
    perform({ kind: "redis", contender, client, url, seed, quota: AMPLE, stages }),
  );
}

/** All calls of a contender, hot ones too, for one that is timed. */
export function callsFor(/** @type {string} */ contender) {
  return contender === OWN ? 1 : 1 + 1 / BESIDE_EVERY;
}

/**
 * @param {readonly Row[]} rows
 * @param {string} client
 * @param {string} contender
 */
function timesWithout(rows, client, contender) {
  const [beside, without] = [contender, OWN].map((each) =>
    series(rowOf(rows, client, each), 0, speed).map((calls) => calls * callsFor(each)),
  );
  return ratios(beside ?? [], without ?? []);
}

/**
 * @param {readonly Row[]} rows
 * @returns {import("./goals.mjs").Goal[]}
 */
export function mixedGoals(rows) {
  return Object.values(BESIDE).map((contender) => ({
    what: `${contender}, ${IN_FLIGHT} in flight, calls/s of all × without it`,
    aim: AIMS.mixed,
    figure: (client) => timesWithout(rows, client, contender),
  }));
}

/** @param {readonly Row[]} rows */
export function showMixed(rows) {
  const cells = rows.map((row) => [
    `${row.contender} through ${row.client}`,
    wholeSpread(spread(series(row, 0, speed))),
    factorSpread(timesWithout(rows, row.client, row.contender)),
    wholeSpread(spread(series(row, 0, p99))),
    ...costCells(row, 0),
  ]);
  const head = ["calls/s on them", "all calls × without the hot key", "p99 µs", ...COST_HEAD];
  return table([`${whole(KEYS)} keys, ${IN_FLIGHT} in flight`, ...head], cells);
}

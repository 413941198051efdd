/** Calls over two policies, beside those over one: many in flight, and one alone. */
import { AIMS } from "./aims.mjs";
import { CLIENTS } from "./clients.mjs";
import { REFERENCE } from "./contenders/index.mjs";
import { commandTime, COST_HEAD, costCells, measureEntrants, series, speed } from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";
import { AMPLE } from "./workload.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */

const KEYS = 10_000;
const IN_FLIGHT = [256, 1];
const ENTRANTS = [
  { contender: "sluice", policies: 1 },
  { contender: "sluice", policies: 2 },
  { contender: REFERENCE, policies: 2 },
];

/** @param {import("./rounds.mjs").Schedule} schedule */
export function measureSets(schedule) {
  const entrants = CLIENTS.flatMap((client) => ENTRANTS.map((each) => ({ ...each, client })));
  const stages = IN_FLIGHT.map((inFlight) => ({ keys: KEYS, inFlight, ms: schedule.ms }));
  return measureEntrants(schedule, entrants, ({ contender, client, policies }, url, seed) => {
    const quota = { ...AMPLE, policies };
    return perform({ kind: "redis", contender, client, url, seed, quota, stages });
  });
}

/**
 * @param {readonly Row[]} rows
 * @param {string} client
 * @param {string} contender
 * @param {number} policies
 */
function find(rows, client, contender, policies) {
  const own = rows.filter((row) => row.client === client && row.policies === policies);
  return own.find((row) => row.contender === contender);
}

/**
 * @param {readonly Row[]} rows
 * @returns {import("./goals.mjs").Goal[]}
 */
export function setsGoals(rows) {
  /** @type {(client: string, contender: string, policies: number) => number[]} */
  const speeds = (client, contender, policies) =>
    series(find(rows, client, contender, policies), 0, speed);
  return [
    {
      what: "2 policies, 256 in flight, calls/s × with 1 policy",
      aim: AIMS.twoPoliciesOfOne,
      figure: (client) => ratios(speeds(client, "sluice", 2), speeds(client, "sluice", 1)),
    },
    {
      what: `2 policies, 256 in flight, calls/s × ${REFERENCE}'s union`,
      aim: AIMS.twoPoliciesOfUnion,
      figure: (client) => ratios(speeds(client, "sluice", 2), speeds(client, REFERENCE, 2)),
    },
    {
      what: "2 policies, 1 in flight, server µs a decision, by commandstats",
      aim: AIMS.twoPoliciesLoneUs,
      figure: (client) => spread(series(find(rows, client, "sluice", 2), 1, commandTime)),
    },
  ];
}

/** @param {readonly Row[]} rows */
export function showSets(rows) {
  const cells = IN_FLIGHT.flatMap((inFlight, stage) =>
    rows.map((row) => {
      const own = series(row, stage, speed);
      const one = series(find(rows, row.client, "sluice", 1), stage, speed);
      return [
        `${row.contender} through ${row.client}`,
        String(row.policies),
        String(inFlight),
        wholeSpread(spread(own)),
        factorSpread(ratios(own, one)),
        ...costCells(row, stage),
      ];
    }),
  );
  const head = ["policies", "in flight", "calls/s", "× sluice with 1", ...COST_HEAD];
  return table([`${whole(KEYS)} keys`, ...head], cells);
}

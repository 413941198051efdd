/** Limiters that share state through Redis: throughput, latency, what a call costs, and bytes a key. */
import { CLIENTS } from "./clients.mjs";
import { COUNTER, FLOOR, NOTES, redisContenders, REFERENCE } from "./contenders/index.mjs";
import {
  COST_HEAD,
  costCells,
  measureEntrants,
  p50,
  p99,
  rowOf,
  series,
  speed,
} from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";
import { KEYS, USUAL } from "./workload.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */

/** Calls in flight, one stage after another. */
export const IN_FLIGHT = [1, 64, 256, 1024];
/** Before each stage: a process that has just compiled for one load does so again for the next. */
const WARM_CALLS = 60_000;
/** The load at which costs are printed. */
const BUSY = IN_FLIGHT.indexOf(256);

/** @param {import("./rounds.mjs").Schedule} schedule */
export function measureRedis(schedule) {
  const { ms, isQuick } = schedule;
  const warm = isQuick ? {} : { warmCalls: WARM_CALLS };
  const entrants = CLIENTS.flatMap((client) =>
    Object.keys(redisContenders).map((contender) => ({ contender, client, policies: 1 })),
  );
  const stages = IN_FLIGHT.map((inFlight) => ({ keys: KEYS, inFlight, ms, ...warm }));
  return measureEntrants(schedule, entrants, ({ contender, client }, url, seed) =>
    perform({ kind: "redis", contender, client, url, seed, quota: USUAL, stages }),
  );
}

/** @param {readonly Row[]} rows */
export function showRedis(rows) {
  const parts = CLIENTS.flatMap((client) => {
    const own = rows.filter((row) => row.client === client);
    return [loadsTable(client, own), "", costsTable(client, own), ""];
  });
  return [...parts, ...NOTES.redis.map((note) => `- ${note}`)].join("\n");
}

/**
 * @param {string} client
 * @param {readonly Row[]} rows
 */
function loadsTable(client, rows) {
  const head = [
    "in flight",
    "calls/s",
    "× reference",
    `× ${COUNTER}`,
    "p50 µs",
    "× floor",
    "p99 µs",
    "× reference",
  ];
  const [reference, floor, counter] = [REFERENCE, FLOOR, COUNTER].map((contender) =>
    rowOf(rows, client, contender),
  );
  const cells = IN_FLIGHT.flatMap((inFlight, stage) =>
    rows.map((row) => {
      const ownSpeed = series(row, stage, speed);
      const ownP50 = series(row, stage, p50);
      const ownP99 = series(row, stage, p99);
      return [
        row.contender,
        String(inFlight),
        wholeSpread(spread(ownSpeed)),
        factorSpread(ratios(ownSpeed, series(reference, stage, speed))),
        factorSpread(ratios(ownSpeed, series(counter, stage, speed))),
        wholeSpread(spread(ownP50)),
        factorSpread(ratios(ownP50, floorOf(row, stage) ?? series(floor, stage, p50))),
        wholeSpread(spread(ownP99)),
        factorSpread(ratios(ownP99, series(reference, stage, p99))),
      ];
    }),
  );
  return table([`through ${client}`, ...head], cells);
}

/**
 * The latency of the floor in turns with this contender, if they took turns.
 * @param {Row} row
 * @param {number} stage
 */
export function floorOf(row, stage) {
  const floors = series(row, stage, ({ floorP50Us = Number.NaN }) => floorP50Us);
  return floors.some(Number.isNaN) ? undefined : floors;
}

/**
 * @param {string} client
 * @param {readonly Row[]} rows
 */
function costsTable(client, rows) {
  const reference = rowOf(rows, client, REFERENCE)?.bytesPerKey ?? [];
  const cells = rows.map((row) => {
    const writes = Math.max(...row.bytesPerKey) > 0;
    return [
      row.contender,
      ...costCells(row, BUSY),
      writes ? wholeSpread(spread(row.bytesPerKey)) : "",
      writes ? factorSpread(ratios(row.bytesPerKey, reference)) : "",
    ];
  });
  const head = `through ${client}, ${IN_FLIGHT[BUSY]} in flight`;
  return table([head, ...COST_HEAD, "bytes/key in Redis", "× reference"], cells);
}

/** Ratios of Sluice alone: absolute figures say more about a machine. @param {readonly Row[]} rows */
export function showRedisRatios(rows) {
  const head = ["in flight", `calls/s × ${REFERENCE}`, `calls/s × ${COUNTER}`];
  const cells = CLIENTS.flatMap((client) =>
    IN_FLIGHT.map((inFlight, stage) => {
      const own = rowOf(rows, client, "sluice");
      const [reference, floor, counter] = [REFERENCE, FLOOR, COUNTER].map((contender) =>
        rowOf(rows, client, contender),
      );
      const floors = own && floorOf(own, stage);
      return [
        client,
        whole(inFlight),
        factorSpread(ratios(series(own, stage, speed), series(reference, stage, speed))),
        factorSpread(ratios(series(own, stage, speed), series(counter, stage, speed))),
        factorSpread(ratios(series(own, stage, p50), floors ?? series(floor, stage, p50))),
        factorSpread(ratios(series(own, stage, p99), series(reference, stage, p99))),
      ];
    }),
  );
  return table(["through", ...head, `p50 × ${FLOOR}`, `p99 × ${REFERENCE}`], cells);
}

/** @param {readonly Row[]} rows */
export function showRedisCosts(rows) {
  return CLIENTS.map((client) =>
    costsTable(
      client,
      rows.filter((row) => row.client === client),
    ),
  ).join("\n\n");
}

/** What Sluice set out to reach in Redis, and what this run says of it. */
import { AIMS, holds, inWords } from "./aims.mjs";
import { CLIENTS } from "./clients.mjs";
import { coldGoals } from "./cold.mjs";
import { BLOCKING, COUNTER, REFERENCE } from "./contenders/index.mjs";
import { commandTime, p50, p99, rowOf, series, speed } from "./entrants.mjs";
import { floorOf, IN_FLIGHT } from "./redis.mjs";
import { semaphoreGoals } from "./semaphore.mjs";
import { mixedGoals } from "./mixed.mjs";
import { setsGoals } from "./sets.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */
/** @typedef {import("./statistics.mjs").Spread} Spread */
/** @typedef {{ memory?: readonly import("./memory.mjs").Row[] | undefined, cold?: readonly import("./cold.mjs").Row[] | undefined, redis?: readonly Row[] | undefined, hot?: readonly Row[] | undefined, mixed?: readonly Row[] | undefined, flood?: readonly Row[] | undefined, sets?: readonly Row[] | undefined, semaphore?: readonly import("./semaphore.mjs").Row[] | undefined }} Sections */
/** Undefined rows make it NaN; undefined = no goal for this client. @typedef {(client: string) => Spread | undefined} Figure */
/** @typedef {{ what: string, aim: import("./aims.mjs").Aim, show?: (spread: Spread) => string, figure: Figure }} Goal */

/** @param {Sections} sections */
export function showGoals({ memory, cold, redis, hot, mixed, flood, sets, semaphore }) {
  const goals = [
    ...(memory === undefined ? [] : memoryGoals(memory)),
    ...(cold === undefined ? [] : coldGoals(cold)),
    ...(redis === undefined ? [] : redisGoals(redis)),
    ...(hot === undefined ? [] : hotGoals(hot)),
    ...(mixed === undefined ? [] : mixedGoals(mixed)),
    ...(flood === undefined ? [] : floodGoals(flood)),
    ...(sets === undefined ? [] : setsGoals(sets)),
    ...(semaphore === undefined ? [] : semaphoreGoals(semaphore)),
  ];
  const cells = goals.map(({ what, aim, show = factorSpread, figure }) => [
    what,
    inWords(aim),
    ...CLIENTS.map((client) => {
      const value = figure(client);
      if (value === undefined) return "";
      return `${show(value)}${holds(aim, value.median) ? "" : " ✗"}`;
    }),
  ]);
  return goals.length === 0 ? undefined : table(["sluice, through", "aim", ...CLIENTS], cells);
}

/**
 * Without a client, the same for each of them.
 * @param {readonly import("./memory.mjs").Row[]} rows
 * @returns {Goal[]}
 */
function memoryGoals(rows) {
  const speedOf = (/** @type {string} */ who) =>
    rows.find(({ contender }) => contender === who)?.callsPerSecond ?? [];
  return [
    { what: "consumeSync", aim: AIMS.memorySync },
    { what: "consume", aim: AIMS.memoryAwaited },
  ].map(({ what, aim }) => ({
    what: `in memory, ${what}, calls/s × ${REFERENCE} awaited`,
    aim,
    figure: () => ratios(speedOf(`sluice ${what}`), speedOf(REFERENCE)),
  }));
}

const stage = (/** @type {number} */ inFlight) => IN_FLIGHT.indexOf(inFlight);

/**
 * @param {readonly Row[]} rows
 * @returns {Goal[]}
 */
function redisGoals(rows) {
  const speeds = (
    /** @type {string} */ client,
    /** @type {string} */ who,
    /** @type {number} */ at,
  ) => series(rowOf(rows, client, who), stage(at), speed);
  /** Of the client that is faster in that round. */
  const counters = (/** @type {number} */ at) => {
    const all = CLIENTS.map((client) => speeds(client, COUNTER, at));
    return (all[0] ?? []).map((_, round) => Math.max(...all.map((own) => own[round] ?? 0)));
  };
  return [
    {
      what: `1 in flight, calls/s × ${REFERENCE}`,
      aim: AIMS.loneOfReference,
      figure: (client) => ratios(speeds(client, "sluice", 1), speeds(client, REFERENCE, 1)),
    },
    {
      what: `256 in flight, calls/s × ${REFERENCE}`,
      aim: AIMS.distinctOfReference,
      figure: (client) => ratios(speeds(client, "sluice", 256), speeds(client, REFERENCE, 256)),
    },
    {
      what: `256 in flight, calls/s × the faster client's ${COUNTER}`,
      aim: AIMS.distinctOfCounter,
      figure: (client) => ratios(speeds(client, "sluice", 256), counters(256)),
    },
    {
      what: `1,024 in flight, calls/s × ${REFERENCE}`,
      aim: { least: 3 },
      figure: (client) => ratios(speeds(client, "sluice", 1024), speeds(client, REFERENCE, 1024)),
    },
    ...costGoals(rows),
  ];
}

/**
 * @param {readonly Row[]} rows
 * @returns {Goal[]}
 */
function costGoals(rows) {
  const own = (/** @type {string} */ client) => rowOf(rows, client, "sluice");
  return [
    {
      what: "1 in flight, p50 latency × an empty EVALSHA",
      aim: AIMS.loneOfEmpty,
      figure: (client) => {
        const row = own(client);
        const floor = row === undefined ? undefined : floorOf(row, stage(1));
        return ratios(series(row, stage(1), p50), floor ?? []);
      },
    },
    {
      what: `64 in flight, p99 latency × ${REFERENCE}`,
      aim: AIMS.p99At64,
      figure: (client) =>
        ratios(
          series(own(client), stage(64), p99),
          series(rowOf(rows, client, REFERENCE), stage(64), p99),
        ),
    },
    {
      what: "256 in flight, server µs an allowed decision, by commandstats",
      aim: { most: 2.3 },
      figure: (client) => spread(series(own(client), stage(256), commandTime)),
    },
    {
      what: "bytes a key in Redis",
      aim: { most: 128 },
      show: wholeSpread,
      figure: (client) => spread(own(client)?.bytesPerKey ?? []),
    },
  ];
}

/**
 * @param {readonly Row[]} rows
 * @returns {Goal[]}
 */
function hotGoals(rows) {
  return [
    {
      what: `one key, 256 in flight, calls/s × ${REFERENCE}`,
      aim: AIMS.hot,
      figure: (client) => versus(rows, client, REFERENCE),
    },
  ];
}

/**
 * @param {readonly Row[]} rows
 * @returns {Goal[]}
 */
function floodGoals(rows) {
  const what = "denied keys, 256 in flight, denials/s";
  return [
    {
      what: `${what} × ${REFERENCE}`,
      aim: AIMS.flood,
      figure: (client) => versus(rows, client, REFERENCE),
    },
    {
      what: `${what} × ${BLOCKING}`,
      aim: AIMS.floodOfBlocking,
      figure: (client) => versus(rows, client, BLOCKING),
    },
  ];
}

/**
 * @param {readonly Row[]} rows
 * @param {string} client
 * @param {string} contender
 */
function versus(rows, client, contender) {
  const [own, other] = ["sluice", contender].map((name) => rowOf(rows, client, name));
  return ratios(series(own, 0, speed), series(other, 0, speed));
}

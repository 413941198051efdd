/** A semaphore with more callers than permits: how long a permit stays unused between two holders. */
import { AIMS } from "./aims.mjs";
import { CLIENTS } from "./clients.mjs";
import { perform } from "./fork.mjs";
import { interleave } from "./rounds.mjs";
import { withServer } from "./server.mjs";
import { quantile, ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";

/** @typedef {import("./clients.mjs").ClientKind} ClientKind */
/** @typedef {import("./measure-semaphore.mjs").Seen} Seen */
/** @typedef {{ processes: number, callers: number, limit: number }} Crowd callers in each process */
/** @typedef {{ contender: string, client: ClientKind, crowd: Crowd }} Entrant */
/**
 * @typedef {object} Round
 * @property {number} handOffUs at the median
 * @property {number} p99Us
 * @property {number} pingUs at the median
 * @property {number} scripts script calls a hand-off
 */
/** @typedef {Entrant & { values: Round[], rounds: number, allowed: number }} Row */
/** @typedef {{ server: string, rows: Row[] }} SemaphoreSection */

const OWN = "sluice";
const OTHER = "redis-semaphore";
/** @type {readonly Crowd[]} */
export const CROWDS = [
  { processes: 4, callers: 5, limit: 5 },
  { processes: 2, callers: 1, limit: 1 },
];
/** @type {readonly { contender: string, client: ClientKind }[]} */
const CONTENDERS = [
  { contender: OWN, client: "ioredis" },
  { contender: OWN, client: "redis" },
  { contender: OTHER, client: "ioredis" },
];
const ENTRANTS = CROWDS.flatMap((crowd) => CONTENDERS.map((each) => ({ ...each, crowd })));
/** Permits mostly change hands one at a time, and no two callers are in step. */
const HOLD_MS = /** @type {const} */ ([20, 40]);
/**
 * Before a caller comes back. A permit must go to a waiter: otherwise a library whose callers poll every 10 ms would give
 * it to its last holder. Shorter than a hold, so that there is always a waiter.
 */
const PAUSE_MS = 15;
/** A round, in lengths of the other parts' measurements. */
const LENGTH = 5;
/** From when all processes have connected: code is compiled, and subscribers are opened. */
const WARM_UP_MS = 500;

/**
 * @param {import("./rounds.mjs").Schedule} schedule
 * @returns {Promise<SemaphoreSection>}
 */
export async function measureSemaphore(schedule) {
  const { server, result } = await withServer(({ url, admin }) =>
    interleave(schedule, ENTRANTS, (entrant) =>
      measureCrowd({ url, admin }, entrant, LENGTH * schedule.ms),
    ),
  );
  const rows = ENTRANTS.map((entrant, i) => {
    const values = result[i] ?? [];
    return { ...entrant, values, rounds: values.length, allowed: 1 };
  });
  return { server, rows };
}

/**
 * @param {import("./server.mjs").Server} server
 * @param {Entrant} entrant
 * @param {number} ms after the warm-up
 * @param {import("./build.mjs").Build} [build] of Sluice
 * @returns {Promise<Round>}
 */
export async function measureCrowd({ url, admin }, { contender, client, crowd }, ms, build) {
  await admin.flushall();
  await admin.config("RESETSTAT");
  const { processes, limit } = crowd;
  const kind = /** @type {const} */ ("semaphore");
  const times = { holdMs: HOLD_MS, pauseMs: PAUSE_MS, ms: WARM_UP_MS + ms };
  const job = { kind, contender, client, url, ...crowd, ...times };
  const all = await Promise.all(Array.from({ length: processes }, () => perform(job, build)));
  const calls = await scriptCalls(admin);
  const taken = all.reduce((sum, { startsUs }) => sum + startsUs.length, 0);
  return { ...summary(all, limit), scripts: calls / taken };
}

/** @param {{ info(section: string): Promise<string> }} admin */
async function scriptCalls(admin) {
  const stats = await admin.info("commandstats");
  const calls = [...stats.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)];
  return calls.reduce((sum, [, count]) => sum + Number(count), 0);
}

/**
 * The permit that was released first is the first to be taken again.
 * @param {readonly Seen[]} all
 * @param {number} limit
 */
function summary(all, limit) {
  const fromUs = Math.max(...all.map((each) => each.fromUs)) + WARM_UP_MS * 1e3;
  const endsAtUs = Math.min(...all.map((each) => each.endsAtUs));
  const events = all
    .flatMap(({ startsUs, releasesUs }) => [
      ...releasesUs.map((atUs) => ({ atUs, by: -1 })),
      ...startsUs.map((atUs) => ({ atUs, by: 1 })),
    ])
    .sort((a, b) => a.atUs - b.atUs || a.by - b.by);
  let held = 0;
  const free = /** @type {number[]} */ ([]);
  const handOffs = /** @type {number[]} */ ([]);
  for (const { atUs, by } of events) {
    held += by;
    if (held > limit) throw new Error(`${held} held a semaphore of ${limit}`);
    if (by < 0) free.push(atUs);
    else {
      const freedUs = free.shift();
      if (freedUs === undefined || freedUs < fromUs || atUs >= endsAtUs) continue;
      handOffs.push(atUs - freedUs);
    }
  }
  handOffs.sort((a, b) => a - b);
  const pings = all.flatMap(({ pingsUs }) => pingsUs).sort((a, b) => a - b);
  return {
    handOffUs: quantile(handOffs, 0.5),
    p99Us: quantile(handOffs, 0.99),
    pingUs: quantile(pings, 0.5),
  };
}

/**
 * @param {readonly Row[]} rows
 * @param {string} contender
 * @param {string} client
 * @param {Crowd | undefined} crowd
 */
function valuesOf(rows, contender, client, crowd) {
  const found = rows.find(
    (row) =>
      row.contender === contender && row.client === client && row.crowd.limit === crowd?.limit,
  );
  return found?.values ?? [];
}

const handOff = (/** @type {Round} */ { handOffUs }) => handOffUs;

/** How many PINGs a hand-off takes. */
function inPings(/** @type {readonly Round[]} */ values) {
  return ratios(
    values.map(handOff),
    values.map(({ pingUs }) => pingUs),
  );
}

/**
 * How many times as fast as the other's.
 * @param {readonly Row[]} rows
 * @param {readonly Round[]} values
 * @param {Crowd | undefined} crowd
 */
function timesAsFast(rows, values, crowd) {
  return ratios(valuesOf(rows, OTHER, "ioredis", crowd).map(handOff), values.map(handOff));
}

/** @param {Crowd} crowd */
function name({ processes, callers, limit }) {
  return `${processes * callers} for ${limit}`;
}

/**
 * @param {readonly Row[]} rows
 * @returns {import("./goals.mjs").Goal[]}
 */
export function semaphoreGoals(rows) {
  return CROWDS.flatMap((crowd) => [
    ...CLIENTS.map((client) => ({
      what: `semaphore, ${name(crowd)}: p50 hand-off × a PING, ${client}`,
      aim: client === "redis" ? AIMS.handOffRedis : AIMS.handOffIoredis,
      figure: (/** @type {string} */ through) =>
        through === client ? inPings(valuesOf(rows, OWN, client, crowd)) : undefined,
    })),
    {
      what: `semaphore, ${name(crowd)}: × as fast as ${OTHER}`,
      aim: { least: 5 },
      figure: (/** @type {string} */ client) =>
        timesAsFast(rows, valuesOf(rows, OWN, client, crowd), crowd),
    },
  ]);
}

/** @param {SemaphoreSection} section */
export function showSemaphore({ server, rows }) {
  const cells = rows.map(({ contender, client, crowd, values }) => [
    `${name(crowd)} in ${crowd.processes} processes: ${contender} through ${client}`,
    wholeSpread(spread(values.map(handOff))),
    wholeSpread(spread(values.map(({ p99Us }) => p99Us))),
    wholeSpread(spread(values.map(({ pingUs }) => pingUs))),
    factorSpread(inPings(values)),
    factorSpread(timesAsFast(rows, values, crowd)),
    factorSpread(spread(values.map(({ scripts }) => scripts))),
  ]);
  const head = ["p50 µs", "p99 µs", "a PING, p50 µs", "hand-off × PING", `× as fast as ${OTHER}`];
  const rounds = Math.min(...rows.map((row) => row.rounds));
  return [
    table(["hand-offs", ...head, "script calls a hand-off"], cells),
    "",
    `Medians [and ranges] of ${rounds} interleaved rounds, ${server}.`,
  ].join("\n");
}

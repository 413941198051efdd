/** The first calls of a fresh process, one after another: how many it takes until they are fast. */
import { AIMS } from "./aims.mjs";
import { CLIENTS } from "./clients.mjs";
import { REFERENCE } from "./contenders/index.mjs";
import { perform } from "./fork.mjs";
import { interleave } from "./rounds.mjs";
import { withServer } from "./server.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";

/** @typedef {{ contender: string, client: import("./clients.mjs").ClientKind, callsUntilHalf: number[], firstCpuMs: number[], loadedCpuMs: number[], rounds: number, allowed: number }} Row */
/** @typedef {{ server: string, rows: Row[] }} ColdSection */

const OWN = "sluice";
const KEYS = 1000;
const CALLS = 15_000;

/**
 * @param {import("./server.mjs").Server} server
 * @param {Pick<Row, "contender" | "client">} who
 * @param {number} seed
 * @param {number} [longestMs]
 */
export async function fromCold({ url, admin }, who, seed, longestMs) {
  await admin.flushall();
  const kind = /** @type {const} */ ("cold");
  return perform({ kind, ...who, url, seed, keys: KEYS, calls: CALLS }, undefined, longestMs);
}

/** @param {import("./rounds.mjs").Schedule} schedule @returns {Promise<ColdSection>} */
export async function measureCold(schedule) {
  const entrants = CLIENTS.flatMap((client) =>
    [OWN, REFERENCE].map((contender) => ({ contender, client })),
  );
  const { server, result } = await withServer((redis) =>
    interleave(schedule, entrants, (who, seed) => fromCold(redis, who, seed)),
  );
  const rows = entrants.map((who, i) => {
    const found = result[i] ?? [];
    return {
      ...who,
      callsUntilHalf: found.map(({ callsUntilHalf }) => callsUntilHalf),
      firstCpuMs: found.map(({ firstCpuMs }) => firstCpuMs),
      loadedCpuMs: found.map(({ loadedCpuMs }) => loadedCpuMs),
      rounds: found.length,
      allowed: Math.min(...found.map(({ allowed }) => allowed)),
    };
  });
  return { server, rows };
}

/** @typedef {"callsUntilHalf" | "firstCpuMs" | "loadedCpuMs"} Figure */

/** @param {readonly Row[]} rows @param {string} client @param {Figure} figure */
function timesReference(rows, client, figure) {
  const [own, other] = [OWN, REFERENCE].map((who) => {
    const row = rows.find((each) => each.contender === who && each.client === client);
    return row?.[figure] ?? [];
  });
  return ratios(own ?? [], other ?? []);
}

/** @param {readonly Row[]} rows @returns {import("./goals.mjs").Goal[]} */
export function coldGoals(rows) {
  return [
    {
      what: `cold, 1 in flight: calls until half of full speed × ${REFERENCE}'s`,
      aim: AIMS.cold,
      figure: (client) => timesReference(rows, client, "callsUntilHalf"),
    },
  ];
}

/** @param {readonly Row[]} rows */
export function showCold(rows) {
  /** @type {readonly Figure[]} */
  const figures = ["callsUntilHalf", "firstCpuMs", "loadedCpuMs"];
  const cells = rows.map((row) => [
    `${row.contender} through ${row.client}`,
    ...figures.flatMap((figure) => [
      wholeSpread(spread(row[figure] ?? [])),
      row.contender === OWN ? factorSpread(timesReference(rows, row.client, figure)) : "",
    ]),
  ]);
  const titles = [
    "calls until half of full speed",
    "CPU ms of the first 2,000 calls",
    "and of loading",
  ];
  const head = titles.flatMap((title) => [title, "× reference"]);
  return table([`a fresh process, ${whole(KEYS)} keys, 1 in flight`, ...head], cells);
}

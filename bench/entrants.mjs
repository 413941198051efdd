/** Contenders that go through Redis, round by round, on one server that is emptied before each. */
import { interleave } from "./rounds.mjs";
import { bytesPerKey, withServer } from "./server.mjs";
import { spread } from "./statistics.mjs";
import { factorSpread } from "./table.mjs";

/** @typedef {import("./measure-redis.mjs").Load} Load */
/** @typedef {{ contender: string, client: import("./clients.mjs").ClientKind, policies: number }} Entrant */
/** @typedef {{ loads: Load[], allowed: number }} Measured */
/** @typedef {(entrant: Entrant, url: string, seed: number) => Promise<Measured>} Measure */
/**
 * @typedef {object} Results
 * @property {Load[][]} loads for each round, one for each stage
 * @property {number[]} bytesPerKey one a round
 * @property {number} rounds
 * @property {number} allowed part of the calls that came out as they should, in the worst round
 */
/** @typedef {Entrant & Results} Row */
/** @typedef {{ server: string, rows: Row[] }} Section */

/**
 * @param {import("./rounds.mjs").Schedule} schedule
 * @param {readonly Entrant[]} entrants
 * @param {Measure} measure
 * @returns {Promise<Section>}
 */
export async function measureEntrants(schedule, entrants, measure) {
  const { server, result } = await withServer(({ url, admin }) =>
    interleave(schedule, entrants, async (entrant, seed) => {
      await admin.flushall();
      return { ...(await measure(entrant, url, seed)), bytes: await bytesPerKey(admin) };
    }),
  );
  const rows = entrants.map((entrant, i) => {
    const rounds = result[i] ?? [];
    return {
      ...entrant,
      loads: rounds.map(({ loads }) => loads),
      bytesPerKey: rounds.map(({ bytes }) => bytes),
      rounds: rounds.length,
      allowed: Math.min(...rounds.map(({ allowed }) => allowed)),
    };
  });
  return { server, rows };
}

/**
 * One value a round, of the i-th stage; empty if no entrant took part.
 * @param {Row | undefined} row
 * @param {number} stage
 * @param {(load: Load) => number} value
 */
export function series(row, stage, value) {
  return (row?.loads ?? []).flatMap((round) => round.slice(stage, stage + 1).map(value));
}

export const speed = (/** @type {Load} */ { callsPerSecond }) => callsPerSecond;
export const p50 = (/** @type {Load} */ { p50Us }) => p50Us;
export const p99 = (/** @type {Load} */ { p99Us }) => p99Us;
export const clientTime = (/** @type {Load} */ { clientUs }) => clientUs;
export const commandTime = (/** @type {Load} */ { commandUs }) => commandUs;
export const serverTime = (/** @type {Load} */ { serverUs }) => serverUs;

/**
 * @param {readonly Row[]} rows
 * @param {string} client
 * @param {string} contender
 */
export function rowOf(rows, client, contender) {
  return rows.find((row) => row.client === client && row.contender === contender);
}

/**
 * What a call costs both sides, as cells of a table.
 * @param {Row} row
 * @param {number} stage
 */
export function costCells(row, stage) {
  return [clientTime, commandTime, serverTime].map((time) =>
    factorSpread(spread(series(row, stage, time))),
  );
}

export const COST_HEAD = ["client CPU µs/call", "server µs/call in commands", "server CPU µs/call"];

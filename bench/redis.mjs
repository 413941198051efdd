/** Limiters that share state through Redis: throughput, latency, and bytes a key on the server. */
import { Redis } from "ioredis";
import { startRedis } from "../scripts/redis-server.mjs";
import { CLIENTS } from "./clients.mjs";
import { FLOOR, NOTES, redisContenders, REFERENCE } from "./contenders/index.mjs";
import { perform } from "./fork.mjs";
import { interleave } from "./rounds.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";

/** @typedef {import("./measure.mjs").Load} Load */
/**
 * @typedef {object} Row one contender through one client
 * @property {string} contender
 * @property {import("./clients.mjs").ClientKind} client
 * @property {Load[][]} loads for each round, one for each of IN_FLIGHT
 * @property {number[]} bytesPerKey one a round
 * @property {number} rounds
 * @property {number} allowed part of the calls, in the worst round
 */

const IN_FLIGHT = [1, 64, 256];
const SAMPLED_KEYS = 500;

/**
 * @param {import("./rounds.mjs").Schedule} schedule
 * @returns {Promise<{ server: string, rows: Row[] }>}
 */
export async function measureRedis(schedule) {
  const { ms, say } = schedule;
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  try {
    const entrants = CLIENTS.flatMap((client) =>
      Object.keys(redisContenders).map((contender) => ({ contender, client })),
    );
    const results = await interleave(
      { ...schedule, say: (line) => say(`Redis: ${line}`) },
      entrants,
      async (entrant, seed) => {
        await admin.flushall();
        const job = { ...entrant, url: redis.url, seed, ms, inFlight: IN_FLIGHT };
        const { loads, allowed } = await perform({ kind: "redis", ...job });
        return { loads, allowed, bytesPerKey: await bytesPerKey(admin) };
      },
    );
    const rows = entrants.map((entrant, i) => ({
      ...entrant,
      loads: (results[i] ?? []).map(({ loads }) => loads),
      bytesPerKey: (results[i] ?? []).map(({ bytesPerKey: bytes }) => bytes),
      rounds: results[i]?.length ?? 0,
      allowed: Math.min(...(results[i] ?? []).map(({ allowed }) => allowed)),
    }));
    return { server: await describe(admin), rows };
  } finally {
    admin.disconnect();
    await redis.stop();
  }
}

/**
 * Mean of a sample of the keys that the last contender left; 0 where it wrote none.
 * @param {Redis} admin
 */
async function bytesPerKey(admin) {
  const sizes = [];
  for (let i = 0; i < SAMPLED_KEYS; i++) {
    const key = await admin.randomkey();
    // Expired between the two commands: not a size.
    const bytes = key === null ? null : await admin.memory("USAGE", key, "SAMPLES", 0);
    if (bytes !== null) sizes.push(bytes);
  }
  return sizes.reduce((sum, bytes) => sum + bytes, 0) / Math.max(1, sizes.length);
}

/** @param {Redis} admin */
async function describe(admin) {
  const info = await admin.info("server");
  const field = (/** @type {string} */ name) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1];
  const valkey = field("valkey_version");
  return valkey === undefined ? `Redis ${field("redis_version")}` : `Valkey ${valkey}`;
}

/** @param {readonly Row[]} rows */
export function showRedis(rows) {
  const parts = CLIENTS.flatMap((client) => {
    const own = rows.filter((row) => row.client === client);
    return [loadsTable(client, own), "", bytesTable(client, own), ""];
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
    "p50 µs",
    "× floor",
    "p99 µs",
    "× reference",
  ];
  const cells = IN_FLIGHT.flatMap((inFlight, i) => {
    const reference = seriesOf(
      rows.find(({ contender }) => contender === REFERENCE),
      i,
    );
    const floor = seriesOf(
      rows.find(({ contender }) => contender === FLOOR),
      i,
    );
    return rows.map((row) => {
      const own = seriesOf(row, i);
      // The floor in turns with this one where there is that, else its own run in the same round.
      const floors = own.p50.map((_, k) => own.floorP50[k] ?? floor.p50[k] ?? Number.NaN);
      return [
        row.contender,
        String(inFlight),
        wholeSpread(spread(own.speed)),
        factorSpread(ratios(own.speed, reference.speed)),
        wholeSpread(spread(own.p50)),
        factorSpread(ratios(own.p50, floors)),
        wholeSpread(spread(own.p99)),
        factorSpread(ratios(own.p99, reference.p99)),
      ];
    });
  });
  return table([`through ${client}`, ...head], cells);
}

/**
 * One value a round, at the i-th number of calls in flight.
 * @param {Row | undefined} row
 * @param {number} i
 */
function seriesOf(row, i) {
  const loads = (row?.loads ?? []).flatMap((round) => round.slice(i, i + 1));
  return {
    speed: loads.map(({ callsPerSecond }) => callsPerSecond),
    p50: loads.map(({ p50Us }) => p50Us),
    p99: loads.map(({ p99Us }) => p99Us),
    floorP50: loads.map(({ floorP50Us }) => floorP50Us),
  };
}

/**
 * @param {string} client
 * @param {readonly Row[]} rows
 */
function bytesTable(client, rows) {
  const reference = rows.find(({ contender }) => contender === REFERENCE)?.bytesPerKey ?? [];
  const cells = rows
    .filter(({ bytesPerKey: bytes }) => spread(bytes).max > 0)
    .map(({ contender, bytesPerKey: bytes }) => [
      contender,
      wholeSpread(spread(bytes)),
      factorSpread(ratios(bytes, reference)),
    ]);
  return table([`through ${client}`, "bytes/key in Redis", "× reference"], cells);
}

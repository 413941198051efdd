/** `--against COMMIT`: the working tree's build and a commit's, pair by pair, each row separately. */
import { buildCommit, resolveCommit } from "../scripts/build-commit.mjs";
import { workingTree } from "./build.mjs";
import { CLIENTS } from "./clients.mjs";
import { perform } from "./fork.mjs";
import { CROWDS, measureCrowd } from "./semaphore.mjs";
import { withServer } from "./server.mjs";
import { medianInterval, spread } from "./statistics.mjs";
import { table } from "./table.mjs";
import { AMPLE, USUAL } from "./workload.mjs";

/** @typedef {import("./build.mjs").Build} Build */
/** @typedef {import("./server.mjs").Server} Server */
/** @typedef {import("./measure-redis.mjs").Load} Load */
/** @typedef {import("./semaphore.mjs").Crowd} Crowd */
/** What a measurement says of each of its rows; more is better. @typedef {Readonly<Record<string, number>>} Values */
/**
 * One or more rows that are measured together.
 * @typedef {object} Part
 * @property {readonly string[]} rows
 * @property {(server: Server, build: Build, seed: number, ms: number, rows: readonly string[]) => Promise<Values>} measure
 */
/** @typedef {{ row: string, ratios: number[] }} Compared */
/**
 * @typedef {object} Options
 * @property {string} commit
 * @property {number} pairs
 * @property {readonly string[]} asked rows, or the first words of rows; none: all
 * @property {number} ms length of one measurement
 * @property {(line: string) => void} say progress
 */

const CONTENDER = "sluice";
/** For measurements for which one client is enough. */
const CLIENT = /** @type {const} */ ("ioredis");
/** Few enough to be written in no time, and more than any cache of keys holds. */
const KEYS = 10_000;
const IN_FLIGHT = [1, 64, 256, 1024];
const BUSY = 256;
const HOT_IN_FLIGHT = 256;
const FLOODED_KEYS = 1000;
/** A hand-over takes as long as it is held: this many lengths of the other rows. */
const SEMAPHORE_LENGTH = 2.5;
/** A pair that the machine spoiled, such as by deadlines that passed, is measured again, at most this often. */
const ATTEMPTS = 3;
/** Slower than this, and certainly slower, is worth a look. */
const TOLERATED = 0.97;

/** @type {readonly Part[]} */
const PARTS = [
  inMemory("memory-sync", "sluice consumeSync"),
  inMemory("memory-awaited", "sluice consume"),
  ...CLIENTS.flatMap((client) => [inRedis(client), onOneKey(client), flooded(client)]),
  ofPolicies("policies-2", 2),
  ...CROWDS.map((crowd) => atSemaphore(`semaphore-for-${crowd.limit}`, crowd)),
];
export const ROWS = PARTS.flatMap(({ rows }) => rows);

/**
 * @param {string} row
 * @param {string} contender
 * @returns {Part}
 */
function inMemory(row, contender) {
  return {
    rows: [row],
    measure: async (_server, build, seed, ms) => {
      const { callsPerSecond } = await perform({ kind: "memory", contender, seed, ms }, build);
      return { [row]: callsPerSecond };
    },
  };
}

/**
 * A lone call is compared with an empty script that took turns with it; see README.md.
 * @param {import("./clients.mjs").ClientKind} client
 * @returns {Part}
 */
function inRedis(client) {
  const rowOf = (/** @type {number} */ inFlight) => `redis-${client}-${inFlight}`;
  const server = `redis-${client}-server-time`;
  return {
    rows: [...IN_FLIGHT.map(rowOf), server],
    measure: async ({ url }, build, seed, ms, rows) => {
      const isWanted = (/** @type {number} */ inFlight) =>
        rows.includes(rowOf(inFlight)) || (inFlight === BUSY && rows.includes(server));
      const stages = IN_FLIGHT.filter(isWanted).map((inFlight) => ({ keys: KEYS, inFlight, ms }));
      const kind = /** @type {const} */ ("redis");
      const job = { kind, contender: CONTENDER, client, url, seed, quota: USUAL, stages };
      const { loads } = await perform(job, build);
      /** @type {Record<string, number>} */
      const values = {};
      for (const { inFlight, callsPerSecond, p50Us, floorP50Us, commandUs } of loads) {
        values[rowOf(inFlight)] = floorP50Us === undefined ? callsPerSecond : floorP50Us / p50Us;
        if (inFlight === BUSY) values[server] = 1 / commandUs;
      }
      return values;
    },
  };
}

/**
 * @param {import("./clients.mjs").ClientKind} client
 * @returns {Part}
 */
function onOneKey(client) {
  const row = `hot-${client}`;
  return {
    rows: [row],
    measure: async ({ url }, build, seed, ms) => {
      const stages = [{ keys: 1, inFlight: HOT_IN_FLIGHT, ms }];
      const kind = /** @type {const} */ ("redis");
      const job = { kind, contender: CONTENDER, client, url, seed, quota: AMPLE, stages };
      return { [row]: speedOf(await perform(job, build)) };
    },
  };
}

/**
 * @param {import("./clients.mjs").ClientKind} client
 * @returns {Part}
 */
function flooded(client) {
  const row = `flood-${client}`;
  return {
    rows: [row],
    measure: async ({ url }, build, seed, ms) => {
      const stage = { keys: FLOODED_KEYS, inFlight: BUSY, ms };
      const kind = /** @type {const} */ ("flood");
      const job = { kind, contender: CONTENDER, client, url, seed, stage };
      return { [row]: speedOf(await perform(job, build)) };
    },
  };
}

/**
 * @param {string} row
 * @param {number} policies
 * @returns {Part}
 */
function ofPolicies(row, policies) {
  return {
    rows: [row],
    measure: async ({ url }, build, seed, ms) => {
      const stages = [{ keys: KEYS, inFlight: BUSY, ms }];
      const kind = /** @type {const} */ ("redis");
      const quota = { ...USUAL, policies };
      const job = { kind, contender: CONTENDER, client: CLIENT, url, seed, quota, stages };
      return { [row]: speedOf(await perform(job, build)) };
    },
  };
}

/**
 * Hand-offs, compared with PINGs by the same connections.
 * @param {string} row
 * @param {Crowd} crowd
 * @returns {Part}
 */
function atSemaphore(row, crowd) {
  return {
    rows: [row],
    measure: async (server, build, _seed, ms) => {
      const entrant = { contender: CONTENDER, client: CLIENT, crowd };
      const round = await measureCrowd(server, entrant, ms * SEMAPHORE_LENGTH, build);
      return { [row]: round.pingUs / round.handOffUs };
    },
  };
}

/** @param {{ loads: readonly Load[] }} measured */
function speedOf({ loads }) {
  return loads[0]?.callsPerSecond ?? Number.NaN;
}

/**
 * @param {string} row
 * @param {readonly string[]} asked
 */
function isAsked(row, asked) {
  return asked.length === 0 || asked.some((name) => row === name || row.startsWith(`${name}-`));
}

/** @param {readonly string[]} asked */
export function checkRows(asked) {
  const unknown = asked.find((name) => !ROWS.some((row) => isAsked(row, [name])));
  if (unknown !== undefined) throw new Error(`--rows ${unknown}: of ${ROWS.join(", ")}`);
}

/**
 * Each pair measures both builds one right after the other, and the next pair the other way round.
 * @param {Options} options
 */
export async function compare({ commit, pairs, asked, ms, say }) {
  const sha = resolveCommit(commit);
  say(`building ${sha}`);
  const before = buildCommit(sha);
  const parts = PARTS.map((part) => ({
    ...part,
    rows: part.rows.filter((row) => isAsked(row, asked)),
  })).filter(({ rows }) => rows.length > 0);
  /** @type {Compared[]} */
  const compared = parts.flatMap(({ rows }) => rows.map((row) => ({ row, ratios: [] })));
  const { server } = await withServer(async (redis) => {
    for (let pair = 0; pair < pairs; pair++) {
      say(`pair ${pair + 1} of ${pairs}`);
      const isOldFirst = pair % 2 === 0;
      for (const part of parts) {
        const measure = async (/** @type {Build} */ build) => {
          await redis.admin.flushall();
          return part.measure(redis, build, pair + 1, ms, part.rows);
        };
        const [first, second] = await again(say, async () => [
          await measure(isOldFirst ? before : workingTree),
          await measure(isOldFirst ? workingTree : before),
        ]);
        const [old, present] = isOldFirst ? [first, second] : [second, first];
        for (const { row, ratios } of compared) {
          const ratio = (present?.[row] ?? Number.NaN) / (old?.[row] ?? Number.NaN);
          if (part.rows.includes(row)) ratios.push(ratio);
        }
      }
    }
  });
  return { commit: sha, pairs, server, compared };
}

/**
 * @template T
 * @param {(line: string) => void} say
 * @param {() => Promise<T>} measurePair
 */
async function again(say, measurePair) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await measurePair();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      say(`once more: ${String(error)}`);
    }
  }
}

/** Whether the working tree is slower for certain, and by more than is tolerated. @param {Compared} compared */
export function isSlower({ ratios }) {
  const interval = medianInterval(ratios);
  return spread(ratios).median < TOLERATED && interval !== undefined && interval.high < 1;
}

/** @param {Awaited<ReturnType<typeof compare>>} comparison */
export function showComparison({ commit, pairs, server, compared }) {
  const cells = compared.map((each) => {
    const interval = medianInterval(each.ratios);
    const between =
      interval === undefined ? "" : `${interval.low.toFixed(3)}–${interval.high.toFixed(3)}`;
    const verdict = isSlower(each) ? "slower" : "";
    return [each.row, spread(each.ratios).median.toFixed(3), between, verdict];
  });
  const slower = compared.filter(isSlower).map(({ row }) => row);
  return [
    `The working tree against ${commit}, ${pairs} pairs, ${server}. Above 1 the working tree is faster.`,
    "",
    table(["row", "median of ratios", "95% interval", ""], cells),
    "",
    slower.length === 0
      ? `No row is slower: none has its median below ${TOLERATED} and its interval below 1.`
      : `Slower: ${slower.join(", ")}.`,
  ].join("\n");
}

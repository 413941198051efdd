/** What a run of the bench leaves, and the lines that describe its machine. */
import { whole } from "./table.mjs";

/** @typedef {import("./entrants.mjs").Section} Section */
/**
 * @typedef {object} Sections
 * @property {import("./memory.mjs").Row[]} [memory]
 * @property {Section} [redis]
 * @property {import("./cold.mjs").ColdSection} [cold]
 * @property {Section} [hot]
 * @property {Section} [mixed]
 * @property {Section} [flood]
 * @property {Section} [sets]
 * @property {import("./work.mjs").WorkSection} [work]
 * @property {import("./semaphore.mjs").SemaphoreSection} [semaphore]
 */
/**
 * @typedef {object} Result
 * @property {{ cores: number, cpu: string, node: string, packages: string[] }} machine
 * @property {{ keys: number, limit: number, periodMs: number, ms: number }} workload
 * @property {Sections} sections
 */

/** @param {Result} result */
export function describe({ machine, workload, sections }) {
  const { memory, redis, cold, hot, mixed, flood, sets, work, semaphore } = sections;
  const server = [redis, cold, hot, mixed, flood, sets, work, semaphore].find(
    (section) => section !== undefined,
  )?.server;
  const parts = {
    memory,
    redis: redis?.rows,
    cold: cold?.rows,
    hot: hot?.rows,
    mixed: mixed?.rows,
    flood: flood?.rows,
    sets: sets?.rows,
    work: work && [...work.rows, ...work.policyRows],
    semaphore: semaphore?.rows,
  };
  const measured = Object.entries(parts).flatMap(([name, rows]) =>
    rows === undefined ? [] : [{ name, rows }],
  );
  const rounds = measured.map(
    ({ name, rows }) => `${Math.min(...rows.map((row) => row.rounds))} of ${name}`,
  );
  const expected = Math.min(...measured.flatMap(({ rows }) => rows.map(({ allowed }) => allowed)));
  const percent = (Math.floor(expected * 1e4) / 1e2).toFixed(2);
  const { cores, cpu, node, packages } = machine;
  const { keys, limit, periodMs } = workload;
  const place = [`${cores} cores`, cpu, `Node ${node}`, ...(server === undefined ? [] : [server])];
  return [
    `${place.join(", ")}; ${packages.join(", ")}.`,
    `${whole(keys)} keys, uniformly random, ${whole(limit)} calls per ${periodMs / 1e3} s a key, where nothing else is said. Every reply checked; at least ${percent}% of anybody's calls came out as they should: allowed, in a flood denied.`,
    `Medians [and ranges] of interleaved rounds, ${rounds.join(", ")}; ratios are taken round by round.`,
  ].join("\n");
}

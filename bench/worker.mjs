/** A process for one measurement: the job comes as an argument, the result goes back as a message. */
import { coldStart } from "./measure-cold.mjs";
import { cpuTurns } from "./measure-cpu.mjs";
import { heapPerKey, memoryThroughput } from "./measure-memory.mjs";
import { floodLoad, redisLoads } from "./measure-redis.mjs";
import { semaphoreLoad } from "./measure-semaphore.mjs";

const KINDS = {
  memory: memoryThroughput,
  heap: heapPerKey,
  redis: redisLoads,
  flood: floodLoad,
  semaphore: semaphoreLoad,
  cold: coldStart,
  cpu: cpuTurns,
};

/** @typedef {typeof KINDS} Kinds */
/** @typedef {{ [K in keyof Kinds]: { kind: K } & Parameters<Kinds[K]>[0] }[keyof Kinds]} Job */
/**
 * @template {Job} J
 * @typedef {Awaited<ReturnType<Kinds[J["kind"]]>>} Result
 */

const job = /** @type {Job} */ (JSON.parse(process.argv[2] ?? ""));
const run = /** @type {(job: Job) => Promise<unknown>} */ (KINDS[job.kind]);
const result = await run(job);
// Timers of the contender must not keep a finished process.
process.send?.(result, () => process.exit());

/** A process for one measurement: the job comes as an argument, the result goes back as a message. */
import { heapPerKey, memoryThroughput, redisLoads } from "./measure.mjs";

/** @typedef {{ kind: "memory" } & Parameters<typeof memoryThroughput>[0]} MemoryJob */
/** @typedef {{ kind: "heap" } & Parameters<typeof heapPerKey>[0]} HeapJob */
/** @typedef {{ kind: "redis" } & Parameters<typeof redisLoads>[0]} RedisJob */
/** @typedef {MemoryJob | HeapJob | RedisJob} Job */
/**
 * @template {Job} J
 * @typedef {Awaited<ReturnType<{ memory: typeof memoryThroughput, heap: typeof heapPerKey, redis: typeof redisLoads }[J["kind"]]>>} Result
 */

/** @param {Job} job */
function perform(job) {
  switch (job.kind) {
    case "memory":
      return memoryThroughput(job);
    case "heap":
      return heapPerKey(job);
    case "redis":
      return redisLoads(job);
  }
}

const job = /** @type {Job} */ (JSON.parse(process.argv[2] ?? ""));
const result = await perform(job);
// Timers of the contender must not keep a finished process.
process.send?.(result, () => process.exit());

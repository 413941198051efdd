/**
 * Who takes part. A contender is one file that opens a session; a line here enters it. Imports are
 * lazy, so that a process measures one contender without the code of the others.
 */

/** @typedef {"token bucket" | "fixed window" | "none"} Algorithm */

/**
 * One limiter at work. `call` is what is timed; `remaining` reads a reply: what is left, DENIED, or undefined if the
 * contender does not tell.
 * @typedef {{ call(key: string): unknown, remaining(reply: unknown): number | undefined, close(): unknown }} Session
 */

/**
 * @typedef {object} MemoryContender
 * @property {Algorithm} algorithm
 * @property {boolean} [sync] whether `call` answers at once; else its promise is awaited
 * @property {(quota?: import("../workload.mjs").Quota) => Session} open
 */

/**
 * @typedef {object} RedisContender
 * @property {Algorithm} algorithm
 * @property {(client: import("../clients.mjs").Client, quota: import("../workload.mjs").Quota) => Session | Promise<Session>} open
 */

/** What ratios are to. */
export const REFERENCE = "rate-limiter-flexible";
/** What latency at one call in flight is compared with. */
export const FLOOR = "empty EVALSHA";
/** What throughput is compared with besides: the least that a shared counter costs. */
export const COUNTER = "INCR";
/** The reference when it keeps denied keys in memory. */
export const BLOCKING = `${REFERENCE}, inMemoryBlockOnConsumed`;

/** @type {Readonly<Record<string, () => Promise<MemoryContender>>>} */
export const memoryContenders = {
  "sluice consumeSync": () => import("./memory/sluice-sync.mjs"),
  "sluice consume": () => import("./memory/sluice.mjs"),
  [REFERENCE]: () => import("./memory/rate-limiter-flexible.mjs"),
  limiter: () => import("./memory/limiter.mjs"),
  "express-rate-limit": () => import("./memory/express-rate-limit.mjs"),
};

/** Sluice with a hot key beside what is measured. */
export const BESIDE = {
  refunded: "sluice beside a hot key, consumed and refunded",
  ofItsOwn: "sluice beside a hot key with policies of its own",
};

/** Each of these calls has one on the hot key beside it. */
export const BESIDE_EVERY = 4;

/** @type {Readonly<Record<string, () => Promise<RedisContender>>>} */
export const redisContenders = {
  sluice: () => import("./redis/sluice.mjs"),
  [BESIDE.refunded]: async () => (await import("./redis/sluice-beside.mjs")).refunded,
  [BESIDE.ofItsOwn]: async () => (await import("./redis/sluice-beside.mjs")).ofItsOwn,
  [REFERENCE]: () => import("./redis/rate-limiter-flexible.mjs"),
  "@upstash/ratelimit": () => import("./redis/upstash.mjs"),
  [FLOOR]: () => import("./redis/empty-script.mjs"),
  [COUNTER]: () => import("./redis/incr.mjs"),
};

/** Asked for what is used up: `remaining` says DENIED of a denial. */
/** @type {Readonly<Record<string, () => Promise<RedisContender>>>} */
export const floodContenders = {
  sluice: () => import("./flood/sluice.mjs"),
  [REFERENCE]: () => import("./flood/rate-limiter-flexible.mjs"),
  [BLOCKING]: () => import("./flood/rate-limiter-flexible-blocking.mjs"),
};

/**
 * Opens a semaphore at which `acquire` waits for a permit, and resolves to the function that releases it.
 * @typedef {object} SemaphoreContender
 * @property {(client: import("../clients.mjs").Client, limit: number) => { acquire(): Promise<() => Promise<unknown>>, close(): unknown }} open
 */

/** @type {Readonly<Record<string, () => Promise<SemaphoreContender>>>} */
export const semaphoreContenders = {
  sluice: () => import("./semaphore/sluice.mjs"),
  "redis-semaphore": () => import("./semaphore/redis-semaphore.mjs"),
};

/** What a reader must know beside the numbers. */
export const NOTES = {
  memory: [
    "express-rate-limit: its MemoryStore's `increment`, which counts and leaves the decision to the middleware.",
    "limiter: one RateLimiter a key in a Map; it answers only yes or no, and never forgets a key.",
    "@upstash/ratelimit does not take part: it has no store in memory.",
  ],
  redis: [
    "@upstash/ratelimit speaks Upstash's REST protocol and starts its scripts with a flag that only Upstash's server knows. Here an adapter takes both away, so that it runs on a plain connection without the HTTP that its users pay for.",
    "INCR and the empty EVALSHA (`return 1`) are floors, not limiters: what the client and the server cost by themselves.",
  ],
};

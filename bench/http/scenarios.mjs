/** What is measured of each framework: where limits are kept, and whether there is anything left of them. */

/** @typedef {{ store: "memory" | "redis", isDenied: boolean, connections: number, batch: number }} Scenario */

/** @type {Readonly<Record<string, Scenario>>} */
export const SCENARIOS = {
  memory: { store: "memory", isDenied: false, connections: 4, batch: 64 },
  "memory, denied": { store: "memory", isDenied: true, connections: 4, batch: 64 },
  redis: { store: "redis", isDenied: false, connections: 32, batch: 64 },
  "redis, denied": { store: "redis", isDenied: true, connections: 32, batch: 64 },
};

/** Added CPU of Sluice, times the peer's: at most this. */
export const GOALS = {
  express: { memory: 0.5, "memory, denied": 0.5, redis: 0.8, "redis, denied": 0.5 },
  fastify: { memory: 1, "memory, denied": 0.5, redis: 0.8, "redis, denied": 0.5 },
  hono: { memory: 1, "memory, denied": 0.5 },
};

export const KEYS = 1000;
export const WINDOW_MS = 3_600_000;
/** Above what a key gets in an hour of measuring; and what is used up by its first request. */
export const limitOf = (/** @type {Scenario} */ { isDenied }) => (isDenied ? 1 : 1_000_000);

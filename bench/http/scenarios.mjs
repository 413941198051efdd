/** What is measured of each framework: where limits are kept, and whether there is anything left of them. */

/** @typedef {{ store: "memory" | "redis", isDenied: boolean, connections: number, keys: number, batch: number }} Scenario */

const MEMORY = { store: /** @type {const} */ ("memory"), connections: 4, keys: 1000, batch: 64 };
const REDIS = { store: /** @type {const} */ ("redis"), connections: 32, keys: 1000, batch: 64 };

/** @type {Readonly<Record<string, Scenario>>} */
export const SCENARIOS = {
  memory: { ...MEMORY, isDenied: false },
  "memory, denied": { ...MEMORY, isDenied: true },
  redis: { ...REDIS, isDenied: false },
  // A key comes back after about a second: few denials are remembered for so long.
  "redis, denied": { ...REDIS, isDenied: true },
  "redis, flood": { ...REDIS, isDenied: true, keys: 20 },
};

/** Added CPU of Sluice, times the peer's: at most this. */
export const GOALS = {
  express: {
    memory: 0.5,
    "memory, denied": 0.5,
    redis: 0.8,
    "redis, denied": 0.5,
    "redis, flood": 0.5,
  },
  fastify: {
    memory: 1,
    "memory, denied": 0.5,
    redis: 0.8,
    "redis, denied": 0.5,
    "redis, flood": 0.5,
  },
  hono: { memory: 1, "memory, denied": 0.5 },
};

export const WINDOW_MS = 3_600_000;
/** Connections outlast the turns of the others, however slow the machine is. */
export const KEEP_ALIVE_MS = 600_000;
/** Above what a key gets in an hour of measuring; and what is used up by its first request. */
export const limitOf = (/** @type {Scenario} */ { isDenied }) => (isDenied ? 1 : 1_000_000);

/** The load of the soak: several limiters on one store, most keys allowed, some denied, some never seen again. */
import { setImmediate as turn } from "node:timers/promises";
import {
  calendarWindow,
  consumeAtomic,
  fixedWindow,
  RateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../packages/sluice/dist/index.js";
import { RedisStore } from "../packages/sluice/dist/stores/redis/index.js";

/** @typedef {{ calls: number, [outcome: string]: number }} Counts */
/** @typedef {readonly (readonly [share: number, call: () => Promise<unknown>])[]} Calls */
/** @typedef {import("../packages/sluice/dist/index.js").Decision} Decision */

const USERS = 100_000;
const ATTACKERS = 2000;
const TENANTS = 5000;
/** A deadline that a busy store does not always keep. */
const TIGHT_MS = 4;
/** Answers from memory alone would leave the event loop no turn. */
const TURN_MS = 1;
const ABORTED = "aborted";

/**
 * @param {import("./clients.mjs").Client} client
 * @param {number} inFlight
 * @param {number} leak bytes to keep of each call
 */
export function makeTraffic({ raw }, inFlight, leak) {
  const limiters = makeLimiters(new RedisStore({ client: raw }));
  const choose = chooser(makeCalls(limiters));
  const turns = makeTurns();
  /** @type {Counts} */
  const counts = { calls: 0 };
  /** @type {unknown[]} */
  const leaked = [];

  /** @param {AbortSignal} signal */
  async function work(signal) {
    while (!signal.aborted) {
      const outcome = outcomeOf(await choose()().catch((/** @type {unknown} */ error) => error));
      counts.calls += 1;
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      if (leak > 0) leaked.push(new Float64Array(Math.ceil(leak / 8)));
      if (turns.isDue()) await turns.take();
    }
  }

  return {
    counts,
    /** @param {AbortSignal} signal */
    run: (signal) => Promise.all(Array.from({ length: inFlight }, () => work(signal))),
    close: () => Promise.all(Object.values(limiters).map((limiter) => limiter.close())),
  };
}

/** @param {RedisStore} store */
function makeLimiters(store) {
  const users = new RateLimiter({
    store,
    namespace: "users",
    policy: tokenBucket({ limit: 1000, period: "1m" }),
  });
  const logins = new RateLimiter({
    store,
    namespace: "logins",
    policy: slidingLog({ limit: 5, window: "10s" }),
    onStoreFailure: "closed",
    blockFor: "2s",
  });
  const tenants = new RateLimiter({
    store,
    namespace: "tenants",
    policy: [
      tokenBucket({ name: "burst", limit: 50, period: "1s" }),
      slidingWindow({ name: "minute", limit: 2000, window: "1m" }),
      calendarWindow({ name: "day", limit: 1e6, unit: "day", timeZone: "Europe/Berlin" }),
    ],
  });
  const visitors = new RateLimiter({
    store,
    namespace: "visitors",
    policy: fixedWindow({ limit: 10, window: "2s", align: "first" }),
    timeout: TIGHT_MS,
  });
  return { users, logins, tenants, visitors };
}

/**
 * Every call by its share of the load.
 * @param {ReturnType<typeof makeLimiters>} limiters
 * @returns {Calls}
 */
function makeCalls({ users, logins, tenants, visitors }) {
  let visits = 0;
  const pick = (/** @type {number} */ count) => Math.floor(Math.random() * count);

  function abortedOnTheWay() {
    const controller = new AbortController();
    const call = users.consume(`user ${pick(USERS)}`, { signal: controller.signal });
    setImmediate(() => controller.abort(ABORTED));
    return call;
  }

  async function atomic() {
    const { allowed, decisions } = await consumeAtomic([
      { limiter: users, key: `user ${pick(USERS)}` },
      { limiter: tenants, key: `tenant ${pick(TENANTS)}` },
    ]);
    return { ...decisions[0], allowed };
  }

  return [
    [50, () => users.consume(`user ${pick(USERS)}`)],
    [15, () => logins.consume(`address ${pick(ATTACKERS)}`)],
    [10, () => tenants.consume(`tenant ${pick(TENANTS)}`, { cost: 1 + pick(3) })],
    // No visitor comes twice: what is kept of these is a leak.
    [15, () => visitors.consume(`visitor ${visits++}`)],
    [3, () => users.peek(`user ${pick(USERS)}`)],
    [2, () => users.refund(`user ${pick(USERS)}`, 1)],
    [1, () => users.penalize(`user ${pick(USERS)}`, 2)],
    [1, () => tenants.consumeUpTo(`tenant ${pick(TENANTS)}`, { cost: 10 })],
    [1, () => users.consume(`user ${pick(USERS)}`, { signal: AbortSignal.abort(ABORTED) })],
    [1, abortedOnTheWay],
    [0.5, atomic],
    [0.3, () => logins.unblock(`address ${pick(ATTACKERS)}`)],
    [0.2, () => logins.reset(`address ${pick(ATTACKERS)}`)],
  ];
}

/**
 * Picks calls at random, by their shares.
 * @param {Calls} calls
 */
function chooser(calls) {
  const whole = calls.reduce((sum, [share]) => sum + share, 0);
  return () => {
    let at = Math.random() * whole;
    for (const [share, call] of calls) {
      at -= share;
      if (at < 0) return call;
    }
    return /** @type {() => Promise<unknown>} */ (calls[0]?.[1]);
  };
}

/** Gives the event loop a turn from time to time, one for all who work. */
function makeTurns() {
  let turnedMs = performance.now();
  /** @type {Promise<void> | undefined} */
  let turning;
  const turned = async () => {
    await turn();
    turnedMs = performance.now();
    turning = undefined;
  };
  return {
    isDue: () => performance.now() - turnedMs > TURN_MS,
    take: () => (turning ??= turned()),
  };
}

/** @param {unknown} answer */
function outcomeOf(answer) {
  if (answer === undefined) return "done";
  if (answer === ABORTED) return ABORTED;
  // Administrative verbs throw while the store is stopped; whatever else is thrown must be seen.
  if (answer instanceof Error) return "code" in answer ? String(answer.code) : String(answer);
  const { allowed, source } = /** @type {Decision} */ (answer);
  return `${allowed ? "allowed" : "denied"}, ${source}`;
}

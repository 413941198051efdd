// A process of one build, at keys that processes of another build use too. It knows public exports alone, for it runs
// on builds of the past and of the future. Argument: a Start as JSON. Each line of its input is a Job as JSON, for which
// it prints a line: what it saw, as JSON.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createClient } from "redis";

/** @typedef {import("../../src/index.js").Decision} Decision */
/** @typedef {import("../../src/index.js").RateLimiterOptions} RateLimiterOptions */
/**
 * @typedef {object} Start
 * @property {import("../../../../scripts/build-commit.mjs").Entries} build
 * @property {string} url
 */
/**
 * @typedef {object} Job
 * @property {keyof typeof tasks} task
 * @property {string} key
 * @property {number} index of this process
 * @property {number} processes that take part
 * @property {number} calls of each of a process's callers, or rounds
 * @property {import("../../src/index.js").Policy | readonly import("../../src/index.js").Policy[]} [policy]
 * @property {readonly Verb[]} [verbs]
 * @property {number} [limit]
 */
/** @typedef {"consume" | "consumeUpTo" | "reserve" | "acquire"} Verb */
/** An answer and what it answers. @typedef {{ verb: Verb, cost: number, maxWaitUs?: number, decision: Decision, granted?: number, readyAtUs?: number }} Asked */

const CALLERS = 8;
const PATIENT = { timeout: "30s" };

const { build, url } = /** @type {Start} */ (JSON.parse(process.argv[2] ?? ""));
const from = (/** @type {string} */ path) => pathToFileURL(path).href;
const { RateLimiter, Semaphore } = /** @type {typeof import("../../src/index.js")} */ (
  await import(from(build.core))
);
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await import(from(build.redis))
);

const client = createClient({ url });
await client.connect();
const store = new RedisStore({ client });

/** What it is at. @type {Job} */
let job;
/** Of that. */
let [key, index, processes, calls] = ["", 0, 0, 0];

/** Every answer is to be the store's. @param {object} [more] */
function open(more = {}) {
  const { policy } = job;
  if (policy === undefined) throw new Error("the task needs a policy");
  const options = { policy, store, denyCache: false, onStoreFailure: "throw", ...PATIENT, ...more };
  return new RateLimiter(/** @type {RateLimiterOptions & { store: typeof store }} */ (options));
}

/** Units taken ahead: the option had another name once. */
function openAhead() {
  const ahead = { size: 7, ttl: "1h" };
  try {
    return open({ prefetch: ahead });
  } catch {
    return open({ lease: ahead });
  }
}

/** Until all processes have come to this point. @param {string} point */
async function everybody(point) {
  await client.incr(`ready ${point}`);
  while (Number(await client.get(`ready ${point}`)) < processes) await sleep(2);
}

/** @template T @param {(caller: number) => Promise<T>} work */
function callers(work) {
  return Promise.all(Array.from({ length: CALLERS }, (_, caller) => work(caller)));
}

const tasks = {
  /** All that an audit can replay: takes units by each of the verbs in turn. */
  async taken() {
    const limiter = open();
    const { verbs = [] } = job;
    /** @type {Asked[]} */
    const seen = [];
    const ask = {
      consume: async (/** @type {number} */ cost) => {
        seen.push({ verb: "consume", cost, decision: await limiter.consume(key, { cost }) });
      },
      consumeUpTo: async (/** @type {number} */ cost) => {
        const decision = await limiter.consumeUpTo(key, { cost: cost + 2 });
        seen.push({ verb: "consumeUpTo", cost: cost + 2, decision, granted: decision.granted });
      },
      reserve: async (/** @type {number} */ cost) => {
        const reservation = await limiter.reserve(key, { cost, maxWait: "20ms" });
        const ready = reservation.allowed ? { readyAtUs: reservation.readyAtUs } : {};
        seen.push({
          verb: "reserve",
          cost,
          maxWaitUs: 20e3,
          decision: reservation.decision,
          ...ready,
        });
      },
      acquire: async (/** @type {number} */ cost) => {
        try {
          const start = await limiter.acquire(key, { cost, maxWait: "10m" });
          const { readyAtUs } = start;
          seen.push({ verb: "acquire", cost, maxWaitUs: 600e6, decision: start, readyAtUs });
        } catch (error) {
          // Nothing was taken, and there is no decision to log.
          if (/** @type {{ code?: string }} */ (error).code !== "QUEUE_FULL") throw error;
        }
      },
    };
    await everybody("to take");
    await callers(async (caller) => {
      for (let i = 0; i < calls; i++) {
        const verb = /** @type {Verb} */ (verbs[(i + caller + index) % verbs.length]);
        await ask[verb](1 + ((i + caller) % 2));
      }
    });
    await limiter.close();
    return seen;
  },

  /** Takes units and gives some back, from a window that never ends; answers what is in use by its own account. */
  async ledger() {
    const limiter = open();
    let inUse = 0;
    await everybody("to account");
    await callers(async () => {
      for (let i = 0; i < calls; i++) {
        const { allowed } = await limiter.consume(key, { cost: 3 });
        if (allowed) inUse += 3;
        await limiter.refund(key, 1.25);
        await limiter.penalize(key, 0.5);
        const { granted } = await limiter.consumeUpTo(key, { cost: 4 });
        inUse += granted - 0.75;
      }
    });
    await limiter.close();
    return inUse;
  },

  /** The same with units that are taken ahead, and given back at the end. */
  async ahead() {
    const limiter = openAhead();
    let inUse = 0;
    await everybody("to take ahead");
    await callers(async () => {
      for (let i = 0; i < calls; i++) if ((await limiter.consume(key)).allowed) inUse += 1;
    });
    await limiter.close();
    return inUse;
  },

  /**
   * Gets in line for starts that are far away, and gives some up; answers how many places it keeps. Then two
   * processes at a time have the end of the line to themselves, and give up what they got there: whether they did.
   */
  async line() {
    const limiter = open();
    let kept = 0;
    let cancelled = 0;
    /** @type {boolean[]} */
    const givenBack = [];
    await everybody("to reserve");
    await callers(async (caller) => {
      for (let i = 0; i < calls; i++) {
        const reservation = await limiter.reserve(key);
        if (!reservation.allowed) throw new Error(`refused: ${reservation.reason}`);
        kept += 1;
        if ((i + caller) % 3 > 0 && (await reservation.cancel())) cancelled += 1;
      }
    });
    for (let turn = 0; turn < processes; turn++) {
      await everybody(`first at turn ${turn}`);
      const first = turn === index ? await limiter.reserve(key, { cost: 3 }) : undefined;
      await everybody(`second at turn ${turn}`);
      const isSecond = (turn + 1) % processes === index;
      const second = isSecond ? await limiter.reserve(key) : undefined;
      await everybody(`first back at turn ${turn}`);
      // All but what the one behind was promised to follow.
      if (first?.allowed === true) givenBack.push(await first.cancel());
      if (first !== undefined) kept += 1;
      await everybody(`second back at turn ${turn}`);
      if (second?.allowed === true) givenBack.push(await second.cancel());
    }
    await limiter.close();
    return { kept: kept - cancelled, givenBack };
  },

  /** What is left of a key, as this build reads it. */
  async peek() {
    const limiter = open();
    const decision = await limiter.peek(key);
    await limiter.close();
    return decision;
  },

  /** Each process blocks the key in turn, while all go on asking. */
  async block() {
    const limiter = open();
    /** @type {{ atUs: number, reason: string }[]} */
    const seen = [];
    /** By the store's clock: the key was blocked from and to these moments for certain. @type {{ fromUs: number, toUs: number }[]} */
    const blocks = [];
    /** And not between these. @type {{ fromUs: number, toUs: number }[]} */
    const free = [];
    const decidedAtUs = async () => (await limiter.peek(key)).decidedAtUs;
    const over = new AbortController();
    await everybody("to block");
    const asking = callers(async () => {
      while (!over.signal.aborted) {
        const { decidedAtUs: atUs, reason } = await limiter.consume(key, { cost: 0.001 });
        seen.push({ atUs, reason });
        await sleep(1);
      }
    });
    for (let turn = 0; turn < calls * processes; turn++) {
      if (turn % processes === index) {
        const freeFromUs = await decidedAtUs();
        await sleep(15);
        free.push({ fromUs: freeFromUs, toUs: await decidedAtUs() });
        await limiter.block(key, "1h");
        await limiter.block(key, "1m", { keepLonger: true });
        const fromUs = await decidedAtUs();
        await sleep(15);
        blocks.push({ fromUs, toUs: await decidedAtUs() });
        await limiter.unblock(key);
      }
      await everybody(`turn ${turn}`);
    }
    over.abort();
    await asking;
    await limiter.close();
    return { seen, blocks, free };
  },

  /** Holds a semaphore's places again and again; answers from when to when, for certain, by this machine's clock. */
  async hold() {
    const semaphore = new Semaphore({ limit: job.limit ?? 1, store, ...PATIENT });
    /** @type {object[]} */
    const seen = [];
    await everybody("to hold");
    await callers(async (caller) => {
      for (let i = 0; i < calls; i++) {
        const weight = 1 + ((i + caller) % 2);
        const permit = await semaphore.acquire(key, { weight });
        await sleep(Math.random() * 6);
        const untilUs = permit.expiresAtUs;
        const isLost = permit.lost.aborted;
        const heldUntilUs = Date.now() * 1e3;
        await permit.release();
        seen.push({ fence: Number(permit.fencingToken), weight, untilUs, heldUntilUs, isLost });
      }
    });
    await semaphore.close();
    return seen;
  },

  /** All get in line behind the first process, in the order of their numbers; answers the fence that this one gets. */
  async queue() {
    const semaphore = new Semaphore({ limit: 1, leaseDuration: "10m", store, ...PATIENT });
    const usage = () => semaphore.inspect(key);
    const isFirst = index === 0;
    if (!isFirst) {
      while ((await usage()).held < 1 || (await usage()).waiting < index - 1) await sleep(2);
    }
    const acquired = semaphore.acquire(key);
    if (isFirst) {
      await acquired;
      while ((await usage()).waiting < processes - 1) await sleep(2);
    }
    const permit = await acquired;
    const fence = Number(permit.fencingToken);
    await permit.release();
    await semaphore.close();
    return fence;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  job = /** @type {Job} */ (JSON.parse(line));
  ({ key, index, processes, calls } = job);
  process.stdout.write(`${JSON.stringify(await tasks[job.task]())}\n`);
}
await store.close();
await client.close();

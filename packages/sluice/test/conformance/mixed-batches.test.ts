/**
 * Queues of all verbs on few keys, under options that change from call to call and in sets that overlap, cut into batches
 * of any size: the model is the same store when it decides one call after another.
 */
import type { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import {
  type AtomicRequest,
  consumeAtomic,
  fixedWindow,
  type Policy,
  RateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore, type RedisStoreOptions } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const QUEUES = runs(50);
const BURSTS = 8;
const KEYS = ["a", "b", "c"];

let connection: TestClient;
beforeAll(async () => {
  connection = await clients.ioredis();
});
afterAll(() => connection.close());

interface Limiters {
  /** Its calls bring policies of their own, in place of those of the same names. */
  readonly sets: RateLimiter;
  /** Its function returns what was chosen, so that sets overlap in any way. */
  readonly chosen: RateLimiter;
  readonly choose: (policies: readonly Policy[]) => void;
  /** Whose calls can wait in line. */
  readonly line: RateLimiter;
}

type Call = (limiters: Limiters) => Promise<unknown>;

const NAMES = ["bucket", "window", "sliding", "log"];

function anyPolicy(random: Random, name: string): Policy {
  const [limit, ms] = [random.int(0, 6), random.pick([20, 1000])];
  if (name === "bucket") return tokenBucket({ name, limit: limit + 1, period: ms });
  if (name === "window") return fixedWindow({ name, limit, window: ms, align: "first" });
  if (name === "sliding") return slidingWindow({ name, limit, window: ms });
  return slidingLog({ name, limit, window: ms });
}

/** One to three policies in any order; in half of them a script that knows no log can decide. */
function anySet(random: Random): readonly Policy[] {
  const names = random.chance(0.5) ? NAMES.filter((name) => name !== "log") : [...NAMES];
  return Array.from({ length: random.pick([1, 1, 2, 2, 3]) }, () => {
    const [name = ""] = names.splice(random.int(0, names.length - 1), 1);
    return anyPolicy(random, name);
  });
}

function anyCall(random: Random, policies: readonly (readonly Policy[])[], blocks: boolean): Call {
  const [key, otherKey, policy] = [random.pick(KEYS), random.pick(KEYS), random.pick(policies)];
  const [cost, ms, reset] = [random.int(0, 3), random.pick([5, 500]), random.chance(0.5)];
  return random.pick<Call>([
    ({ sets }) => sets.consume(key, { cost, policy }),
    ({ sets }) => sets.consume(key, { policy }),
    ...Array.from(
      { length: 6 },
      (): Call =>
        ({ chosen, choose }) => {
          choose(policy);
          return chosen.consume(key, { cost });
        },
    ),
    ({ chosen }) => chosen.refund(key, cost),
    ({ sets }) => sets.consumeUpTo(key, { cost, policy }),
    ({ sets }) => sets.peek(key, { policy }),
    ({ sets }) => sets.refund(key, cost),
    ({ sets }) => sets.penalize(key, cost),
    ({ sets }) => sets.block(key, ms, { reset }),
    ({ sets }) => sets.unblock(key),
    ({ sets }) => sets.reset(key),
    ({ line }) => line.consume(key, { cost }),
    async ({ line }) => {
      const { allowed, decision } = await line.reserve(key, { cost, maxWait: 50 });
      return [allowed, decision];
    },
    ({ line }) => line.refund(key, cost),
    ({ line, sets }) => {
      // It blocks in a call of its own, behind its burst.
      if (blocks) return line.peek(key);
      const [one, two] = [line, sets].map((limiter, i) => ({
        limiter,
        key: [key, otherKey][i] ?? key,
        cost,
      }));
      return consumeAtomic((reset ? [one, two] : [two, one]) as AtomicRequest[]);
    },
  ]);
}

const outcomesOf = async (calls: readonly Promise<unknown>[]): Promise<unknown[]> =>
  (await Promise.allSettled(calls)).map((outcome) =>
    outcome.status === "fulfilled" ? outcome.value : String(outcome.reason),
  );

test(`answer and store what they do one after another, in ${QUEUES} random queues (SLUICE_SEED=${seed})`, async () => {
  const redis = connection.client as Redis;
  let together = 0;
  for (let i = 0; i < QUEUES; i++) {
    const random = new Random(seed + i);
    const clock = new ManualClock();
    const policies = Array.from({ length: 4 }, () => anySet(random));
    const blocks = random.chance(0.5);
    const ownSeed = random.int(0, 1e9);
    const namespace = `mixed.${process.pid}.${seed}.${i}`;
    const play = (
      name: string,
      batching: Partial<RedisStoreOptions>,
    ): Limiters & { store: RedisStore } => {
      const store = new RedisStore({ client: connection.client, clock, ...batching });
      const own = new Random(ownSeed);
      let now = policies[0] ?? [];
      const options = {
        store,
        identity: "plain",
        onStoreFailure: "throw",
        denyCache: false,
        timeout: "60s",
      } as const;
      return {
        store,
        choose: (chosen) => {
          now = chosen;
        },
        chosen: new RateLimiter({
          ...options,
          policy: () => now,
          namespace: `${namespace}.${name}.chosen`,
        }),
        sets: new RateLimiter({
          ...options,
          policy: NAMES.map((each) => anyPolicy(own, each)),
          namespace: `${namespace}.${name}.sets`,
        }),
        line: new RateLimiter({
          ...options,
          policy: tokenBucket({ limit: 100, period: 1000, burst: 4 }),
          ...(blocks && { blockFor: 30 }),
          namespace: `${namespace}.${name}.line`,
        }),
      };
    };
    const subject = play("these", {
      maxBatch: random.pick([2, 3, 7, 256]),
      maxInFlight: random.pick([1, 3]),
    });
    const model = play("those", { maxBatch: 1, maxInFlight: 1 });
    subject.store.events.on("batch", ({ size }) => {
      if (size > 1) together += 1;
    });
    for (let burst = 0; burst < BURSTS; burst++) {
      // Now and then it goes back, as a clock of another server does after a failover.
      clock.set(clock.nowUs() + random.int(-3, 4) * 10 ** random.int(0, 6));
      const calls = Array.from({ length: random.int(1, 16) }, () =>
        anyCall(random, policies, blocks),
      );
      const expected: unknown[] = [];
      for (const call of calls) expected.push(...(await outcomesOf([call(model)])));
      const about = `queue ${i}, burst ${burst}: ${calls.map(String).join("; ")}`;
      expect(await outcomesOf(calls.map((call) => call(subject))), about).toEqual(expected);
      expect(await stateOf(redis, `${namespace}.`, "these"), about).toEqual(
        await stateOf(redis, `${namespace}.`, "those"),
      );
    }
  }
  expect(together).toBeGreaterThan(QUEUES);
});

/** The bytes under all keys of a play, and which of them end some time. */
async function stateOf(redis: Redis, start: string, name: string): Promise<unknown> {
  const keys = (await redis.keys(`${start}${name}.*`)).filter((key) => !key.includes("!")).sort();
  return Promise.all(
    keys.map(async (key) => {
      const isHash = (await redis.type(key)) === "hash";
      const stored = isHash ? await redis.hgetallBuffer(key) : await redis.getBuffer(key);
      return [key.replace(name, ""), stored, (await redis.pttl(key)) > 0];
    }),
  );
}

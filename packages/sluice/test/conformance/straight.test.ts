/**
 * Consumes that the straight part of a script decides get the answers, and leave the bytes, that the general path of the
 * same script would: on sets of policies and on lone ones, mixed, in whatever state their keys are.
 */
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  calendarWindow,
  consumeAtomic,
  fixedWindow,
  type Policy,
  RateLimiter,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore, type RunScript } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import {
  costOf,
  type Kind,
  kinds,
  type LimitedPolicy,
  moveUs,
  policies,
  starts,
  type Step,
  steps,
} from "../properties/arbitraries.js";
import { runs } from "../support/runs.js";

let server: Awaited<ReturnType<typeof startRedis>>;
/** One database for each path, so that keys have the same names. */
let straight: Redis;
let general: Redis;
beforeAll(async () => {
  server = await startRedis();
  straight = new Redis(server.url, { db: 0 });
  general = new Redis(server.url, { db: 1 });
});
afterAll(async () => {
  await Promise.all([straight.quit(), general.quit()]);
  await server.stop();
});

/** Where a script turns to its general path, of which it has one before all groups. */
const TURN = "general = general or makeGeneral()\n";
/** Where the script of a lone call turns to the text of a batch. */
const BATCH = "local ARGV = {";
/** What the scripts of batches of sets have. */
const OF_SETS = "local isFast = true\n";
const COUNTER = "turns";
/** Where a policy that is not known ahead has its first number. */
const NUMBERS = / = ARGV\[\d+\],/;
const BATCH_COUNTER = "batches of one";

/** Runs scripts as they are, but for counting how often they turn to their general path, and lone calls to that of batches. */
function countingTurns(redis: Redis): RunScript {
  return runner(redis, (source) => {
    if (source.includes(BATCH)) loneCalls[NUMBERS.test(source) ? "general" : "fixed"] += 1;
    else if (source.includes(OF_SETS)) sets[source.includes("ask[i]") ? "looped" : "unrolled"] += 1;
    return source
      .replace(TURN, `${TURN}call('INCR', '${COUNTER}')\n`)
      .replace(BATCH, `redis.call('INCR', '${BATCH_COUNTER}')\n${BATCH}`);
  });
}

/** Runs scripts without a fast path. */
function withoutFastPaths(redis: Redis): RunScript {
  return runner(redis, (source) => {
    const batch = source.slice(Math.max(0, source.indexOf(BATCH)));
    const ofSets = batch.replace(/^local isFast = true$/m, "local isFast = false");
    return ofSets === batch
      ? batch.replace(/^local general$/m, "fast = {}\nlocal general")
      : ofSets;
  });
}

function runner(redis: Redis, change: (source: string) => string): RunScript {
  return (_sha, source, keys, args) => {
    const changed = change(source);
    if (source.includes(TURN)) expect(changed).not.toBe(source);
    return redis.eval(changed, keys.length, ...keys, ...args);
  };
}

const VERBS = ["refund", "penalize", "block", "unblock", "reset", "spoil", "spoil"] as const;
type Verb = "consume" | (typeof VERBS)[number];

/** What is under a key that Sluice did not write. */
const SPOILERS: readonly ((redis: Redis, key: string) => Promise<unknown>)[] = [
  (redis, key) => redis.del(key),
  async (redis, key) => {
    await redis.del(key);
    await redis.hset(key, "field", "value");
  },
  (redis, key) => redis.set(key, "mine"),
  (redis, key) => redis.set(key, Buffer.alloc(26, 9)),
];

/** Of what is no bucket. */
const TAGS: Readonly<Record<string, string>> = {
  "fixed-window": "f",
  "calendar-window": "c",
  "sliding-window": "s",
};

/** The policies of a limiter, and the options that some calls bring instead. */
type Variants = readonly [readonly Policy[], readonly Policy[]];

const NAMES = ["first", "second", "third", "fourth"];
const FAST = kinds.filter((kind) => kind !== "slidingLog" && kind !== "tokenBucket by interval");

/** Of a few units and a short while, so that it is used up and comes back. */
function usual(kind: Kind, name: string): fc.Arbitrary<Policy> {
  const spans = fc.constantFrom(1000, 7000, 60_000, 3_600_000);
  return fc.tuple(fc.constantFrom(1, 2, 3, 5, 8), spans).map(([limit, spanMs]) => {
    const window = { name, limit, window: spanMs };
    if (kind === "slidingWindow") return slidingWindow(window);
    if (kind === "calendarWindow") return calendarWindow({ name, limit, unit: "minute" });
    if (kind === "fixedWindow of the clock") return fixedWindow(window);
    if (kind === "fixedWindow of the first hit") return fixedWindow({ ...window, align: "first" });
    return tokenBucket({ name, limit, period: spanMs });
  });
}

const variants: fc.Arbitrary<Variants> = fc
  .array(fc.constantFrom(...FAST, ...FAST, "tokenBucket by interval" as const), {
    minLength: 2,
    maxLength: 4,
  })
  .chain((chosen) => {
    const set = (
      make: (kind: Kind, name: string) => fc.Arbitrary<Policy>,
    ): fc.Arbitrary<Policy[]> =>
      fc.tuple(...chosen.map((kind, i) => make(kind, NAMES[i] as string)));
    const nasty = (kind: Kind, name: string): fc.Arbitrary<Policy> => policies[kind](name);
    return fc.oneof(
      { weight: 2, arbitrary: fc.tuple(set(usual), set(usual)) },
      { weight: 1, arbitrary: fc.tuple(set(nasty), set(nasty)) },
    );
  });

interface OneCall {
  readonly key: string;
  /** Which policy alone; past the last one: all of them; 5: the first two, of different costs. */
  readonly alone: number;
  readonly isDear: boolean;
}

function callsOver(...alone: readonly number[]): fc.Arbitrary<OneCall[]> {
  const call = fc.record({
    key: fc.constantFrom("a", "a", "b", "c"),
    alone: fc.constantFrom(...alone),
    isDear: fc.boolean(),
  });
  const one = fc.array(call, { minLength: 1, maxLength: 1 });
  return fc.oneof(one, fc.array(call, { minLength: 1, maxLength: 6 }));
}

/** Calls that begin in the same tick: mostly alike, and consumes unless it is one. */
const bursts = fc.record({
  step: fc
    .tuple(steps([...Array<Verb>(20).fill("consume"), ...VERBS], 1), fc.boolean())
    .map(([[step], isClose]): Step<Verb> => {
      // Half of them come soon and ask for one, so that what comes back little by little is used up.
      return isClose ? { ...(step as Step<Verb>), move: "µs", price: "one" } : (step as Step<Verb>);
    }),
  calls: fc.oneof(
    { weight: 1, arbitrary: callsOver(0, 1) },
    { weight: 3, arbitrary: callsOver(0, 1, 4, 4, 4, 5) },
  ),
});

interface Trace {
  readonly variants: Variants;
  readonly start: number;
  readonly blockFor: number | undefined;
  readonly bursts: readonly (typeof bursts extends fc.Arbitrary<infer T> ? T : never)[];
}

const traces: fc.Arbitrary<Trace> = fc.record({
  variants,
  start: starts,
  blockFor: fc.constantFrom(undefined, undefined, undefined, undefined, 5000),
  bursts: fc.array(bursts, { minLength: 1, maxLength: 30, size: "max" }),
});

/** What plays a trace on one path. */
class Player {
  readonly #redis: Redis;
  readonly #trace: Trace;
  /** One for each policy alone, and last the one that has them all. */
  readonly #limiters: readonly RateLimiter[];
  /** What the store said, to the microsecond. */
  readonly outcomes: unknown[] = [];

  constructor(redis: Redis, run: RunScript, trace: Trace, clock: ManualClock) {
    this.#redis = redis;
    this.#trace = trace;
    const store = new RedisStore({ client: run, clock });
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      submit(call, (outcome) => {
        this.outcomes.push(outcome);
        done(outcome);
      });
    };
    const [policy] = trace.variants;
    this.#limiters = [...policy.map((each) => [each]), policy].map(
      (own) =>
        new RateLimiter({
          policy: own,
          store,
          namespace: "n",
          identity: "plain",
          onStoreFailure: "throw",
          denyCache: false,
          timeout: "30s",
          ...(trace.blockFor !== undefined && { blockFor: trace.blockFor }),
        }),
    );
  }

  async play({ step, calls }: Trace["bursts"][number]): Promise<unknown> {
    const { verb, part } = step;
    const [own, other] = this.#trace.variants;
    const policy = own[Math.floor(part * own.length)] as LimitedPolicy;
    const cost = costOf(step, policy);
    const [{ key }] = calls as [Trace["bursts"][number]["calls"][number]];
    const all = this.#limiters.at(-1) as RateLimiter;
    if (verb === "spoil") return this.#spoil(part);
    if (verb === "block") return all.block(key, "1s").catch(String);
    if (verb === "unblock") return all.unblock(key).catch(String);
    if (verb === "reset") return all.reset(key).catch(String);
    if (verb !== "consume") return all[verb](key, Math.max(0.001, cost)).catch(String);
    const answers = calls.map(async (call) => {
      if (call.alone === 5 && this.#trace.blockFor === undefined) {
        const costs = step.probe ? [cost, 0] : [cost, cost * 2];
        const requests = costs.map((each, i) => {
          return { limiter: this.#limiters[i] as RateLimiter, key: call.key, cost: each };
        });
        return consumeAtomic(requests).catch(String);
      }
      const index = Math.min(call.alone, own.length);
      const limiter = this.#limiters[index === call.alone ? index : own.length] as RateLimiter;
      const chosen =
        index === call.alone && index < own.length ? other.slice(index, index + 1) : other;
      const options = { cost: call.isDear && step.probe ? cost * 2 : cost };
      return limiter
        .consume(call.key, step.variant === 1 ? { ...options, policy: chosen } : options)
        .catch(String);
    });
    return Promise.all(answers);
  }

  /** Whether something is stored there or not. */
  #spoil(part: number): Promise<unknown> {
    const keys = this.#trace.variants[0].flatMap(({ name, algorithm }) => {
      const tag = TAGS[algorithm] ?? "b";
      return ["a", "b", "c"].map((key) => `n:${name}~${tag}:{${key}}`);
    });
    const key = keys[Math.floor(part * keys.length)] as string;
    const spoil = SPOILERS[Math.floor(part * 997) % SPOILERS.length] as (typeof SPOILERS)[number];
    return spoil(this.#redis, key);
  }

  /** What is stored, and how long each lives. */
  async stored(): Promise<readonly (readonly [key: string, value: unknown, pttl: number])[]> {
    const keys = await this.#keys();
    return Promise.all(
      keys.map(async (key) => {
        const value = await this.#redis.getBuffer(key).catch(String);
        return [key, value?.toString("hex"), await this.#redis.pttl(key)] as const;
      }),
    );
  }

  /** But for the marks of refunds, whose names are random. */
  async #keys(): Promise<readonly string[]> {
    const keys = await this.#redis.keys("n:*");
    return keys.filter((key) => !key.includes("!")).sort();
  }
}

async function expectAlike(trace: Trace): Promise<void> {
  await Promise.all([straight.flushdb(), general.flushdb()]);
  const beganMs = performance.now();
  const clock = new ManualClock(Math.round(trace.start / 1e3));
  const ours = new Player(straight, countingTurns(straight), trace, clock);
  const theirs = new Player(general, withoutFastPaths(general), trace, clock);
  for (const burst of trace.bursts) {
    const policy = trace.variants[0][Math.floor(burst.step.part * trace.variants[0].length)];
    clock.set(Math.max(0, clock.nowUs() + moveUs(burst.step, policy as LimitedPolicy)));
    const [answer, expected] = [await ours.play(burst), await theirs.play(burst)];
    expect(answer).toEqual(expected);
    expect(ours.outcomes.splice(0)).toEqual(theirs.outcomes.splice(0));
    const [stored, asExpected] = [await ours.stored(), await theirs.stored()];
    expect(stored.map(([key, value]) => [key, value])).toEqual(
      asExpected.map(([key, value]) => [key, value]),
    );
    // The clock of the server ran on between the two.
    const elapsedMs = performance.now() - beganMs;
    for (const [i, [key, , pttl]] of stored.entries()) {
      const apartMs = Math.abs(pttl - (asExpected[i]?.[2] ?? 0));
      expect(apartMs, `lives of ${key}`).toBeLessThanOrEqual(elapsedMs + 1);
    }
  }
  const { length } = trace.bursts.flatMap(({ calls }) => calls);
  consumes += length;
  turns += Number(await straight.get(COUNTER));
  batchesOfOne += Number(await straight.get(BATCH_COUNTER));
}

let consumes = 0;
let turns = 0;
/** By whether their script has the policies' numbers in it. */
const loneCalls = { fixed: 0, general: 0 };
let batchesOfOne = 0;
/** Batches of sets, by whether their script is for their sequence of policies or for any. */
const sets = { unrolled: 0, looped: 0 };

test("decides as the general path, to the byte", async () => {
  await fc.assert(fc.asyncProperty(traces, expectAlike), { numRuns: runs(60, 20) });
  // Much of a random trace is usual all the same. Of 20 traces some 0.45 and 0.7: the bounds are four deviations away.
  expect(turns).toBeGreaterThan(0);
  expect(turns / consumes).toBeLessThan(0.8);
  expect(Math.min(loneCalls.fixed, loneCalls.general)).toBeGreaterThan(0);
  expect(Math.min(sets.unrolled, sets.looped)).toBeGreaterThan(0);
  expect(batchesOfOne).toBeGreaterThan(0);
  expect(batchesOfOne / (loneCalls.fixed + loneCalls.general)).toBeLessThan(0.95);
});

test.for([2, 3, 4])(
  "a lone consume over %i new keys, the last of them not Sluice's, leaves nothing behind",
  async (count) => {
    await straight.flushdb();
    const policy = NAMES.slice(0, count).map((name) =>
      tokenBucket({ name, limit: 5, period: "1h" }),
    );
    const sources: string[] = [];
    const run: RunScript = (_sha, source, keys, args) => {
      sources.push(source);
      return straight.eval(source, keys.length, ...keys, ...args);
    };
    const store = new RedisStore({ client: run });
    const options = { store, namespace: "n", identity: "plain", timeout: "30s" } as const;
    const limiter = new RateLimiter({ policy, ...options, onStoreFailure: "throw" });
    const last = `n:${NAMES[count - 1]}~b:{k}`;
    await straight.hset(last, "field", "value");
    await expect(limiter.consume("k")).rejects.toThrow("a value of another type");
    expect(await straight.keys("*")).toEqual([last]);
    await straight.del(last);
    const decision = await limiter.consume("k");
    expect(decision.policies?.map(({ remaining }) => remaining)).toEqual(Array(count).fill(4));
    expect(sources.every((source) => source.includes(BATCH))).toBe(true);
    await limiter.close();
    await store.close();
  },
);

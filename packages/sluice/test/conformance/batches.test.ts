/** Calls that go to Redis together in one script call get the answers they would get one after another. */
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  fixedWindow,
  MemoryStore,
  RateLimiter,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore, type RedisStoreOptions } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { Random } from "../../src/core/random.js";
import { makeTrace } from "../../src/testing/trace.js";
import { clients, type TestClient } from "../support/clients.js";
import { runs } from "../support/runs.js";
import { playInBursts } from "./bursts.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const TRACES = runs(150);
const STEPS = 60;

let connection: TestClient;
beforeAll(async () => {
  connection = await clients.ioredis();
});
afterAll(() => connection.close());

describe(`calls in one batch (SLUICE_SEED=${seed})`, () => {
  it(`answer as one after another on ${TRACES} random traces`, async () => {
    for (let i = 0; i < TRACES; i++) {
      // Without blockFor: consumeAtomic blocks in a call of its own, somewhere behind its burst.
      const trace = { ...makeTrace(seed + i, STEPS), blockForMs: 0 };
      const clock = new ManualClock(trace.startMs);
      const store = new RedisStore({ client: connection.client, clock });
      await playInBursts(store, clock, `batches.${process.pid}.${trace.seed}`, trace);
    }
  });

  it("keep their places where one of them does not fit in with the others", async () => {
    const clock = new ManualClock();
    const store = new RedisStore({
      client: connection.client,
      clock,
      maxBatch: 3,
      maxInFlight: 2,
    });
    const policy = tokenBucket({ limit: 3, period: "1h" });
    const namespace = `batches.${process.pid}.${seed}.places`;
    const limiter = new RateLimiter({
      policy,
      store,
      namespace,
      onStoreFailure: "throw",
      denyCache: false,
      timeout: "30s",
    });
    // The refund and all behind it go by another script, and the next batch is ready to go.
    const decisions = await Promise.all([
      limiter.consume("k"),
      limiter.consume("k"),
      limiter.refund("k", 1),
      limiter.consume("k"),
      limiter.consume("k"),
    ]);
    expect(decisions.map(({ remaining }) => remaining)).toEqual([2, 1, 2, 1, 0]);
  });

  it("leave the very bytes that they leave one after another", async () => {
    const redis = connection.client as Redis;
    const random = new Random(seed);
    let folded = 0;
    for (let round = 0; round < 40; round++) {
      const clock = new ManualClock();
      const window = { limit: random.int(2, 100), window: random.int(100, 1e6) };
      const policy = random.pick([
        tokenBucket({ limit: random.int(1, 2000), period: window.window, burst: window.limit }),
        fixedWindow({ ...window, align: random.pick(["clock", "first"]) }),
      ]);
      const limiter = (i: number, batching: Partial<RedisStoreOptions>): RateLimiter =>
        new RateLimiter({
          policy,
          store: new RedisStore({ client: connection.client, clock, ...batching }),
          namespace: `batches.${process.pid}.${seed}.bytes${round}.${i}`,
          identity: "plain",
          onStoreFailure: "throw",
          denyCache: false,
          timeout: "30s",
        });
      const [together, apart] = [limiter(0, {}), limiter(1, { maxBatch: 1, maxInFlight: 1 })];
      const stored = (i: number): Promise<Buffer | null> =>
        redis.getBuffer(`batches.${process.pid}.${seed}.bytes${round}.${i}:${policy.name}:{k}`);
      for (let burst = 0; burst < 25; burst++) {
        // From nothing to what most of the bucket takes to come back.
        clock.advance(random.int(0, 1) * 10 ** random.int(0, 6));
        const costs = Array.from({ length: random.int(1, 8) }, () => random.int(1, 3));
        const cost = random.int(0, 3) > 0 ? costs[0] : undefined;
        if (cost !== undefined && costs.length > 1) folded += 1;
        const calls = (on: RateLimiter): Promise<unknown[]> =>
          Promise.all(costs.map((own) => on.consume("k", { cost: cost ?? own })));
        const [answers, expected] = [await calls(together), await calls(apart)];
        const about = `round ${round}, burst ${burst}`;
        expect(answers, about).toEqual(expected);
        expect(await stored(0), about).toEqual(await stored(1));
      }
    }
    expect(folded).toBeGreaterThan(100);
  });

  it("leave them behind a refund too, which a call that changes nothing follows", async () => {
    const redis = connection.client as Redis;
    const policies = [
      fixedWindow({ name: "window", limit: 5, window: "1h" }),
      slidingWindow({ name: "sliding", limit: 5, window: "1h" }),
    ];
    const clock = new ManualClock();
    const left = async (batching: Partial<RedisStoreOptions>): Promise<unknown> => {
      const namespace = `batches.${process.pid}.${seed}.refund${batching.maxBatch ?? ""}`;
      const limiter = new RateLimiter({
        policy: policies,
        store: new RedisStore({ client: connection.client, clock, ...batching }),
        namespace,
        identity: "plain",
        onStoreFailure: "throw",
        timeout: "30s",
      });
      await limiter.consume("k");
      await limiter.block("k", "1h");
      await Promise.all([limiter.refund("k", 1), limiter.peek("k")]);
      const names = [`${namespace}:window~f:{k}`, `${namespace}:sliding~s:{k}`];
      return Promise.all(names.map((name) => redis.getBuffer(name)));
    };
    const expected = await left({ maxBatch: 1, maxInFlight: 1 });
    expect(await left({})).toEqual(expected);
    expect(expected).toEqual([expect.any(Buffer), expect.any(Buffer)]);
  });

  it("leave no trace of options that another call brought and that changed nothing", async () => {
    const clock = new ManualClock();
    const slow = tokenBucket({ limit: 1, period: "1h" });
    const fast = tokenBucket({ limit: 1e6, period: "1s", burst: 1 });
    const namespace = `batches.${process.pid}.${seed}.options`;
    const answers: unknown[] = [];
    for (const store of [
      new MemoryStore({ clock }),
      new RedisStore({ client: connection.client, clock }),
    ]) {
      const limiter = new RateLimiter({
        policy: slow,
        store,
        namespace,
        onStoreFailure: "throw",
        denyCache: false,
        timeout: "30s",
      });
      await limiter.consume("k");
      clock.advance(1000);
      answers.push(
        await Promise.all([
          limiter.peek("k", { policy: fast }),
          limiter.consume("k"),
          limiter.consume("k", { cost: 2, policy: fast }),
          limiter.consume("k"),
          limiter.peek("k"),
        ]),
      );
      clock.set(new ManualClock().nowUs());
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[0]).toMatchObject([
      { allowed: true },
      { allowed: false },
      { allowed: false },
      { allowed: false },
      { allowed: false },
    ]);
  });
});

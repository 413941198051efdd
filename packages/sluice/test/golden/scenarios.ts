/**
 * What is written by the public verbs, a scenario for each kind of state. A scenario's steps are numbers, by which the
 * clock moves on in ms, and calls. Between two moves the calls are made one after another, or all in one tick.
 */
import type { Permit, Policy, RateLimiter, Reservation } from "../../src/index.js";
import type { World } from "./world.js";

export type Step = number | (() => Promise<unknown>);
export type Scenario = (world: World) => readonly Step[];
export type Pace = "lone" | "burst";

/** Plays the steps; where a burst is asked for, all calls between two moves of the clock begin in one tick. */
export async function play(world: World, steps: readonly Step[], pace: Pace): Promise<void> {
  let begun: Promise<unknown>[] = [];
  for (const step of steps) {
    if (typeof step === "number") {
      await Promise.all(begun);
      begun = [];
      world.clock.advance(step);
    } else if (pace === "burst") begun.push(step());
    else await step();
  }
  await Promise.all(begun);
}

const repeat = (times: number, step: (i: number) => Promise<unknown>): Step[] =>
  Array.from({ length: times }, (_, i) => () => step(i));

/** The verbs that any policy knows, with moves of the clock by `ms` between some. */
function verbs(limiter: RateLimiter, ms: number): Step[] {
  return [
    () => limiter.consume("consumed"),
    () => limiter.consume("consumed", { cost: 1.5 }),
    () => limiter.consume("once"),
    () => limiter.consumeUpTo("up to", { cost: 5 }),
    () => limiter.consumeUpTo("all there is", { cost: 500 }),
    () => limiter.consume("too much", { cost: 1e6 }),
    () => limiter.peek("looked at"),
    () => limiter.consume("nothing", { cost: 0 }),
    () => limiter.consume("to be reset", { cost: 2 }),
    () => limiter.consume("to be given back", { cost: 3 }),
    () => limiter.consume("to be given back in part", { cost: 3 }),
    () => limiter.penalize("in debt", 250),
    () => limiter.block("blocked", "90s"),
    () => limiter.consume("blocked later", { cost: 2 }),
    () => limiter.consumeMany([{ key: "many" }, { key: "many", cost: 2 }, { key: "another" }]),
    ms,
    () => limiter.consume("consumed", { cost: 0.001 }),
    () => limiter.consume("all there is"),
    () => limiter.reset("to be reset"),
    () => limiter.refund("to be given back", 3),
    () => limiter.refund("to be given back in part", 1.25),
    () => limiter.refund("never seen", 1),
    () => limiter.block("blocked later", "10m"),
    () => limiter.block("blocked later", "1m", { keepLonger: true }),
    () => limiter.block("blocked", "1m"),
    ms,
    () => limiter.consume("consumed", { cost: 2 }),
    () => limiter.consume("blocked"),
    () => limiter.unblock("blocked"),
    () => limiter.penalize("once", 0.5),
  ];
}

const ofPolicy =
  (policy: (world: World) => Policy | readonly Policy[], ms: number): Scenario =>
  (world) =>
    verbs(world.limiter({ policy: policy(world), identity: "plain" }), ms);

/** Places in line for a key, and places given back, from the end and from the middle. */
const inLine =
  (policy: (world: World) => Policy | readonly Policy[]): Scenario =>
  (world) => {
    const limiter = world.limiter({ policy: policy(world), identity: "plain" });
    const got: Promise<Reservation>[] = [];
    const reserve = (key: string, cost: number) => () => {
      const reservation = limiter.reserve(key, { cost });
      got.push(reservation);
      return reservation;
    };
    /** The n-th of all reservations, from 0. */
    const cancel = (n: number) => async () => {
      const reservation = await got[n];
      if (!reservation?.allowed) throw new Error(`reservation ${n} was refused`);
      await reservation.cancel();
    };
    return [
      reserve("waits", 2),
      reserve("waits", 1),
      reserve("waits", 1.5),
      reserve("last gives up", 2),
      reserve("last gives up", 2),
      reserve("one of the middle gives up", 2),
      reserve("one of the middle gives up", 2),
      reserve("one of the middle gives up", 1),
      reserve("at once", 1),
      () => limiter.reserve("refused", { cost: 2, maxWait: 0 }),
      () => limiter.reserve("refused", { cost: 2, maxWait: 0 }),
      1.234,
      cancel(4),
      cancel(6),
      () => limiter.refund("waits", 1),
      () => limiter.consume("waits", { cost: 0.25 }),
      () => limiter.penalize("waits", 0.75),
      () => limiter.block("last gives up", "1m"),
      10,
      () => limiter.consume("waits"),
    ];
  };

const named = <P extends Policy>(name: string, policy: P): P => ({ ...policy, name });

export const scenarios: Readonly<Record<string, Scenario>> = {
  "token bucket": ofPolicy(
    ({ core }) => core.tokenBucket({ limit: 7, period: "1m", burst: 10 }),
    1234.567,
  ),
  "token bucket of a long period": ofPolicy(
    ({ core }) => core.tokenBucket({ limit: 7, period: "1d", burst: 10 }),
    1234.567,
  ),
  "token bucket by intervals": ofPolicy(
    ({ core }) => core.tokenBucket({ limit: 5, period: "1s", burst: 9, refill: "interval" }),
    734.567,
  ),
  gcra: ofPolicy(({ core }) => core.gcra({ limit: 11, period: "1m", burst: 6 }), 1234.567),
  "leaky bucket": ofPolicy(
    ({ core }) => core.leakyBucket({ limit: 3, period: "7s", capacity: 8 }),
    1234.567,
  ),
  "fixed window by the clock": ofPolicy(
    ({ core }) => core.fixedWindow({ limit: 10, window: "2m" }),
    50_000.25,
  ),
  "fixed window from the first hit": ofPolicy(
    ({ core }) => core.fixedWindow({ limit: 10, window: "97s", align: "first" }),
    50_000.25,
  ),
  "calendar window": ofPolicy(
    ({ core }) => core.calendarWindow({ limit: 10, unit: "month", timeZone: "Asia/Kathmandu" }),
    1234.567,
  ),
  "sliding window": ofPolicy(
    ({ core }) => core.slidingWindow({ limit: 10, window: "1m" }),
    40_000.25,
  ),
  "sliding log": ofPolicy(({ core }) => core.slidingLog({ limit: 10, window: "1m" }), 40_000.25),
  "two policies": ofPolicy(
    ({ core }) => [
      core.tokenBucket({ name: "burst", limit: 7, period: "1m", burst: 10 }),
      core.fixedWindow({ name: "daily", limit: 100, window: "1d" }),
    ],
    1234.567,
  ),
  "policies of all algorithms": ofPolicy(
    ({ core }) => [
      core.tokenBucket({ name: "burst", limit: 7, period: "1m", burst: 10 }),
      core.gcra({ name: "meter", limit: 11, period: "1m", burst: 6 }),
      core.calendarWindow({ name: "today", limit: 50, unit: "day", timeZone: "Europe/Paris" }),
      core.slidingWindow({ name: "hour", limit: 30, window: "1h" }),
      core.slidingLog({ name: "exact", limit: 20, window: "1h" }),
    ],
    1234.567,
  ),

  "a line at a token bucket": inLine(({ core }) =>
    core.tokenBucket({ limit: 3, period: "1s", burst: 2 }),
  ),
  "a line at a leaky bucket": inLine(({ core }) =>
    core.leakyBucket({ limit: 3, period: "1s", capacity: 20 }),
  ),
  "a line at two buckets": inLine(({ core }) => [
    core.tokenBucket({ name: "second", limit: 3, period: "1s", burst: 2 }),
    core.tokenBucket({ name: "day", limit: 1000, period: "1d", burst: 3 }),
  ]),

  "a denial that blocks": (world) => {
    const { core } = world;
    const policies = [
      core.tokenBucket({ limit: 7, period: "1m", burst: 2 }),
      core.tokenBucket({ name: "steps", limit: 2, period: "1m", refill: "interval" }),
      core.fixedWindow({ limit: 2, window: "1m" }),
      core.calendarWindow({ limit: 2, unit: "day", timeZone: "UTC" }),
      core.slidingWindow({ limit: 2, window: "1m" }),
      core.slidingLog({ limit: 2, window: "1m" }),
    ];
    const limiters = policies.map((policy) =>
      world.limiter({ policy, identity: "plain", blockFor: "5m" }),
    );
    return limiters.flatMap((limiter) => repeat(4, () => limiter.consume("a")));
  },

  "options that change": (world) => {
    const { core } = world;
    const limiter = world.limiter({
      policy: core.tokenBucket({ limit: 7, period: "1m", burst: 10 }),
      identity: "plain",
    });
    const log = world.limiter({
      policy: core.slidingLog({ limit: 10, window: "1m" }),
      identity: "plain",
    });
    const shorter = core.slidingLog({ limit: 10, window: "10s" });
    const slower = core.tokenBucket({ limit: 11, period: "17s", burst: 20 });
    return [
      () => limiter.consume("a", { cost: 3 }),
      () => log.consume("a", { cost: 3 }),
      777.777,
      () => limiter.consume("a", { cost: 2, policy: slower }),
      () => log.consume("a", { cost: 2, policy: shorter }),
      11_000.5,
      () => limiter.consume("a"),
      () => log.consume("a"),
    ];
  },

  "a clock that goes back": (world) => {
    const { core, clock } = world;
    const of = (name: string, policy: Policy): RateLimiter =>
      world.limiter({ policy: named(name, policy), identity: "plain" });
    const limiters = [
      of("bucket", core.tokenBucket({ limit: 7, period: "1m", burst: 10 })),
      of("window", core.fixedWindow({ limit: 10, window: "1m" })),
      of("sliding", core.slidingWindow({ limit: 10, window: "1m" })),
      of("log", core.slidingLog({ limit: 10, window: "1m" })),
    ];
    const all = (): Step[] => limiters.map((limiter) => () => limiter.consume("a", { cost: 2 }));
    return [
      ...all(),
      0,
      async () => {
        clock.set(clock.nowUs() - 5_000_123);
      },
      0,
      ...all(),
    ];
  },

  "what expired": (world) => {
    const { core } = world;
    const of = (policy: Policy): RateLimiter => world.limiter({ policy, identity: "plain" });
    const limiters = [
      of(core.tokenBucket({ limit: 7, period: "1m", burst: 10 })),
      of(core.fixedWindow({ limit: 10, window: "1m" })),
      of(core.slidingWindow({ limit: 10, window: "1m" })),
      of(core.slidingLog({ limit: 10, window: "1m" })),
    ];
    const all = (cost: number): Step[] =>
      limiters.map((limiter) => () => limiter.consume("a", { cost }));
    // Within the hour for which keys of a clock of tests are kept.
    return [...all(7), 3_000_000.125, ...all(2)];
  },

  "a sliding log that forgets": (world) => {
    const limiter = world.limiter({
      policy: world.core.slidingLog({ limit: 1000, window: "1s" }),
      identity: "plain",
    });
    const hits = (times: number): Step[] =>
      Array.from({ length: times }, (): Step[] => [() => limiter.consume("a"), 9.5]).flat();
    return [...hits(130), 500, ...hits(3), 1200, () => limiter.consume("a", { cost: 0.125 })];
  },

  "a batch of many keys": (world) => {
    const { core } = world;
    const limiters = [
      world.limiter({ policy: core.tokenBucket({ limit: 7, period: "1m", burst: 10 }) }),
      world.limiter({ policy: core.fixedWindow({ limit: 10, window: "1m" }) }),
      world.limiter({ policy: core.slidingWindow({ limit: 10, window: "1m" }) }),
      world.limiter({ policy: core.calendarWindow({ limit: 10, unit: "day", timeZone: "UTC" }) }),
    ];
    const all = (): Step[] =>
      limiters.flatMap((limiter) => [
        ...repeat(6, (i) => limiter.consume(`user:${i}`)),
        ...repeat(12, () => limiter.consume("hot")),
        ...repeat(3, (i) => limiter.consume(`user:${i}`, { cost: 1.5 })),
      ]);
    return [...all(), 321.123, ...all()];
  },

  "names of keys": (world) => {
    const { core } = world;
    const bucket = core.tokenBucket({ limit: 7, period: "1m", burst: 10 });
    const limiters = [
      world.limiter({ policy: bucket }),
      world.limiter({ policy: bucket, namespace: "own", identity: "sha256" }),
      world.limiter({ policy: named("api", bucket), identity: "plain" }),
      world.limiter({
        policy: bucket,
        namespace: "secret",
        identity: { hmacSecret: "0123456789abcdef" },
      }),
      world.limiter({
        policy: named("f", core.fixedWindow({ limit: 9, window: "1m" })),
        namespace: "tags",
      }),
      world.limiter({
        policy: named("s", core.slidingWindow({ limit: 9, window: "1m" })),
        namespace: "tags",
      }),
      world.limiter({
        policy: named("l", core.slidingLog({ limit: 9, window: "1m" })),
        namespace: "tags",
      }),
      world.limiter({
        policy: named("c", core.calendarWindow({ limit: 9, unit: "year", timeZone: "UTC" })),
        namespace: "tags",
      }),
      world.limiter({ policy: core.gcra({ limit: 9, period: "1m", burst: 9 }), namespace: "tags" }),
      world.limiter({
        policy: core.leakyBucket({ limit: 9, period: "1m", capacity: 9 }),
        namespace: "tags",
      }),
      world.limiter({
        policy: (key) => (key === "user:1" ? named("gold", bucket) : bucket),
        namespace: "function",
      }),
      world.limiter({ policy: bucket, namespace: "placed" }, { partitions: 16 }),
      world.limiter({ policy: bucket, namespace: "placed", identity: "plain" }, { partitions: 5 }),
    ];
    return limiters.flatMap((limiter) => [
      () => limiter.consume("user:1"),
      () => limiter.consume("ключ, 鍵", { cost: 2 }),
      () => limiter.refund("user:1", 0.5),
    ]);
  },

  "calls over several limiters": (world) => {
    const { core } = world;
    const limiters = [
      world.limiter({ policy: core.tokenBucket({ limit: 7, period: "1m", burst: 10 }) }),
      world.limiter({ policy: core.slidingLog({ limit: 10, window: "1m" }), namespace: "other" }),
    ];
    return [
      () => core.consumeAtomic(limiters.map((limiter) => ({ limiter, key: "a", cost: 2 }))),
      () => core.consumeAtomic(limiters.map((limiter) => ({ limiter, key: "b" }))),
      100.5,
      () => core.consumeAtomic(limiters.map((limiter) => ({ limiter, key: "a", cost: 9 }))),
      () => core.consumeAtomic(limiters.map((limiter, i) => ({ limiter, key: "a", cost: i + 1 }))),
    ];
  },

  "semaphore: holders": (world) => {
    const semaphore = world.semaphore({ limit: 5, leaseDuration: "30s" }, true);
    const other = world.semaphore({ limit: 5, leaseDuration: "10s", name: "jobs" }, true);
    let released: Permit | undefined;
    return [
      async () => (released = await semaphore.acquire("released")),
      () => semaphore.acquire("key"),
      () => semaphore.acquire("key", { weight: 3 }),
      () => semaphore.tryAcquire("key", { weight: 2 }),
      () => other.acquire("key", { weight: 4 }),
      3.5,
      () => semaphore.tryAcquire("key"),
      async () => released?.release(),
    ];
  },

  "semaphore: a lease that is renewed": (world) => {
    const semaphore = world.semaphore({ limit: 2, leaseDuration: "30s" }, true);
    let permit: Permit | undefined;
    return [
      async () => (permit = await semaphore.acquire("key")),
      12_000.75,
      () =>
        world.until(
          () => permit?.expiresAtUs === world.clock.nowUs() + 30e6,
          "the lease is renewed",
        ),
    ];
  },

  "semaphore: a line": (world) => {
    const semaphore = world.semaphore({ limit: 3, leaseDuration: "8s" }, true);
    const deaf = world.semaphore({ limit: 3, leaseDuration: "8s" }, false);
    const wait = (of: typeof semaphore, weight: number, place: number) => () => {
      of.acquire("key", { weight }).catch(() => {});
      return world.until(
        async () => (await semaphore.inspect("key")).waiting >= place,
        `${place} are in line`,
      );
    };
    return [
      () => semaphore.acquire("key", { weight: 2 }),
      wait(semaphore, 2, 1),
      // Of two stores, which put their calls of a tick together each for itself: the places are to be in this order.
      0,
      wait(deaf, 1, 2),
      0,
      wait(semaphore, 3, 3),
    ];
  },

  "semaphore: a place handed over, and not confirmed": (world) => {
    const semaphore = world.semaphore({ limit: 3, leaseDuration: "8s" }, true);
    const deaf = world.semaphore({ limit: 3, leaseDuration: "8s" }, false);
    let permit: Permit | undefined;
    const isInLine = (place: number): Promise<void> =>
      world.until(
        async () => (await semaphore.inspect("key")).waiting >= place,
        `${place} are in line`,
      );
    return [
      async () => (permit = await semaphore.acquire("key", { weight: 3 })),
      0,
      () => {
        deaf.acquire("key", { weight: 2 }).catch(() => {});
        return isInLine(1);
      },
      0,
      () => {
        deaf.acquire("key", { weight: 2 }).catch(() => {});
        return isInLine(2);
      },
      0,
      async () => permit?.release(),
    ];
  },

  "semaphore: a place handed over, and confirmed": (world) => {
    const semaphore = world.semaphore({ limit: 1, leaseDuration: "8s" }, true);
    const other = world.semaphore({ limit: 1, leaseDuration: "8s" }, true);
    let first: Permit | undefined;
    let second: Promise<Permit> | undefined;
    return [
      async () => (first = await semaphore.acquire("key")),
      0,
      () => {
        second = other.acquire("key");
        return world.until(async () => (await semaphore.inspect("key")).waiting === 1, "it waits");
      },
      0,
      async () => {
        await first?.release();
        const permit = await second;
        await world.until(
          () => permit?.expiresAtUs === world.clock.nowUs() + 8e6,
          "the claim is confirmed",
        );
      },
    ];
  },

  "semaphore: limits that are set": (world) => {
    const semaphore = world.semaphore({ limit: 3, leaseDuration: "8s" }, true);
    const deaf = world.semaphore({ limit: 3, leaseDuration: "8s" }, false);
    return [
      () => semaphore.setLimit("nobody holds it", 7),
      () => semaphore.setLimit("raised", 5),
      () => semaphore.acquire("raised", { weight: 5 }),
      () => semaphore.acquire("lowered", { weight: 2 }),
      0,
      () => {
        deaf.acquire("lowered", { weight: 3 }).catch(() => {});
        return world.until(
          async () => (await semaphore.inspect("lowered")).waiting === 1,
          "it waits",
        );
      },
      0,
      () => semaphore.setLimit("lowered", 2),
    ];
  },

  "semaphore: a holder who was lost": (world) => {
    const semaphore = world.semaphore({ limit: 1, leaseDuration: "8s" }, true);
    const other = world.semaphore({ limit: 1, leaseDuration: "8s" }, true);
    return [
      () => semaphore.acquire("key"),
      // In one step past its lease: its own process gives it up, and tells nobody.
      8001.5,
      () => other.tryAcquire("key"),
    ];
  },
};

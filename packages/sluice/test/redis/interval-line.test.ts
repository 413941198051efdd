/** The table of a token bucket that gets a unit at a time: who starts when, in memory and on a real server. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  MaxWaitExceededError,
  MemoryStore,
  RateLimiter,
  type Store,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { watch } from "../support/watch.js";

let server: Awaited<ReturnType<typeof startRedis>>;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** Counts who sleeps, so that time passes only once all do. */
class CountingClock extends ManualClock {
  sleeping = 0;

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeping += 1;
    await super.sleep(ms, signal);
  }
}

const stores: readonly [string, (clock: ManualClock) => Store][] = [
  ["memory", (clock) => new MemoryStore({ clock })],
  ["Redis", (clock) => new RedisStore({ client: redis, clock })],
];
const tables = [
  { period: "500ms", startsMs: [0, 500, 1000, 1500, 2000, 2500] },
  { period: "750ms", startsMs: [0, 750, 1500, 2250, 3000] },
] as const;

describe.each(stores)("in %s", (name, storeOf) => {
  describe.each(tables)("one unit each $period", ({ period, startsMs }) => {
    function make(use: string): { clock: CountingClock; limiter: RateLimiter } {
      const clock = new CountingClock();
      const policy = tokenBucket({ limit: 1, period, burst: 1, refill: "interval" });
      const namespace = `steps-${use}-${name}-${period}`;
      const store = storeOf(clock);
      return { clock, limiter: new RateLimiter({ policy, store, namespace, timeout: "30s" }) };
    }

    test("reserve says when each of those who come at once starts", async () => {
      const { limiter } = make("reserve");
      const all = await Promise.all(startsMs.map(() => limiter.reserve("k")));
      expect(all.map((each) => each.allowed && each.delayMs)).toEqual(startsMs);
    });

    test("acquire starts each at its time, and not before", async () => {
      const { clock, limiter } = make("acquire");
      const beganUs = clock.nowUs();
      const callers = startsMs.map(() => watch(limiter.acquire("k")));
      const started = (): number => callers.filter(({ settled }) => settled !== undefined).length;
      await eventually(() => expect(clock.sleeping + started()).toBe(startsMs.length));
      for (const [i, startMs] of startsMs.entries()) {
        if (i > 0) {
          clock.set(beganUs + startMs * 1e3 - 1);
          await limiter.peek("another");
          expect(started()).toBe(i);
          clock.set(beganUs + startMs * 1e3);
        }
        await eventually(() => expect(started()).toBe(i + 1));
      }
      expect(callers.map(({ settled }) => settled)).toEqual(
        startsMs.map((startMs) => {
          const start = { allowed: true, readyAtUs: beganUs + startMs * 1e3, lateMs: 0 };
          return expect.objectContaining(start) as object;
        }),
      );
    });

    test("refuses at once whose wait would pass maxWait, and takes nothing", async () => {
      const { limiter } = make("refuse");
      const maxWait = startsMs[2];
      for (const delayMs of startsMs.slice(0, 3)) {
        expect(await limiter.reserve("k", { maxWait })).toMatchObject({ allowed: true, delayMs });
      }
      const refused = { allowed: false, reason: "quota", retryAfterMs: startsMs[3] };
      expect(await limiter.reserve("k", { maxWait })).toMatchObject(refused);
      const error = await limiter.acquire("k", { maxWait }).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(MaxWaitExceededError);
      expect(await limiter.reserve("k")).toMatchObject({ allowed: true, delayMs: startsMs[3] });
    });
  });
});

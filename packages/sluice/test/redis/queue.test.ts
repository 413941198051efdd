/** Calls that nobody waits for any more when their turn comes are never sent: the keys' state proves it. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Duration, RateLimiter, StoreTimeoutError, tokenBucket } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";
import { startVictim, type Victim } from "../support/servers.js";

const LIMIT = 1000;
const policy = tokenBucket({ limit: LIMIT, period: "365d" });
/** Small, so that a few calls fill all batches that may be under way. */
const MAX_BATCH = 4;

describe.each(["ioredis", "node-redis"] as const)(
  "behind a server that hangs, through %s",
  (name) => {
    async function setUp(maxInFlight: number): Promise<{
      readonly server: Victim;
      readonly limiterWith: (timeout: Duration) => RateLimiter;
      /** Units that the server counted, once it answers. */
      readonly counted: () => Promise<number>;
    }> {
      const server = await startVictim();
      const connection = await clients[name]({ url: server.url });
      onTestFinished(async () => {
        server.resume();
        await connection.close();
        await server.stop();
      });
      const { client } = connection;
      const store = new RedisStore({ client, maxBatch: MAX_BATCH, maxInFlight });
      const limiterWith = (timeout: Duration): RateLimiter =>
        new RateLimiter({ policy, store, breaker: false, onStoreFailure: "throw", timeout });
      const patient = limiterWith("30s");
      await patient.consume("k", { cost: 0 });
      return {
        server,
        limiterWith,
        counted: async () => LIMIT - (await patient.peek("k")).remaining,
      };
    }

    test.each([1, 3])(
      "calls that time out in the queue are never sent: %d under way",
      async (slots) => {
        const { server, limiterWith, counted } = await setUp(slots);
        const limiter = limiterWith(500);
        server.suspend();
        const sent = slots * MAX_BATCH;
        const outcomes = await Promise.allSettled(
          Array.from({ length: sent + 20 }, () => limiter.consume("k")),
        );
        for (const outcome of outcomes) {
          expect(outcome).toMatchObject({
            status: "rejected",
            reason: expect.any(StoreTimeoutError) as Error,
          });
        }
        server.resume();
        expect(await counted()).toBe(sent);
      },
    );

    test("calls that are aborted in the queue are never sent", async () => {
      const slots = 2;
      const { server, limiterWith, counted } = await setUp(slots);
      const limiter = limiterWith("30s");
      server.suspend();
      const sent = Array.from({ length: slots * MAX_BATCH }, () => limiter.consume("k"));
      const over = new AbortController();
      const { signal } = over;
      const waiting = [
        ...Array.from({ length: 7 }, () => limiter.consume("k", { signal })),
        limiter.consumeUpTo("k", { cost: 10, signal }),
        limiter.reserve("k", { cost: 10, signal }),
        limiter.acquire("k", { cost: 10, signal }),
      ];
      // One that is waited for, amid those that are not.
      const last = limiter.consume("k", { cost: 100 });
      // As many batches are sent as may be under way, one a turn.
      for (let i = 0; i <= slots; i++) await turn();
      over.abort(new Error("enough"));
      for (const outcome of await Promise.allSettled(waiting)) {
        expect(outcome).toMatchObject({ status: "rejected", reason: { message: "enough" } });
      }
      server.resume();
      await Promise.all(sent);
      expect((await last).allowed).toBe(true);
      expect(await counted()).toBe(slots * MAX_BATCH + 100);
    });
  },
);

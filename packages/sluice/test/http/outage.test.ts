/** A Redis that is killed under servers of every adapter: what clients get is what each limiter says, and it ends. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixedWindow, type OnStoreFailure, RateLimiter } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import type { RunningServer } from "../../src/testing/http/subject.js";
import { eventually } from "../support/eventually.js";
import { startVictim, type Victim } from "../support/servers.js";
import { subjects } from "./subjects/index.js";

const MODES = ["local", "open", "closed", "throw"] as const satisfies readonly OnStoreFailure[];

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim();
});
afterAll(() => victim.stop());

interface Answer {
  readonly status: number;
  readonly limit: string | null;
  readonly retryAfter: string | null;
}

async function get(server: RunningServer): Promise<Answer> {
  const { status, headers } = await fetch(server.url, { headers: { Connection: "close" } });
  return { status, limit: headers.get("ratelimit"), retryAfter: headers.get("retry-after") };
}

describe("while Redis is gone", () => {
  test("every adapter answers as its limiters say, and states limits again afterwards", async () => {
    const store = new RedisStore({ url: victim.url });
    const limiters = MODES.map((onStoreFailure) => {
      const policy = fixedWindow({ name: onStoreFailure, limit: 1e6, window: "1h" });
      // The deadline is not the subject where Redis answers, and where it is killed the client says so.
      const hooks = { onError: () => undefined };
      return new RateLimiter({ store, policy, onStoreFailure, hooks, timeout: "60s" });
    });
    const servers = await Promise.all(
      subjects.flatMap((subject) =>
        limiters.map(async (limiter, i) => ({
          name: `${subject.name}, ${MODES[i]}`,
          mode: MODES[i] as (typeof MODES)[number],
          server: await subject.start({ charge: () => ({ limiter, key: "k" }) }),
        })),
      ),
    );
    try {
      for (const { name, server } of servers) {
        const { status, limit } = await get(server);
        expect({ name, status, limit }).toMatchObject({ status: 200 });
        expect(limit, name).toMatch(/;r=\d+/);
      }
      await victim.kill();
      const answers = await Promise.all(
        servers.map(async ({ name, mode, server }) => ({ name, mode, ...(await get(server)) })),
      );
      for (const { name, mode, ...answer } of answers) {
        const refuses = mode === "closed" || mode === "throw";
        expect(answer, name).toEqual(
          refuses
            ? { status: 503, limit: null, retryAfter: "1" }
            : { status: 200, limit: null, retryAfter: null },
        );
      }
      await victim.restart();
      for (const { name, server } of servers) {
        await eventually(async () => {
          const { status, limit } = await get(server);
          expect({ name, status, hasLimit: limit !== null }).toEqual({
            name,
            status: 200,
            hasLimit: true,
          });
        });
      }
    } finally {
      await Promise.all(servers.map(({ server }) => server.close()));
      for (const limiter of limiters) await limiter.close();
      await store.close();
    }
  });
});

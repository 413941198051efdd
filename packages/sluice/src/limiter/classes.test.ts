/** Limiters and semaphores are classes under their own names: they can be extended, and show what they are. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { RateLimiter, Semaphore, tokenBucket } from "../index.js";
import { RedisStore } from "../stores/redis/index.js";

const policy = tokenBucket({ limit: 10, period: "1m" });

test("they have their names", () => {
  expect([RateLimiter.name, Semaphore.name]).toEqual(["RateLimiter", "Semaphore"]);
});

test("a limiter shows its namespace, its policies and the kind of its store", async () => {
  await using limiter = new RateLimiter({ policy, namespace: "api" });
  expect(inspect(limiter)).toBe(
    `RateLimiter ${inspect({ namespace: "api", policies: [policy], store: "MemoryStore" })}`,
  );
  limiter.setPolicy(tokenBucket({ limit: 20, period: "1m" }));
  expect(inspect(limiter)).toMatch(/limit: 20/);
  expect(inspect({ limiter }, { depth: 0 })).toBe("{ limiter: [RateLimiter] }");
  expect(inspect([[[limiter]]])).toMatch(/RateLimiter/);
});

test("a limiter whose policies depend on the key shows their function", async () => {
  const policyOf = () => policy;
  await using limiter = new RateLimiter({ policy: policyOf });
  await using without = new RateLimiter({});
  expect(inspect(limiter)).toContain("policies: [Function: policyOf]");
  expect(inspect(without)).toContain("policies: undefined");
});

test("a semaphore shows its name, its limit and the kind of its store", async () => {
  await using semaphore = new Semaphore({ limit: 5, name: "uploads", namespace: "api" });
  const keyspace = "api:uploads~semaphore";
  const fields = { name: "uploads", keyspace, limit: 5, store: "MemoryStore" };
  expect(inspect(semaphore)).toBe(`Semaphore ${inspect(fields)}`);
});

test("neither shows a secret", async () => {
  const secret = "a secret of sixteen characters";
  const store = new RedisStore({ url: `redis://:${encodeURIComponent(secret)}@localhost:6379` });
  const identity = { hmacSecret: secret };
  await using limiter = new RateLimiter({ policy, store, identity });
  await using semaphore = new Semaphore({ limit: 1, store, identity });
  const shown = inspect([limiter, semaphore], { depth: null, showHidden: true });
  expect(shown).toContain("store: 'RedisStore'");
  expect(shown).not.toMatch(/secret/);
  await store.close();
});

test("a class that extends them shows its own name and fields, and overrides their verbs", async () => {
  class Logins extends RateLimiter {
    readonly region = "eu";

    override async close(): Promise<void> {
      closed.push(this.region);
      await super.close();
    }
  }
  class Uploads extends Semaphore {
    bytes = 0;
  }
  const closed: string[] = [];
  const logins = new Logins({ policy });
  await using uploads = new Uploads({ limit: 1 });
  expect(logins).toBeInstanceOf(RateLimiter);
  expect(logins.consumeSync("k").remaining).toBe(9);
  expect(inspect(logins)).toMatch(/^Logins \{[^]*region: 'eu'/);
  expect(inspect(uploads)).toMatch(/^Uploads \{[^]*bytes: 0/);
  await logins.close();
  expect(closed).toEqual(["eu"]);
});

test("a limiter of another class can be a fallback, and part of what is decided together", async () => {
  class Own extends RateLimiter {}
  await using fallback = new Own({ policy });
  await using limiter = new RateLimiter({ policy, onStoreFailure: { fallback } });
  expect((await limiter.consume("k")).allowed).toBe(true);
});

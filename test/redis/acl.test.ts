/** A user with no more permissions than docs/redis.md asks for is enough, and none of them can be left out. */
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../scripts/redis-server.mjs";
import {
  type Clock,
  consumeAtomic,
  type Policy,
  RateLimiter,
  slidingLog,
  StoreUnavailableError,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { clients } from "../support/clients.js";
import { namedSlowPolicies, slowPolicies } from "../support/policies.js";

/** The line of the documentation, as it would be typed. */
const [documented = ""] =
  /^ACL SETUSER limiter .*$/m.exec(readFileSync("docs/redis.md", "utf8")) ?? [];
const words = documented.split(" ");
const PASSWORD = words.find((word) => word.startsWith(">"))?.slice(1) ?? "";
const commands = words.filter((word) => word.startsWith("+"));
const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let server: Awaited<ReturnType<typeof startRedis>>;
let admin: Redis;
let current: Redis | undefined;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
});
afterAll(async () => {
  current?.disconnect();
  await admin.quit();
  await server.stop();
});

/** Makes the documented user anew, with changes, on a server that knows no script and no key. */
async function asUser(...changes: readonly string[]): Promise<Redis> {
  current?.disconnect();
  await admin.flushall();
  await admin.script("FLUSH");
  await admin.call("ACL", "LOG", "RESET");
  await admin.call("ACL", "DELUSER", "limiter");
  const [name = "", ...args] = [...words, ...changes];
  await admin.call(name, ...args);
  const username = "limiter";
  current = new Redis(server.url, { username, password: PASSWORD, enableReadyCheck: false });
  return current;
}

function limiterFor(client: Redis, policy: Policy | readonly Policy[]): RateLimiter {
  const store = new RedisStore({ client });
  return new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
}

/** Every verb on every policy, each alone and all together. */
async function useEverything(client: Redis): Promise<void> {
  for (const policy of [...slowPolicies.map(([, each]) => each), namedSlowPolicies]) {
    const limiter = limiterFor(client, policy);
    const key = "k";
    await limiter.consume(key, { cost: 3 });
    await limiter.consumeUpTo(key, { cost: 3 });
    await limiter.consumeMany([{ key }, { key: "other" }]);
    await consumeAtomic([
      { limiter, key },
      { limiter, key: "other" },
    ]);
    await limiter.peek(key);
    await limiter.refund(key, 1);
    await limiter.penalize(key, 20);
    await limiter.block(key, "1h");
    await limiter.unblock(key);
    await limiter.reset(key);
  }
  // Hits are dropped once they have left the window.
  const quick = limiterFor(client, slidingLog({ name: "quick", limit: 10, window: 2 }));
  await quick.consume("k");
  await expect.poll(async () => (await quick.peek("k")).remaining).toBe(10);
  await quick.consume("k");
}

test("the documentation names the user's permissions", () => {
  expect(words.slice(0, 4)).toEqual(["ACL", "SETUSER", "limiter", "on"]);
  expect(words).toContain("~sluice:*");
  expect(commands.length).toBeGreaterThan(5);
});

test("the documented user may do everything", async () => {
  await useEverything(await asUser());
  const denials = (await admin.call("ACL", "LOG")) as unknown[];
  expect(denials).toEqual([]);
});

test.each(commands)("without %s something fails", async (command) => {
  const user = await asUser(command.replace("+", "-"));
  await expect(useEverything(user)).rejects.toThrow(StoreUnavailableError);
});

test("keys of another namespace are out of reach, and the error does not blame the key", async () => {
  const user = await asUser();
  const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
  const store = new RedisStore({ client: user });
  const limiter = new RateLimiter({
    policy,
    store,
    namespace: "other",
    onStoreFailure: "throw",
    timeout: "30s",
  });
  await expect(limiter.consume("k")).rejects.toThrow(/NOPERM/);
});

test("a missing permission is not taken for a value of another type", async () => {
  for (const [command, policy] of [
    ["mget", slowPolicies[0]],
    ["hget", slowPolicies.at(-1)],
  ] as const) {
    const user = await asUser(`-${command}`);
    const limiter = limiterFor(user, (policy as (typeof slowPolicies)[number])[1]);
    await expect(limiter.consume("k")).rejects.toThrow(/can't run this command|NOPERM/);
  }
});

describe(`the documented user passes the conformance suite (SLUICE_SEED=${seed})`, () => {
  let user: Redis;
  beforeAll(async () => {
    // An injected clock is for tests alone, and so is what it needs; the suite has its own namespace.
    user = await asUser("resetkeys", "~conformance.*", "+pexpire");
  });
  const createStore = (clock: Clock): RedisStore => new RedisStore({ client: user, clock });
  for (const { name, run } of storeConformance({ createStore, seed, traces: 50 })) test(name, run);
});

describe("with the documented user", () => {
  test.each(["ioredis", "node-redis", "iovalkey", "valkey-glide"] as const)(
    "%s connects and decides",
    async (name) => {
      await asUser("+info");
      const login = { url: server.url, username: "limiter", password: PASSWORD };
      const { client, close } = await clients[name](login);
      onTestFinished(close);
      const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
      const limiter = new RateLimiter({
        policy,
        store: new RedisStore({ client }),
        onStoreFailure: "throw",
        timeout: "30s",
      });
      expect((await limiter.consume("k")).remaining).toBe(9);
    },
  );

  test("connect needs select for a database other than 0, and nothing else", async () => {
    const url = `${server.url.replace("//", `//limiter:${PASSWORD}@`)}/3`;
    await asUser();
    await expect(RedisStore.connect(url)).rejects.toThrow(/NOPERM.*select/);
    await asUser("+select");
    const store = await RedisStore.connect(url);
    onTestFinished(() => store.close());
    const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
    expect((await limiter.consume("k")).remaining).toBe(9);
  });
});

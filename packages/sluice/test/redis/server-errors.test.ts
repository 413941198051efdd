/** What a server or its client says of a failure of the whole store, as callers and logs get it. */
import { inspect } from "node:util";
import { createClient } from "redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { RateLimiter, tokenBucket } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";

const limiterOn = (client: RedisClientLike): RateLimiter =>
  new RateLimiter({
    policy: tokenBucket({ limit: 10, period: "365d" }),
    store: new RedisStore({ client }),
    identity: "plain",
    onStoreFailure: "throw",
    timeout: "30s",
    hooks: { onError: () => {} },
  });

describe("an error of the whole store shows no key", () => {
  const key = "+44 20 7946 0000";

  test.each([
    ["upstash without pipelines", "-mget", /can't run this command|NOPERM|ACL failure/],
    ["upstash", "-mget", /can't run this command|NOPERM|ACL failure/],
  ] as const)("of %s", async (kind, rule, why) => {
    const server = await startRedis();
    const { client, command, close } = await clients[kind]({ url: server.url });
    onTestFinished(async () => {
      await close();
      await server.stop();
    });
    await command("ACL", "SETUSER", "default", rule);
    const limiter = limiterOn(client);
    const error: unknown = await limiter.consume(key).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(why);
    expect(inspect(error, { depth: 9 })).not.toContain(key);
  });

  test("of a server that does not know the commands that run scripts", async () => {
    const unknown = ["EVAL", "EVALSHA"].flatMap((name) => ["--rename-command", name, `x${name}`]);
    const server = await startRedis({ args: unknown });
    const client = createClient({ url: server.url });
    await client.connect();
    onTestFinished(async () => {
      client.destroy();
      await server.stop();
    });
    const limiter = limiterOn(client);
    const error: unknown = await limiter.consume(key).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/unknown command/i);
    expect(inspect(error, { depth: 9 })).not.toContain(key);
  });
});

test("a command that the server does not have, as in some services, is a failure of the store", async () => {
  const server = await startRedis({ args: ["--rename-command", "MGET", "xmget"] });
  const client = createClient({ url: server.url });
  await client.connect();
  onTestFinished(async () => {
    client.destroy();
    await server.stop();
  });
  const limiter = limiterOn(client);
  const calls = await Promise.allSettled([limiter.consume("k"), limiter.consume("l")]);
  for (const call of calls) {
    // "Unknown Redis command called from script", and how newer servers go on.
    expect(call).toMatchObject({
      status: "rejected",
      reason: {
        code: "STORE_UNAVAILABLE",
        ofKey: false,
        message: expect.stringMatching(/unknown/i) as unknown,
      },
    });
  }
});

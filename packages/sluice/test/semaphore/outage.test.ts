/** Semaphores whose server or subscriber goes away: waits of seconds, each in a server of its own. */
import { Redis } from "ioredis";
import { createClient } from "redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { MaxWaitExceededError, Semaphore, StoreTimeoutError } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { eventually } from "../support/eventually.js";
import { expectAsking, expectWoken, handOff, noteAsks } from "../support/hand-offs.js";
import { clientOnOwnServer, inLine, newName, semaphoreOn } from "../support/semaphores.js";

describe("a waiter", () => {
  /** Hand-offs through `client`, and what cuts its subscribers off. */
  function watch(server: { url: string }, client: RedisClientLike) {
    const admin = new Redis(server.url);
    const asker = new Redis(server.url);
    onTestFinished(() => {
      admin.disconnect();
      asker.disconnect();
    });
    const name = newName();
    const watched = { asking: noteAsks(client), semaphore: semaphoreOn(client, name) };
    const control = {
      asking: noteAsks(asker),
      semaphore: semaphoreOn(asker, newName(), { subscriber: false }),
    };
    const spectator = semaphoreOn(admin, name, { subscriber: false });
    const subscribers = async (count: number): Promise<void> =>
      eventually(async () => expect(await admin.pubsub("CHANNELS", "*")).toHaveLength(count));
    return {
      admin,
      subscribers,
      round: () => handOff(watched, spectator, control),
    };
  }

  test.each(["ioredis", "node-redis", "iovalkey"] as const)(
    "asks while the subscriber of %s is cut off, and is notified again when it is back",
    async (kind) => {
      const { client, server } = await clientOnOwnServer(kind);
      const { admin, subscribers, round } = watch(server, client);
      await expectWoken(round);

      // Nobody can subscribe: the duplicate's own connection and those that it opens are cut.
      await admin.call("ACL", "SETUSER", "default", "resetchannels");
      await admin.call("CLIENT", "KILL", "TYPE", "pubsub");
      await subscribers(0);
      await expectAsking(round);

      await admin.call("ACL", "SETUSER", "default", "allchannels");
      await subscribers(1);
      await expectWoken(round);
    },
  );

  test("gets another subscriber where the client's options forbid to connect again", async () => {
    const server = await startRedis();
    const client = createClient({ url: server.url, socket: { reconnectStrategy: false } });
    client.on("error", () => {});
    await client.connect();
    onTestFinished(async () => {
      await client.close();
      await server.stop();
    });
    const { admin, subscribers, round } = watch(server, client);
    await expectWoken(round);
    await admin.call("CLIENT", "KILL", "TYPE", "pubsub");
    await subscribers(1);
    await expectWoken(round);
  });
});

describe("when Redis fails", () => {
  async function ownServer(): Promise<{ client: Redis; pid: number; stop: () => Promise<void> }> {
    const server = await startRedis();
    const client = new Redis(server.url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
    client.on("error", () => {});
    onTestFinished(async () => {
      client.disconnect();
      await server.stop();
    });
    return { client, pid: server.pid, stop: server.stop };
  }

  test("who is not in line yet is told, and who holds is told before anybody else can", async () => {
    const { client, stop } = await ownServer();
    const store = new RedisStore({ client });
    const semaphore = new Semaphore({ limit: 1, leaseDuration: "3s", timeout: "1s", store });
    const permit = await semaphore.acquire("k");
    await stop();
    await expect(semaphore.acquire("k", { maxWait: 0 })).rejects.toThrow(StoreTimeoutError);
    await expect.poll(() => permit.lost.aborted).toBe(true);
    await expect(permit.release()).rejects.toThrow(StoreTimeoutError);
    await permit[Symbol.asyncDispose]();
    await semaphore.close();
    await store.close();
  });

  test("who waits goes on waiting until maxWait, or an abort", async () => {
    const { client, stop } = await ownServer();
    const store = new RedisStore({ client });
    const semaphore = new Semaphore({ limit: 1, timeout: "1s", store });
    await semaphore.acquire("k");
    const controller = new AbortController();
    const outcomes = Promise.allSettled([
      semaphore.acquire("k", { maxWait: "5s" }),
      semaphore.acquire("k", { signal: controller.signal }),
    ]);
    await inLine(semaphore, 2);
    await stop();
    await expect
      .poll(() => semaphore.inspect("k").catch((error: unknown) => error))
      .toBeInstanceOf(StoreTimeoutError);
    controller.abort("enough");
    const [first, second] = await outcomes;
    expect(first.status === "rejected" && first.reason).toBeInstanceOf(MaxWaitExceededError);
    expect(second).toMatchObject({ reason: "enough" });
    await semaphore.close();
    await store.close();
  });

  test("who waits gets a permit when it is back, though it has forgotten everything", async () => {
    const { client, pid } = await ownServer();
    const store = new RedisStore({ client });
    const semaphore = new Semaphore({ limit: 1, leaseDuration: "3s", timeout: "1s", store });
    const permit = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await inLine(semaphore, 1);
    process.kill(pid, "SIGSTOP");
    await expect(semaphore.inspect("k")).rejects.toThrow(StoreTimeoutError);
    process.kill(pid, "SIGCONT");
    await client.flushall();
    const next = await waiting;
    expect(next.fencingToken).toBeGreaterThan(permit.fencingToken);
    await expect.poll(() => permit.lost.aborted).toBe(true);
    await next.release();
    await semaphore.close();
    await store.close();
  });
});

/**
 * Turns of promises between what a client hears from Redis and the caller who waits for it. Each is a function that runs from
 * cold caches, and for a semaphore a time in which a permit lies idle.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";
import { eventually } from "../support/eventually.js";
import { inLine, newName } from "../support/semaphores.js";

type Method = (...args: unknown[]) => unknown;
type Subscriber = Record<"on" | "subscribe", Method>;

/** More than there ever are. */
const MOST_TURNS = 100;

/** Counts turns from the last time that something came from Redis. */
class Turns {
  /** Channels whose messages come. */
  subscriptions = 0;
  #turns = MOST_TURNS;

  /** Something comes from Redis now, and is told to whoever waits for it. */
  came(): void {
    const isCounting = this.#turns < MOST_TURNS;
    this.#turns = 0;
    if (!isCounting) void this.#count();
  }

  /** How many turns lie between that and the caller who waits for `promise`. */
  until(promise: Promise<unknown>): Promise<number> {
    return promise.then(() => this.#turns);
  }

  async #count(): Promise<void> {
    while (this.#turns < MOST_TURNS) {
      await Promise.resolve();
      this.#turns += 1;
    }
  }
}

/** The client, with its replies and messages counted from. */
function watched(client: RedisClientLike, turns: Turns): RedisClientLike {
  const watchReplies = (method: Method): Method => {
    return (...args) =>
      (method(...args) as Promise<unknown>).then((reply) => {
        turns.came();
        return reply;
      });
  };
  const watchMessages = (listener: Method): Method => {
    return (...args) => {
      turns.came();
      listener(...args);
    };
  };
  const watchSubscriber = (subscriber: Subscriber): Subscriber => {
    const { on, subscribe } = subscriber;
    return Object.assign(subscriber, {
      on: (event: string, listener: Method) =>
        on.call(subscriber, event, event === "message" ? watchMessages(listener) : listener),
      subscribe: async (channel: string, listener?: Method) => {
        const heard = listener === undefined ? [] : [watchMessages(listener)];
        await subscribe.call(subscriber, channel, ...heard);
        turns.subscriptions += 1;
      },
    });
  };
  return new Proxy(client, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as Method;
      if (name === "evalsha" || name === "evalSha") return watchReplies(method);
      if (name !== "duplicate") return method;
      return (...args: unknown[]) => watchSubscriber(method(...args) as Subscriber);
    },
  });
}

describe.each(["node-redis", "ioredis"] as const)("through %s", (kind) => {
  let connected: Awaited<ReturnType<(typeof clients)[typeof kind]>>;
  const turns = new Turns();
  let client: RedisClientLike;
  beforeAll(async () => {
    connected = await clients[kind]();
    client = watched(connected.client, turns);
  });
  afterAll(() => connected.close());

  const storeOf = (): RedisStore => {
    const store = new RedisStore({ client });
    onTestFinished(() => store.close());
    return store;
  };

  const semaphoreOf = (): Semaphore => {
    const semaphore = new Semaphore({ limit: 1, store: storeOf(), name, timeout: "30s" });
    onTestFinished(() => semaphore.close());
    return semaphore;
  };
  const name = newName();

  test("a lone call has 2 behind its reply, and calls that go together 3", async () => {
    const policy = tokenBucket({ limit: 10, period: "1h" });
    const options = { policy, store: storeOf(), namespace: newName(), timeout: "30s" } as const;
    const limiter = new RateLimiter(options);
    onTestFinished(() => limiter.close());
    await limiter.consume("k");
    expect(await turns.until(limiter.consume("k"))).toBe(2);
    await Promise.all([limiter.consume("k"), limiter.consume("k")]);
    const [first] = [limiter.consume("k"), limiter.consume("k")];
    expect(await turns.until(first as Promise<unknown>)).toBe(3);
  });

  test("a free permit has 6 behind its reply, a permit that is handed over 1 behind its notification", async () => {
    const [semaphore, other] = [semaphoreOf(), semaphoreOf()];
    await (await semaphore.acquire("k")).release();
    const acquired = semaphore.acquire("k");
    expect(await turns.until(acquired)).toBe(6);
    const next = other.acquire("k");
    await inLine(other, 1);
    await eventually(async () => expect(turns.subscriptions).toBeGreaterThan(0));
    const handedOver = turns.until(next);
    await (await acquired).release();
    expect(await handedOver).toBe(1);
    await (await next).release();
  });
});

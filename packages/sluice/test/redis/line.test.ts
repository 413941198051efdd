/** Waiting in line on a real server: what is stored, what is sent twice, what a lost server changes. */
import { getEventListeners } from "node:events";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { RateLimiter, type Reservation, tokenBucket } from "../../src/index.js";
import type { RunScript } from "../../src/stores/redis/clients/client.js";
import { scriptRunner } from "../../src/stores/redis/clients/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { runNode } from "../support/processes.js";
import { buildPackage } from "../support/built.js";

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

const hourly = tokenBucket({ limit: 10, period: "1h" });

function granted(reservation: Reservation): Extract<Reservation, { allowed: true }> {
  if (!reservation.allowed) throw new Error(`refused: ${reservation.reason}`);
  return reservation;
}

test("a cancel that the client sent twice gives back once", async () => {
  const run = scriptRunner(redis);
  let isLossy = false;
  const twice: RunScript = async (...call) => {
    const reply = await run(...call);
    return isLossy ? run(...call) : reply;
  };
  const store = new RedisStore({ client: twice });
  const limiter = new RateLimiter({ policy: hourly, store, namespace: "twice", timeout: "30s" });
  await limiter.consume("k", { cost: 10 });
  await limiter.reserve("k", { cost: 3 });
  const last = granted(await limiter.reserve("k", { cost: 3 }));
  isLossy = true;
  await last.cancel();
  isLossy = false;
  const next = await limiter.reserve("k", { maxWait: 0 });
  // 13 stay in use, and the next is the fourth to wait for six minutes each.
  const waitMs = next.allowed ? 0 : next.retryAfterMs;
  expect(waitMs).toBeGreaterThan(23 * 60_000);
  expect(waitMs).toBeLessThanOrEqual(24 * 60_000);
});

test("50 in line at once that one signal ends give back 49, in few calls to the server", async () => {
  const run = scriptRunner(redis);
  let calls = 0;
  const counted: RunScript = (...call) => {
    calls += 1;
    return run(...call);
  };
  const store = new RedisStore({ client: counted, clock: new ManualClock() });
  const policy = tokenBucket({ limit: 10, period: "1s", burst: 1 });
  const limiter = new RateLimiter({ policy, store, namespace: "signal", timeout: "30s" });
  const abort = new AbortController();
  const line = Array.from({ length: 50 }, () => limiter.acquire("k", { signal: abort.signal }));
  const ended = Promise.allSettled(line);
  await line[0];
  // Behind all of them: then each has its place.
  await limiter.peek("k");
  calls = 0;
  abort.abort(new Error("shut down"));
  const outcomes = await ended;
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 100 });
  expect(calls).toBeLessThan(10);
});

test("only a key that is waited for stores its line", async () => {
  const clock = new ManualClock();
  const store = new RedisStore({ client: redis, clock });
  const policy = tokenBucket({ limit: 10, period: "1h" });
  const limiter = new RateLimiter({ policy, store, namespace: "bytes", timeout: "30s" });
  const length = async (): Promise<number> => {
    const [key] = await redis.keys("bytes:*");
    return redis.strlen(key as string);
  };
  await limiter.reserve("k", { cost: 10 });
  expect(await length()).toBe(26);
  await limiter.reserve("k", { cost: 10 });
  expect(await length()).toBe(67);
  clock.advance(2 * 3_600_000);
  expect((await limiter.consume("k")).allowed).toBe(true);
  expect(await length()).toBe(26);
});

describe("an abort of acquire while Redis is asked", () => {
  /** A limiter whose calls are counted, and whose replies can be held back on their way. */
  function heldUp(namespace: string) {
    const run = scriptRunner(redis);
    const state = { calls: 0, replies: 0, hold: undefined as Promise<void> | undefined };
    const client: RunScript = async (...call) => {
      state.calls += 1;
      const reply = await run(...call);
      state.replies += 1;
      await state.hold;
      return reply;
    };
    const store = new RedisStore({ client });
    return {
      state,
      limiter: new RateLimiter({ policy: hourly, store, namespace, timeout: "30s" }),
    };
  }

  /** Minutes until one more would start, rounded up: six for each that is in use beyond ten. */
  async function nextStart(limiter: RateLimiter): Promise<number> {
    const next = await limiter.reserve("k", { maxWait: 0 });
    return next.allowed ? 0 : Math.ceil(next.retryAfterMs / 60_000);
  }

  test("rejects at once, and gives the place back that the reply still brings", async () => {
    const { state, limiter } = heldUp("abort-in-flight");
    await limiter.consume("k", { cost: 10 });
    let letGo = (): void => {};
    state.hold = new Promise((resolve) => (letGo = resolve));
    const { replies } = state;
    const abort = new AbortController();
    const waiting = limiter.acquire("k", { cost: 3, signal: abort.signal });
    await eventually(() => expect(state.replies).toBe(replies + 1));
    const reason = new Error("changed my mind");
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(getEventListeners(abort.signal, "abort")).toHaveLength(0);

    state.hold = undefined;
    expect(await nextStart(limiter)).toBe(24);
    letGo();
    await eventually(async () => expect(await nextStart(limiter)).toBe(6));
  });

  test("before the call is sent, it is not sent", async () => {
    const { state, limiter } = heldUp("abort-unsent");
    await limiter.consume("k", { cost: 10 });
    const { calls } = state;
    const abort = new AbortController();
    const waiting = limiter.acquire("k", { signal: abort.signal });
    abort.abort(new Error("at once"));
    await expect(waiting).rejects.toThrow("at once");
    expect(await nextStart(limiter)).toBe(6);
    // The question after the next start alone.
    expect(state.calls).toBe(calls + 1);
  });
});

test("who waits when the server is lost starts in time; who cancels is told that nothing came back", async () => {
  const lost = await startRedis();
  // Says at once that the server is gone, so that no deadline has to.
  const client = new Redis(lost.url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
  });
  client.on("error", () => {});
  await client.connect();
  onTestFinished(async () => {
    client.disconnect();
    await lost.stop();
  });
  const errors: unknown[] = [];
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 2, period: "4s" }),
    store: new RedisStore({ client }),
    timeout: "30s",
    hooks: { onError: ({ error }) => errors.push(error) },
  });
  await limiter.consume("k", { cost: 2 });
  const waiting = limiter.acquire("k");
  const reservation = granted(await limiter.reserve("k"));
  process.kill(lost.pid, "SIGKILL");
  expect(await reservation.cancel()).toBe(false);
  expect(errors).toHaveLength(1);
  expect(await waiting).toMatchObject({ allowed: true, source: "store" });
});

test("who waits keeps the process alive until it may start, and no longer", async () => {
  const built = await buildPackage([]);
  onTestFinished(() => {
    built.remove();
  });
  const main = JSON.stringify(`${built.directory}/dist/index.js`);
  const program = `
    import { RateLimiter, tokenBucket } from ${main};
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1s", burst: 1 }) });
    await limiter.acquire("k");
    limiter.acquire("k").then(({ lateMs }) => console.log("started", lateMs >= 0));
    const given = new AbortController();
    const forever = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "365d" }) });
    await forever.acquire("k");
    forever.acquire("k", { signal: given.signal }).catch(() => console.log("gave up"));
    given.abort();
  `;
  const ended = await runNode("--input-type=module", "--eval", program);
  expect(ended).toMatchObject({ code: 0, stdout: "gave up\nstarted true\n", stderr: "" });
});

/** Waiting in line on a real server: what is stored, what is sent twice, what a lost server changes. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { startRedis } from "../../scripts/redis-server.mjs";
import { RateLimiter, type Reservation, tokenBucket } from "../../src/index.js";
import { type RunScript, scriptRunner } from "../../src/stores/redis/client.js";
import { RedisStore } from "../../src/stores/redis/index.js";
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

test("only a key that is waited for stores its line", async () => {
  const store = new RedisStore({ client: redis });
  const policy = tokenBucket({ limit: 1000, period: "1s", burst: 10 });
  const limiter = new RateLimiter({ policy, store, namespace: "bytes", timeout: "30s" });
  const length = async (): Promise<number> => {
    const [key] = await redis.keys("bytes:*");
    return redis.strlen(key as string);
  };
  await limiter.reserve("k", { cost: 10 });
  expect(await length()).toBe(26);
  await limiter.reserve("k", { cost: 10 });
  expect(await length()).toBe(67);
  await vi.waitFor(async () => {
    expect((await limiter.consume("k")).allowed).toBe(true);
    expect(await length()).toBe(26);
  });
});

test("who waits when the server is lost starts in time; who cancels is told that nothing came back", async () => {
  const lost = await startRedis();
  const client = new Redis(lost.url);
  client.on("error", () => {});
  onTestFinished(async () => {
    client.disconnect();
    await lost.stop();
  });
  const errors: unknown[] = [];
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 2, period: "1s" }),
    store: new RedisStore({ client }),
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

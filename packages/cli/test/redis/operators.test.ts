/** What operators do to keys and semaphores of a real Redis by the command line. */
import { randomUUID } from "node:crypto";
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually } from "../../../sluice/test/support/eventually.js";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

const POLICY = ["--limit", "10", "--period", "1h", "--namespace", "cli"];

let store: RedisStore;
beforeAll(async () => {
  store = await RedisStore.connect(inject("redisUrl"));
});
afterAll(() => store.close());

async function sluice(...argv: string[]) {
  const process = fakeProcess({ env: { SLUICE_REDIS_URL: inject("redisUrl") } });
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

/** Commands give the store no more than 250 ms, and these change nothing when they are repeated. */
const succeeds = (...argv: string[]): Promise<string> =>
  eventually(async () => {
    const { code, stdout, stderr } = await sluice(...argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  });
const json = async (...argv: string[]): Promise<unknown> =>
  JSON.parse(await succeeds(...argv, "--json"));

describe("block and unblock", () => {
  const limiterOf = (): RateLimiter =>
    new RateLimiter({
      store,
      policy: tokenBucket({ limit: 10, period: "1h" }),
      namespace: "cli",
      timeout: "30s",
    });

  test("deny a limiter's key, for a time or until unblocked, and lift that", async () => {
    const limiter = limiterOf();
    const key = `blocked-${randomUUID()}`;
    await limiter.consume(key, { cost: 4 });
    expect(await succeeds("block", key, ...POLICY, "--for", "2h")).toMatch(
      /^key blocked-\S+ on \S+: blocked for 2 h, under 1 policy\n$/,
    );
    const denied = await limiter.peek(key);
    expect(denied).toMatchObject({ allowed: false, reason: "blocked" });
    expect(denied.retryAfterMs).toBeGreaterThan(3600e3);
    expect(await json("block", key, ...POLICY, "--for", "ever")).toMatchObject({
      key,
      blockedMs: null,
    });
    expect((await limiter.peek(key)).retryAfterMs).toBe(Number.POSITIVE_INFINITY);
    expect(await json("unblock", key, ...POLICY)).toMatchObject({ key, unblocked: true });
    expect(await limiter.peek(key)).toMatchObject({ allowed: true, remaining: 6 });
    expect(await json("block", key, ...POLICY, "--for", "1", "--reset")).toMatchObject({
      blockedMs: 1,
    });
    await eventually(async () => expect((await limiter.peek(key)).remaining).toBe(10));
  });

  test("work in the slot that calls give a key", async () => {
    const limiter = limiterOf();
    const key = `slot-${randomUUID()}`;
    await succeeds("block", key, ...POLICY, "--for", "1h", "--slot", "org:7");
    expect(await limiter.peek(key, { slot: "org:7" })).toMatchObject({ reason: "blocked" });
    expect(await limiter.peek(key)).toMatchObject({ allowed: true });
    await succeeds("unblock", key, ...POLICY, "--slot", "org:7");
    expect(await limiter.peek(key, { slot: "org:7" })).toMatchObject({ allowed: true });
  });

  test.each([
    [["block", "k", ...POLICY], "--for is missing"],
    [["block", "k", ...POLICY, "--for", "soon"], '--for "soon" is not a duration'],
    [["block", "--for", "1h", ...POLICY], "<key> is missing"],
    [["unblock", ...POLICY], "<key> is missing"],
    [["unblock", "k", "--limit", "-1", "--period", "1h"], "limit"],
  ])("refuse %j", async (argv, why) => {
    const { code, stdout, stderr } = await sluice(...argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(why);
  });
});

describe("a semaphore", () => {
  const argv = ["--semaphore", "--limit", "2", "--namespace", "cli"];

  test("is inspected with who holds, and reset", async () => {
    const key = `reset-${randomUUID()}`;
    await using semaphore = new Semaphore({ store, limit: 2, namespace: "cli", timeout: "30s" });
    const { fencingToken } = await semaphore.acquire(key, { weight: 2 });
    const waiting = semaphore.acquire(key);
    await eventually(async () => expect((await semaphore.inspect(key)).waiting).toBe(1));
    const at = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+/.source;
    expect(await succeeds("inspect", key, ...argv)).toMatch(
      new RegExp(
        `  permit ${fencingToken}, weight 2: since ${at}, lease until ${at} UTC\n` +
          `  waiting, weight 1: since ${at} UTC\n$`,
      ),
    );
    expect(await json("inspect", key, ...argv)).toMatchObject({
      holders: [{ fencingToken: `${fencingToken}`, weight: 2 }],
      waiters: [{ weight: 1 }],
    });
    expect(await succeeds("reset", key, ...argv)).toMatch(
      /^key reset-\S+ on \S+: reset, 1 permit ended, of semaphore "semaphore"\n$/,
    );
    expect((await waiting).fencingToken).toBeGreaterThan(fencingToken);
    expect(await json("reset", key, ...argv)).toMatchObject({
      key,
      semaphore: "semaphore",
      reset: true,
      ended: 1,
    });
    expect(await json("inspect", key, ...argv)).toMatchObject({ held: 0, holders: [] });
  });

  test.each([["block", "--for", "1h"], ["unblock"]])(
    "is not there to %s, and the refusal says what is",
    async (verb, ...more) => {
      const { code, stdout, stderr } = await sluice(verb, "k", ...argv, ...more);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("a semaphore cannot be blocked");
      expect(stderr).toContain("setLimit(key, 1)");
      expect(stderr).toContain("sluice reset --semaphore");
    },
  );
});

describe("inspect --semaphore", () => {
  test("shows what is held, and who waits, by name, limit, slot and identity", async () => {
    const options = { store, limit: 3, namespace: "cli", name: "jobs", timeout: "30s" } as const;
    await using semaphore = new Semaphore({ ...options, identity: "plain" });
    const key = `held-${randomUUID()}`;
    const held = await semaphore.acquire(key, { weight: 2 });
    const waiting = semaphore.acquire(key, { weight: 2, maxWait: "2m" });
    const argv = ["inspect", key, "--semaphore", "--limit", "3", "--namespace", "cli"];
    const jobs = [...argv, "--name", "jobs", "--identity", "plain"];
    await eventually(async () =>
      expect(await json(...jobs)).toMatchObject({
        key,
        semaphore: "jobs",
        limit: 3,
        held: 2,
        waiting: 1,
      }),
    );
    expect(await succeeds(...jobs)).toMatch(
      /^key held-\S+ on \S+\n\nsemaphore "jobs"\n {2}[#█]{20}[.░]{10} {2}2 of 3 held, 1 waiting\n {2}permit \d+, weight 2: .+\n {2}waiting, weight 2: .+\n$/,
    );
    expect(await json(...argv)).toMatchObject({ semaphore: "semaphore", held: 0, waiting: 0 });
    expect(await json(...jobs, "--slot", "org:7")).toMatchObject({ slot: "org:7", held: 0 });
    await semaphore.setLimit(key, 4);
    await eventually(async () =>
      expect(await json(...jobs)).toMatchObject({ limit: 4, held: 4, waiting: 0 }),
    );
    await held.release();
    await (await waiting).release();
  });

  test.each([
    [["--semaphore"], "--limit is missing"],
    [["--semaphore", "--limit", "0"], "--limit"],
    [["--semaphore", "--limit", "3", "--period", "1s"], "--period belongs to a policy"],
    [["--semaphore", "--limit", "3", "--cost", "2"], "--cost belongs to a policy"],
    [["--semaphore", "--limit", "3", "--policy", "{}"], "--policy belongs to a policy"],
  ])("refuses %j", async (argv, why) => {
    const { code, stdout, stderr } = await sluice("inspect", "k", ...argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(why);
  });
});

/** Requests that wait in line instead of being denied. */
import { describe, expect, onTestFinished, test } from "vitest";
import { call, ended, enter, fieldsIn, gateOf, left, outcomeOf } from "../../test/support/gates.js";
import { settle, watch } from "../../test/support/watch.js";
import { MemoryStore, RateLimiter, Semaphore, tokenBucket } from "../index.js";
import { ManualClock } from "../testing/index.js";
import type { HttpOptions, Pass } from "./index.js";

const clock = new ManualClock();

function limiterOf(): RateLimiter {
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 1, period: "1s" }),
    store: new MemoryStore({ clock }),
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** What a pass came to so far. */
const soFar = async (
  pass: Pass | Promise<Pass>,
): Promise<{ settled: string | Error | undefined }> => {
  const watched = watch(outcomeOf(pass));
  await settle();
  return watched;
};

describe("for a rate", () => {
  const waiting = (limiter: RateLimiter, options: Partial<HttpOptions<object>> = {}) =>
    gateOf({ limiter, key: "k", maxWait: "2s" }, options);

  test("each gets its turn, and whose turn is too far is refused at once", async () => {
    const gate = waiting(limiterOf());
    expect(await outcomeOf(enter(gate))).toBe("pass");
    const second = await soFar(enter(gate));
    const third = await soFar(enter(gate));
    expect(await outcomeOf(enter(gate))).toBe("429 quota 3000");
    expect([second.settled, third.settled]).toEqual([undefined, undefined]);
    await clock.advanceAsync(1000);
    expect([second.settled, third.settled]).toEqual(["pass", undefined]);
    await clock.advanceAsync(1000);
    expect(third.settled).toBe("pass");
  });

  test("no more wait than may, and who waited makes room", async () => {
    const limiter = limiterOf();
    const gate = waiting(limiter, { maxWaiting: 1 });
    await enter(gate);
    const second = await soFar(enter(gate));
    const refused = await enter(gate);
    expect(refused.denial).toMatchObject({ status: 429, reason: "quota", retryAfterMs: 1000 });
    await clock.advanceAsync(1000);
    expect(second.settled).toBe("pass");
    const third = await soFar(enter(gate));
    await clock.advanceAsync(1000);
    expect(third.settled).toBe("pass");
  });

  test("fields say when more comes as of the answer, not of when it began to wait", async () => {
    const store = new MemoryStore({ clock });
    const limiterBy = (name: string, limit: number): RateLimiter => {
      const policy = tokenBucket({ name, limit, period: "60s" });
      return new RateLimiter({ store, policy });
    };
    const [slow, other] = [limiterBy("slow", 2), limiterBy("other", 1)];
    onTestFinished(async () => {
      await Promise.all([slow.close(), other.close()]);
    });
    // A unit of the one comes back every 30 s, of the other every 60 s.
    await slow.consume("k", { cost: 2 });
    const gate = gateOf([
      { limiter: other, key: "k" },
      { limiter: slow, key: "k", maxWait: "1m" },
    ]);
    const pass = enter(gate);
    await settle();
    await clock.advanceAsync(30_000);
    const { RateLimit } = fieldsIn(await pass);
    expect((await slow.peek("k")).retryAfterMs).toBe(30_000);
    expect((await other.peek("k")).retryAfterMs).toBe(30_000);
    expect(RateLimit).toBe('"other";r=0;t=30, "slow";r=0;t=30');
  });

  test("nobody waits where nobody may", async () => {
    const gate = waiting(limiterOf(), { maxWaiting: 0 });
    expect(await outcomeOf(enter(gate))).toBe("429 quota 1000");
  });

  test("a client that leaves gives its turn to the next, and frees its place", async () => {
    const limiter = limiterOf();
    const gate = waiting(limiter, { maxWaiting: 1 });
    await enter(gate);
    const client = new AbortController();
    const leaving = await soFar(enter(gate, { ...call, gone: () => client.signal }));
    client.abort(new Error("gone"));
    await settle();
    expect(leaving.settled).toContain("429");
    const next = await soFar(enter(gate));
    await clock.advanceAsync(1000);
    expect(next.settled).toBe("pass");
  });

  test("a client that left before is not waited for", async () => {
    const limiter = limiterOf();
    const gate = waiting(limiter);
    expect(await outcomeOf(enter(gate, { ...call, gone: () => AbortSignal.abort() }))).toContain(
      "429",
    );
    expect(await left(limiter, "k")).toBe(1);
  });

  test("what it took is settled like any other", async () => {
    const limiter = limiterOf();
    const gate = gateOf({ limiter, key: "k", maxWait: "2s", settle: () => 0 });
    const pass = await enter(gate);
    await pass.settle?.(ended);
    expect(await left(limiter, "k")).toBe(1);
  });

  test("a limiter that closes ends its waits as a store's failure, and gives back the rest", async () => {
    const limiter = limiterOf();
    const other = new RateLimiter({
      policy: tokenBucket({ name: "other", limit: 5, period: "1h" }),
    });
    const gate = gateOf([
      { limiter: other, key: "k" },
      { limiter, key: "k", maxWait: "2s" },
    ]);
    await enter(gate);
    const second = await soFar(enter(gate));
    expect(await left(other, "k")).toBe(3);
    await limiter.close();
    await settle();
    expect(second.settled).toBe("503 store 1000");
    expect(await left(other, "k")).toBe(4);
  });

  test("a refusal of a turn gives back rates and earlier turns", async () => {
    const [first, none] = [limiterOf(), limiterOf()];
    const rate = new RateLimiter({ policy: tokenBucket({ name: "rate", limit: 5, period: "1h" }) });
    await none.penalize("k", 10);
    const gate = gateOf([
      { limiter: first, key: "k", maxWait: "2s" },
      { limiter: none, key: "k", maxWait: "2s", show: false },
      { limiter: rate, key: "k" },
    ]);
    expect(await outcomeOf(enter(gate))).toBe("429 quota 10000");
    expect([await left(first, "k"), await left(rate, "k")]).toEqual([1, 5]);
  });

  test("a shadow makes nobody wait", async () => {
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 1, period: "1h" }),
      enforce: false,
    });
    const gate = gateOf({ limiter, key: "k", maxWait: "2s", settle: () => 0 });
    await enter(gate);
    expect(await enter(gate)).toMatchObject({ denial: undefined, settle: undefined });
  });
});

describe("for a permit", () => {
  test("whoever is next gets it, and who leaves gets none", async () => {
    const limiter = new Semaphore({ limit: 1, store: new MemoryStore({ clock }) });
    onTestFinished(() => limiter.close());
    const gate = gateOf({ limiter, key: "k", maxWait: "10s" });
    const first = await enter(gate);
    const client = new AbortController();
    const gone = await soFar(enter(gate, { ...call, gone: () => client.signal }));
    const second = await soFar(enter(gate));
    client.abort();
    await settle();
    expect([gone.settled, second.settled]).toEqual(["429 concurrency 1000", undefined]);
    await first.settle?.(ended);
    await settle();
    expect(second.settled).toBe("pass");
    expect(await limiter.inspect("k")).toEqual({ limit: 1, held: 1, waiting: 0 });
  });

  test("no longer than it may", async () => {
    const limiter = new Semaphore({ limit: 1, store: new MemoryStore({ clock }) });
    onTestFinished(() => limiter.close());
    const rate = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }) });
    await limiter.acquire("k");
    const gate = gateOf([
      { limiter: rate, key: "k" },
      { limiter, key: "k", maxWait: "1s" },
    ]);
    const waits = await soFar(enter(gate));
    expect([waits.settled, await left(rate, "k")]).toEqual([undefined, 4]);
    await clock.advanceAsync(1000);
    await settle();
    expect([waits.settled, await left(rate, "k")]).toEqual(["429 concurrency 1000", 5]);
    expect((await limiter.inspect("k")).waiting).toBe(0);
  });
});

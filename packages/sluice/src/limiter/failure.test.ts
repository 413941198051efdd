/** What a limiter answers when its store does not. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Behaviour, OutsideStore } from "../../test/support/outside-store.js";
import {
  consumeAtomic,
  type ErrorEvent,
  InvalidOptionError,
  MemoryStore,
  type OnStoreFailure,
  RateLimiter,
  StoreTimeoutError,
  StoreUnavailableError,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });

function brokenLimiter(onStoreFailure: OnStoreFailure, behaviour: Behaviour = "fails") {
  const store = new OutsideStore();
  store.behaviour = behaviour;
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const limiter = new RateLimiter({ policy, store, onStoreFailure, hooks: { onError } });
  return { store, limiter, onError };
}

const cause = new OutsideStore().error;

describe("when the store fails", () => {
  test('"open" admits, unmetered, and says so', async () => {
    const { limiter, onError } = brokenLimiter("open");
    const decision = await limiter.consume("k", { cost: 3 });
    expect(decision).toMatchObject({
      allowed: true,
      reason: "store",
      source: "fail-open",
      limit: 10,
      remaining: 0,
      retryAfterMs: 0,
      windowMs: 3_600_000,
      policy: "token-bucket",
    });
    expect(onError).toHaveBeenCalledExactlyOnceWith({
      key: "k",
      cost: 3,
      decision,
      error: expect.any(StoreUnavailableError) as unknown,
    });
    expect(onError.mock.calls[0]?.[0].error).toMatchObject({ cause });
  });

  test('"closed" denies, and says so', async () => {
    const { limiter } = brokenLimiter("closed");
    expect(await limiter.consume("k")).toMatchObject({
      allowed: false,
      reason: "store",
      source: "fail-closed",
      retryAfterMs: 1000,
    });
  });

  test('"throw" rejects with the store\'s own error as the cause', async () => {
    const { limiter, onError } = brokenLimiter("throw");
    await expect(limiter.consume("k")).rejects.toMatchObject({
      name: "StoreUnavailableError",
      code: "STORE_UNAVAILABLE",
      cause,
    });
    expect(onError).toHaveBeenCalledOnce();
    expect(onError.mock.calls[0]?.[0]).not.toHaveProperty("decision");
  });

  test("a fallback limiter decides, by its own policy and with a count of its own", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const fallback = new RateLimiter({
      policy: tokenBucket({ name: "local", limit: 2, period: "1h" }),
      store,
    });
    const { limiter } = brokenLimiter({ fallback });
    const decisions = [
      await limiter.consume("k"),
      await limiter.consume("k"),
      await limiter.consume("k"),
    ];
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, false]);
    expect(decisions[2]).toMatchObject({ source: "fallback", policy: "local", reason: "quota" });
    expect(fallback.consumeSync("other").source).toBe("store");
  });
});

describe("every verb", () => {
  test.each([
    ["open", { allowed: true, source: "fail-open" }],
    ["closed", { allowed: false, source: "fail-closed" }],
  ] as const)('under "%s" answers by the same policy', async (onStoreFailure, expected) => {
    const { limiter } = brokenLimiter(onStoreFailure);
    const answers = [
      await limiter.consume("k"),
      await limiter.consumeUpTo("k", { cost: 3 }),
      ...(await limiter.consumeMany([{ key: "k" }, { key: "l" }])),
      await limiter.peek("k"),
      await limiter.refund("k", 1),
      await limiter.penalize("k", 1),
      ...(
        await consumeAtomic([
          { limiter, key: "k" },
          { limiter, key: "l" },
        ])
      ).decisions,
    ];
    for (const answer of answers) expect(answer).toMatchObject(expected);
    expect(answers[1]).toMatchObject({ granted: expected.allowed ? 3 : 0 });
  });

  test("that has no decision to label throws whatever the policy", async () => {
    for (const onStoreFailure of ["open", "closed", "throw"] as const) {
      const { limiter, onError } = brokenLimiter(onStoreFailure);
      await expect(limiter.block("k", "1s")).rejects.toBeInstanceOf(StoreUnavailableError);
      await expect(limiter.unblock("k")).rejects.toBeInstanceOf(StoreUnavailableError);
      await expect(limiter.reset("k")).rejects.toBeInstanceOf(StoreUnavailableError);
      expect(onError).toHaveBeenCalledOnce();
    }
  });

  test("asks the fallback the same", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const fallback = new RateLimiter({ policy, store });
    const { limiter } = brokenLimiter({ fallback });
    expect(await limiter.consumeUpTo("k", { cost: 4 })).toMatchObject({ granted: 4, remaining: 6 });
    expect(await limiter.peek("k", { cost: 7 })).toMatchObject({ allowed: false, remaining: 6 });
    expect(await limiter.refund("k", 1)).toMatchObject({ remaining: 7, source: "fallback" });
    expect(await limiter.penalize("k", 3)).toMatchObject({ remaining: 4 });
    expect(await limiter.consumeMany([{ key: "k", cost: 2 }])).toMatchObject([{ remaining: 2 }]);
    const overridden = tokenBucket({ limit: 100, period: "1h" });
    // A call's own options are for the limiter's policies, not for the fallback's.
    expect(await limiter.consume("k", { policy: overridden })).toMatchObject({
      remaining: 1,
      limit: 10,
    });
  });

  test("reports a failed decision to the hooks as what it came to", async () => {
    const onAllowed = vi.fn();
    const onDenied = vi.fn();
    const store = new OutsideStore();
    store.behaviour = "fails";
    const hooks = { onAllowed, onDenied };
    await new RateLimiter({ policy, store, hooks }).consume("k");
    await new RateLimiter({ policy, store, hooks, onStoreFailure: "closed" }).consume("k");
    expect([onAllowed.mock.calls.length, onDenied.mock.calls.length]).toEqual([1, 1]);
  });

  test("of a limiter in shadow mode still admits when it fails closed", async () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const options = { policy, store, onStoreFailure: "closed", enforce: false } as const;
    expect(await new RateLimiter(options).consume("k")).toMatchObject({
      allowed: true,
      reason: "store",
      source: "fail-closed",
    });
  });
});

describe("an error", () => {
  test("of misuse is thrown, not answered by the failure policy", async () => {
    const { store, limiter, onError } = brokenLimiter("open");
    store.error = new InvalidOptionError("cost", 1, "less");
    await expect(limiter.consume("k")).rejects.toBe(store.error);
    expect(onError).not.toHaveBeenCalled();
  });

  test("of the store's own is passed on as it is", async () => {
    const { store, limiter } = brokenLimiter("throw");
    store.error = new StoreUnavailableError("the server is loading");
    await expect(limiter.consume("k")).rejects.toBe(store.error);
  });

  test("of any other kind is told in its words, as the cause", async () => {
    const { store, limiter } = brokenLimiter("throw");
    store.error = new RangeError("out of range");
    await expect(limiter.consume("k")).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: "the store failed: out of range",
      cause: store.error,
    });
  });

  test("of one call among many is that call's alone", async () => {
    const store = new OutsideStore();
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      const isMoved = call.debits[0]?.cost === 2000;
      submit(call, (outcome) => {
        done(isMoved ? new Error("moved") : outcome);
      });
    };
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "open" });
    expect(
      await limiter.consumeMany([{ key: "a" }, { key: "b", cost: 2 }, { key: "c" }]),
    ).toMatchObject([{ source: "store" }, { source: "fail-open" }, { source: "store" }]);
  });
});

describe("a store that does not answer", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test("is given 250 ms, then the failure policy answers", async () => {
    const { limiter, onError } = brokenLimiter("closed", "hangs");
    const answer = vi.fn();
    void limiter.consume("k").then(answer);
    await vi.advanceTimersByTimeAsync(249);
    expect(answer).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(answer).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ allowed: false, source: "fail-closed" }),
    );
    expect(onError.mock.calls[0]?.[0].error).toBeInstanceOf(StoreTimeoutError);
    expect(onError.mock.calls[0]?.[0].error).toMatchObject({ timeoutMs: 250 });
  });

  test("is given the time the limiter says", async () => {
    const store = new OutsideStore();
    store.behaviour = "hangs";
    const limiter = new RateLimiter({ policy, store, timeout: "2s", onStoreFailure: "throw" });
    const outcome = vi.fn();
    limiter.consume("k").catch(outcome);
    await vi.advanceTimersByTimeAsync(1999);
    expect(outcome).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(outcome.mock.calls[0]?.[0]).toMatchObject({ code: "STORE_TIMEOUT", timeoutMs: 2000 });
  });

  test("does not hold up a call that is aborted", async () => {
    const { limiter, onError } = brokenLimiter("open", "hangs");
    const controller = new AbortController();
    const call = limiter.consume("k", { signal: controller.signal });
    const reason = call.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(10);
    controller.abort(new Error("enough"));
    expect(await reason).toMatchObject({ message: "enough" });
    // A caller that gave up is no failure of the store.
    expect(onError).not.toHaveBeenCalled();
  });

  test("is not even asked by a call that was aborted before", async () => {
    const { store, limiter } = brokenLimiter("open", "hangs");
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(limiter.consume("k", { signal })).rejects.toThrow("enough");
    await expect(limiter.peek("k", { signal })).rejects.toThrow("enough");
    await expect(limiter.consumeUpTo("k", { cost: 1, signal })).rejects.toThrow("enough");
    await expect(limiter.consumeMany([{ key: "k" }], { signal })).rejects.toThrow("enough");
    await expect(consumeAtomic([{ limiter, key: "k" }], { signal })).rejects.toThrow("enough");
    expect(store.calls).toEqual([]);
  });
});

test("a call on a store inside the process can be aborted before, too", async () => {
  const limiter = new RateLimiter({ policy });
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(limiter.consume("k", { signal })).rejects.toThrow("enough");
  await expect(limiter.consumeMany([{ key: "k" }], { signal })).rejects.toThrow("enough");
  expect(limiter.consumeSync("k").remaining).toBe(9);
});

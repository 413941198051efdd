/** An outage from its first failure until the store answers again, and goes on to: who is asked, and who is told. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import {
  consumeAtomic,
  CrossSlotError,
  type ErrorEvent,
  InvalidOptionError,
  RateLimiter,
  type RateLimiterOptions,
  type RecoveryEvent,
  StoreTimeoutError,
  StoreUnavailableError,
  tokenBucket,
} from "../index.js";

const policy = tokenBucket({ limit: 1000, period: "1h" });
const lost = new Error("connection lost");
/** The breaker's `probeEvery`. */
const QUIET_MS = 1000;
const NOBODY = { busy: 0, local: 0, failOpen: 0, failClosed: 0, fallback: 0, thrown: 0 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(async () => {
  // The one timer of a limiter runs to its end, unheld, and no other is left.
  await vi.advanceTimersByTimeAsync(60_000);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Lets promises settle; no time passes. */
const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

function start(options: Partial<RateLimiterOptions<HeldStore>> = {}, store = new HeldStore()) {
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
  const hooks = { onError, onRecovery };
  const own = { policy, identity: "plain", onStoreFailure: "open", hooks } as const;
  const limiter = new RateLimiter({ ...own, ...options, store });
  /** A call that the store settles so at once; answers how the limiter did. */
  const ask = async (outcome?: Error, key = "k"): Promise<string> => {
    const answer = limiter.consume(key);
    store.settleAll(outcome);
    return (await answer).source;
  };
  /** Enough failures to open the breaker. */
  const breakIt = async (key = "k"): Promise<void> => {
    for (let i = 0; i < 5; i++) await ask(lost, key);
  };
  /** The store answers, and still does after the span that ends an outage. */
  const recover = async (key = "k"): Promise<void> => {
    expect(await ask(undefined, key)).toBe("store");
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect(await ask(undefined, key)).toBe("store");
  };
  return { store, limiter, onError, onRecovery, ask, breakIt, recover };
}

describe("an open breaker", () => {
  test("answers without asking the store, and says so", async () => {
    const { store, limiter, breakIt } = start({ onStoreFailure: "throw" });
    await Promise.allSettled([0, 1, 2, 3, 4].map(() => breakIt()));
    expect(store.held).toEqual([]);
    const error = await limiter.consume("k").catch((thrown: unknown) => thrown);
    expect(store.held).toEqual([]);
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(error).toMatchObject({
      message:
        "the breaker is open: after 5 failures in a row the store gets at most one call every 1000 ms",
      cause: { message: "the store failed: connection lost", cause: lost },
    });
  });

  test("names the last failure, not the first", async () => {
    const { limiter, ask } = start({
      onStoreFailure: "throw",
      breaker: { failures: 1, probeEvery: 10 },
    });
    const refusal = async (): Promise<unknown> => {
      const error: unknown = await limiter.consume("k").catch((thrown: unknown) => thrown);
      return (error as { cause: { cause: unknown } }).cause.cause;
    };
    await ask(lost).catch(() => {});
    expect(await refusal()).toBe(lost);
    await vi.advanceTimersByTimeAsync(10);
    const other = new Error("LOADING");
    await ask(other).catch(() => {});
    expect(await refusal()).toBe(other);
  });

  test("lets one call ask after 50 ms, and closes when that is answered", async () => {
    const { store, limiter, ask, breakIt } = start({ onStoreFailure: "closed" });
    await breakIt();
    await vi.advanceTimersByTimeAsync(49);
    expect(await ask()).toBe("fail-closed");
    await vi.advanceTimersByTimeAsync(1);
    const probe = limiter.consume("k");
    const refused = limiter.consume("k");
    expect(store.held).toHaveLength(1);
    expect((await refused).source).toBe("fail-closed");
    store.settleAll();
    expect((await probe).source).toBe("store");
    expect(await ask()).toBe("store");
  });

  test("asks less and less often while its probes fail, down to one call in `probeEvery`", async () => {
    const { store, limiter, breakIt } = start({ breaker: { probeEvery: 300 } });
    await breakIt();
    const beganMs = performance.now();
    const probesMs: number[] = [];
    for (let i = 0; i < 1000; i++) {
      void limiter.consume("k");
      if (store.held.length > 0) probesMs.push(performance.now() - beganMs);
      store.settleAll(lost);
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(probesMs).toEqual([50, 150, 350, 650, 950]);
  });

  test("goes on when the probe is not answered in time", async () => {
    const { store, limiter, ask, breakIt } = start();
    await breakIt();
    await vi.advanceTimersByTimeAsync(1000);
    const probe = limiter.consume("k");
    store.held.length = 0;
    await vi.advanceTimersByTimeAsync(249);
    expect(await ask()).toBe("fail-open");
    await vi.advanceTimersByTimeAsync(1);
    expect((await probe).source).toBe("fail-open");
    expect(await ask()).toBe("store");
  });

  test("closes by any decision, however late", async () => {
    const { store, limiter, ask } = start();
    const late = Array.from({ length: 5 }, () => limiter.consume("k"));
    await vi.advanceTimersByTimeAsync(250);
    await Promise.all(late);
    expect(await ask()).toBe("fail-open");
    store.settleAll();
    expect(await ask()).toBe("store");
  });

  test("gives each call an error of its own", async () => {
    const { limiter, breakIt } = start({ onStoreFailure: "throw" });
    await Promise.allSettled([0, 1, 2, 3, 4].map(() => breakIt()));
    const errors = await Promise.all(
      [0, 1].map(() => limiter.consume("k").catch((thrown: unknown) => thrown)),
    );
    expect(errors[0]).toBeInstanceOf(StoreUnavailableError);
    expect(errors[1]).toEqual(errors[0]);
    expect(errors[1]).not.toBe(errors[0]);
  });

  test.each(["answers", "fails", "hangs"])(
    "learns from a probe whose caller has gone: it %s",
    async (how) => {
      const { store, limiter, ask, breakIt } = start();
      await breakIt();
      await vi.advanceTimersByTimeAsync(50);
      const controller = new AbortController();
      const probe = limiter.consume("k", { signal: controller.signal }).catch(() => "given up");
      controller.abort();
      expect(await probe).toBe("given up");
      expect(store.held[0]?.call.abandoned).toBeUndefined();
      if (how === "hangs") {
        store.held.length = 0;
        await vi.advanceTimersByTimeAsync(249);
        expect(await ask()).toBe("fail-open");
        await vi.advanceTimersByTimeAsync(1);
      } else store.settleAll(how === "fails" ? lost : undefined);
      if (how === "fails") {
        expect(await ask()).toBe("fail-open");
        await vi.advanceTimersByTimeAsync(100);
      }
      expect(await ask()).toBe("store");
    },
  );

  test("refuses at once the verbs that throw, and every other", async () => {
    const { store, limiter, breakIt } = start({ onStoreFailure: "closed" });
    await breakIt();
    for (const refused of [limiter.block("k", "1s"), limiter.unblock("k"), limiter.reset("k")]) {
      await expect(refused).rejects.toThrow("the breaker is open");
    }
    const decisions = [
      await limiter.consumeUpTo("k", { cost: 2 }),
      ...(await limiter.consumeMany([{ key: "k" }, { key: "l" }])),
      await limiter.peek("k"),
      await limiter.refund("k", 1),
      await limiter.penalize("k", 1),
      ...(await consumeAtomic([{ limiter, key: "k" }])).decisions,
    ];
    expect(decisions.map(({ source }) => source)).toEqual(Array(7).fill("fail-closed"));
    expect(store.held).toEqual([]);
  });

  test("is not there when turned off", async () => {
    const { store, limiter, ask } = start({ breaker: false });
    for (let i = 0; i < 100; i++) await ask(lost);
    const answer = limiter.consume("k");
    expect(store.held).toHaveLength(1);
    store.settleAll();
    expect((await answer).source).toBe("store");
  });
});

describe("what is no failure of the store", () => {
  test("is the fault of one key: its calls fail and are told, and no others", async () => {
    const { ask, onError, onRecovery } = start({ onStoreFailure: "closed" });
    const poisoned = new StoreUnavailableError("of another type", { ofKey: true });
    for (let i = 0; i < 20; i++) expect(await ask(poisoned, "poisoned")).toBe("fail-closed");
    expect(await ask()).toBe("store");
    expect(onError).toHaveBeenCalledTimes(20);
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ key: "poisoned", error: poisoned });
    expect(onRecovery).not.toHaveBeenCalled();
  });

  test("is misuse", async () => {
    const { ask, onError } = start();
    const misuse = new InvalidOptionError("cost", 1, "less");
    for (let i = 0; i < 20; i++) {
      await expect(ask(misuse)).rejects.toBe(misuse);
      await expect(ask(new CrossSlotError())).rejects.toThrow(CrossSlotError);
    }
    expect(await ask()).toBe("store");
    expect(onError).not.toHaveBeenCalled();
  });

  test("is that a caller gives up", async () => {
    const { store, limiter, ask, onError } = start();
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      const call = limiter.consume("k", { signal: controller.signal });
      controller.abort(new Error("enough"));
      await expect(call).rejects.toThrow("enough");
    }
    store.held.length = 0;
    expect(await ask()).toBe("store");
    expect(onError).not.toHaveBeenCalled();
  });
});

describe.each([undefined, false] as const)("an outage, with breaker: %s,", (breaker) => {
  const options = breaker === undefined ? {} : { breaker };

  test("is told when it begins, by its first failure, and when it is over", async () => {
    const { ask, recover, onError, onRecovery } = start(options);
    await vi.advanceTimersByTimeAsync(5000);
    for (let i = 0; i < 20; i++) {
      await ask(lost, `k${i}`);
      await vi.advanceTimersByTimeAsync(200);
    }
    expect(onError).toHaveBeenCalledOnce();
    const [{ error, key, decision }] = onError.mock.calls[0] as [ErrorEvent];
    expect({ key, error }).toMatchObject({ key: "k0", error: { cause: lost } });
    expect(decision).toMatchObject({ source: "fail-open" });
    expect(onRecovery).not.toHaveBeenCalled();
    let calls = 20;
    while ((await ask()) === "fail-open") {
      calls += 1;
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(onRecovery).not.toHaveBeenCalled();
    await recover();
    expect(onRecovery).toHaveBeenCalledExactlyOnceWith({
      error,
      outageMs: 4000 + (calls - 20) * 100,
      unanswered: { ...NOBODY, total: calls, failOpen: calls },
    });
    expect(await ask(lost)).toBe("fail-open");
    expect(onError).toHaveBeenCalledTimes(2);
  });

  test("is not over by the answer to a call that began before it", async () => {
    const { store, limiter, ask, recover, onError, onRecovery } = start({
      ...options,
      timeout: "1m",
    });
    const early = limiter.consume("k");
    const failing = limiter.consume("k");
    const [first, second] = store.held.splice(0);
    second?.settle(lost);
    first?.settle();
    expect([(await early).source, (await failing).source]).toEqual(["store", "fail-open"]);
    expect(onRecovery).not.toHaveBeenCalled();
    expect(await ask(lost)).toBe("fail-open");
    expect(onError).toHaveBeenCalledOnce();
    await recover();
    expect(onRecovery.mock.calls[0]?.[0].unanswered.total).toBe(2);
  });

  test("counts what each call got, the verbs that throw as thrown", async () => {
    const { store, limiter, recover, onError, onRecovery } = start({
      ...options,
      onStoreFailure: "closed",
    });
    const failed = Promise.allSettled([
      limiter.consumeMany([{ key: "a" }, { key: "b" }]),
      limiter.block("k", "1s"),
    ]);
    store.settleAll(lost);
    await failed;
    await vi.advanceTimersByTimeAsync(1000);
    await recover();
    expect(onError).toHaveBeenCalledOnce();
    const unanswered = { ...NOBODY, total: 3, failClosed: 2, thrown: 1 };
    expect(onRecovery.mock.calls[0]?.[0].unanswered).toEqual(unanswered);
  });
});

describe.each([undefined, false] as const)(
  "while some calls succeed, with breaker: %s,",
  (breaker) => {
    const options = breaker === undefined ? {} : { breaker };

    test("one outage goes on: denials, which a server that refuses writes still answers", async () => {
      const { ask, recover, onError, onRecovery } = start(options);
      const full = new Error("OOM command not allowed when used memory > 'maxmemory'.");
      let unanswered = 0;
      for (let i = 0; i < 400; i++) {
        const isAllowed = i % 10 === 0;
        expect(await ask(isAllowed ? full : undefined)).toBe(isAllowed ? "fail-open" : "store");
        if (isAllowed) unanswered += 1;
        await vi.advanceTimersByTimeAsync(10);
      }
      expect(onError).toHaveBeenCalledOnce();
      expect(onRecovery).not.toHaveBeenCalled();
      await recover();
      expect(onRecovery).toHaveBeenCalledExactlyOnceWith({
        error: onError.mock.calls[0]?.[0].error,
        // To the denial after the last failure.
        outageMs: 3910,
        unanswered: { ...NOBODY, total: unanswered, failOpen: unanswered },
      });
    });

    test("one outage goes on: every third trip comes after its deadline", async () => {
      const { store, limiter, recover, onError, onRecovery } = start(options);
      for (let i = 0; i < 30; i++) {
        const trip = limiter.consume("k");
        if (i % 3 === 0) await vi.advanceTimersByTimeAsync(250);
        store.settleAll();
        expect((await trip).source).toBe(i % 3 === 0 ? "fail-open" : "store");
        await vi.advanceTimersByTimeAsync(50);
      }
      expect(onError).toHaveBeenCalledOnce();
      expect(onRecovery).not.toHaveBeenCalled();
      await recover();
      expect(onRecovery.mock.calls[0]?.[0].unanswered.total).toBe(10);
    });

    test("an outage is over when none has failed for the span since the first answer", async () => {
      const { ask, onError, onRecovery } = start(options);
      await ask(lost);
      await vi.advanceTimersByTimeAsync(700);
      expect(await ask()).toBe("store");
      await vi.advanceTimersByTimeAsync(QUIET_MS - 1);
      expect(await ask()).toBe("store");
      expect(onRecovery).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(await ask()).toBe("store");
      const unanswered = { ...NOBODY, total: 1, failOpen: 1 };
      const [{ error }] = onError.mock.calls[0] as [ErrorEvent];
      expect(onRecovery).toHaveBeenCalledExactlyOnceWith({ error, outageMs: 700, unanswered });
    });

    test("a failure within the span belongs to the same outage, which is longer by it", async () => {
      const { ask, recover, onError, onRecovery } = start(options);
      await ask(lost);
      for (let i = 0; i < 2; i++) {
        expect(await ask()).toBe("store");
        await vi.advanceTimersByTimeAsync(QUIET_MS - 1);
        await ask(lost);
      }
      await vi.advanceTimersByTimeAsync(5);
      await recover();
      expect(onError).toHaveBeenCalledOnce();
      expect(onRecovery.mock.calls[0]?.[0]).toMatchObject({
        outageMs: 2 * (QUIET_MS - 1) + 5,
        unanswered: { total: 3 },
      });
    });

    test("a failure after the span begins another, and is told after the end of the one before", async () => {
      const told: string[] = [];
      const { ask } = start({
        ...options,
        hooks: {
          onError: ({ key }) => told.push(`${key} fails`),
          onRecovery: ({ outageMs, unanswered }) =>
            told.push(`back after ${outageMs} ms, ${unanswered.total} unanswered`),
        },
      });
      await ask(lost, "first");
      await vi.advanceTimersByTimeAsync(30);
      await ask();
      // No call for so long that the next failure is reported again.
      await vi.advanceTimersByTimeAsync(QUIET_MS);
      await ask(lost, "second");
      expect(told).toEqual(["first fails", "back after 30 ms, 1 unanswered", "second fails"]);
    });
  },
);

describe("while the breaker opens and closes", () => {
  test("one outage goes on: every probe is answered, and what follows is not", async () => {
    const { ask, breakIt, recover, onError, onRecovery } = start();
    for (let i = 0; i < 10; i++) {
      await breakIt();
      await vi.advanceTimersByTimeAsync(1000);
      expect(await ask()).toBe("store");
    }
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery).not.toHaveBeenCalled();
    await recover();
    expect(onRecovery.mock.calls[0]?.[0]).toMatchObject({
      outageMs: 10_000,
      unanswered: { total: 50 },
    });
  });

  test("decisions come from the store at once when it closes: only the notice waits", async () => {
    const fallback = new RateLimiter({ policy });
    const { ask, breakIt, onRecovery } = start({ onStoreFailure: { fallback } });
    await breakIt();
    expect(await ask()).toBe("fallback");
    await vi.advanceTimersByTimeAsync(1000);
    for (let i = 0; i < 10; i++) {
      expect(await ask()).toBe("store");
      expect(onRecovery).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(QUIET_MS / 10);
    }
    expect(await ask()).toBe("store");
    expect(onRecovery).toHaveBeenCalledOnce();
  });

  test("the span is `probeEvery`", async () => {
    const { ask, breakIt, onRecovery } = start({ breaker: { probeEvery: 40 } });
    await breakIt();
    await vi.advanceTimersByTimeAsync(40);
    await ask();
    await vi.advanceTimersByTimeAsync(39);
    await ask();
    expect(onRecovery).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await ask();
    expect(onRecovery).toHaveBeenCalledOnce();
  });
});

describe("the notices", () => {
  test("come in order even if a fallback takes longer than the outage", async () => {
    const slow = new HeldStore();
    const fallback = new RateLimiter({ policy, store: slow, namespace: "fallback", timeout: "1m" });
    const { store, limiter, recover, onError, onRecovery } = start({
      onStoreFailure: { fallback },
    });
    const failing = limiter.consume("first");
    store.settleAll(lost);
    await settled();
    await recover();
    expect([onError.mock.calls.length, onRecovery.mock.calls.length]).toEqual([0, 0]);
    slow.settleAll();
    const decision = await failing;
    expect(decision.source).toBe("fallback");
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ key: "first", decision });
    expect(onRecovery.mock.calls[0]?.[0]).toMatchObject({
      unanswered: { ...NOBODY, total: 1, fallback: 1 },
    });
    expect(onError.mock.invocationCallOrder[0]).toBeLessThan(
      onRecovery.mock.invocationCallOrder[0] as number,
    );
  });

  test("are reported by the call that failed first, even if its fallback is the last to answer", async () => {
    const slow = new HeldStore();
    const fallback = new RateLimiter({ policy, store: slow, namespace: "fallback", timeout: "1m" });
    const { store, limiter, onError } = start({ onStoreFailure: { fallback } });
    const first = limiter.consume("first");
    const second = limiter.consume("second");
    store.settleAll(lost);
    await settled();
    const [behind] = slow.held.splice(0, 1);
    slow.settleAll();
    await second;
    behind?.settle();
    await first;
    expect(onError.mock.calls.map(([{ key }]) => key)).toEqual(["first"]);
  });

  test("come even if the fallback rejects", async () => {
    const slow = new HeldStore();
    const fallback = new RateLimiter({ policy, store: slow, onStoreFailure: "throw" });
    const { store, limiter, recover, onError, onRecovery } = start({
      onStoreFailure: { fallback },
    });
    const failing = limiter.consume("k");
    store.settleAll(lost);
    await settled();
    slow.settleAll(new Error("the other one, too"));
    await expect(failing).rejects.toThrow("the other one, too");
    expect(onError).toHaveBeenCalledExactlyOnceWith({
      error: expect.objectContaining({ cause: lost }) as unknown,
      key: "k",
      cost: 1,
    });
    await recover();
    expect(onRecovery).toHaveBeenCalledOnce();
  });

  test("come once when a call of a list failed and the others were given up", async () => {
    const { store, limiter, ask, recover, onError, onRecovery } = start();
    const controller = new AbortController();
    const { signal } = controller;
    const list = limiter.consumeMany([{ key: "a" }, { key: "b" }], { signal });
    store.held.shift()?.settle(lost);
    controller.abort(new Error("enough"));
    await expect(list).rejects.toThrow("enough");
    store.held.length = 0;
    await ask(lost, "next");
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ key: "a" });
    await recover();
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery).toHaveBeenCalledOnce();
  });

  test("reach onError when onRecovery throws or rejects, as of the call that began the outage", async () => {
    const boom = new Error("boom");
    for (const onRecovery of [
      (): never => {
        throw boom;
      },
      (): Promise<never> => Promise.reject(boom),
    ]) {
      const onError = vi.fn<(event: ErrorEvent) => void>();
      const { ask, recover } = start({ hooks: { onError, onRecovery } });
      await ask(lost, "first");
      await recover();
      await settled();
      expect(onError).toHaveBeenCalledTimes(2);
      const [begun, thrown] = onError.mock.calls.map(([event]) => event);
      expect(thrown).toEqual({ ...begun, error: boom });
    }
  });

  test("may themselves call the limiter", async () => {
    const sources: string[] = [];
    const { store, ask, recover } = start({
      hooks: {
        onRecovery: () => {
          void limiter.consume("k").then(({ source }) => sources.push(source));
        },
      },
    });
    const limiter = new RateLimiter({ policy, store, identity: "plain" });
    await ask(lost);
    await recover();
    store.settleAll();
    await settled();
    expect(sources).toEqual(["store"]);
  });
});

test("an outage that begins in the notice of the one before is reported once", async () => {
  const { store, limiter, onError, onRecovery, ask, recover } = start();
  onRecovery.mockImplementationOnce(() => void limiter.consume("inner"));
  await ask(lost, "first");
  await ask();
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  // A store that fails within the call, as one may that has lost its client.
  store.submit = (_, done) => {
    done(lost);
  };
  await limiter.consume("outer");
  Reflect.deleteProperty(store, "submit");
  await recover();
  expect(onError).toHaveBeenCalledTimes(2);
  expect(onRecovery.mock.calls.map(([{ unanswered }]) => unanswered.total)).toEqual([1, 2]);
});

describe("several limiters in one call", () => {
  test("each have their own outage, with their own counts", async () => {
    const store = new HeldStore();
    const open = start({ namespace: "open" }, store);
    const closed = start({ namespace: "closed", onStoreFailure: "closed" }, store);
    const shadow = start({ namespace: "shadow", enforce: false, breaker: false }, store);
    const spend = async (outcome?: Error): Promise<string[]> => {
      const answer = consumeAtomic([
        { limiter: open.limiter, key: "k" },
        { limiter: closed.limiter, key: "k" },
        { limiter: closed.limiter, key: "l" },
        { limiter: shadow.limiter, key: "k" },
      ]);
      store.settleAll(outcome);
      return (await answer).decisions.map(({ source }) => source);
    };
    const unstored = ["fail-open", "fail-closed", "fail-closed", "fail-open"];
    for (let i = 0; i < 9; i++) expect(await spend(lost)).toEqual(unstored);
    for (let i = 0; i < 2; i++) {
      await vi.advanceTimersByTimeAsync(QUIET_MS);
      expect(await spend()).toEqual(Array(4).fill("store"));
    }
    const counts = [open, closed, shadow].map(({ onError, onRecovery }) => {
      expect(onError).toHaveBeenCalledOnce();
      expect(onRecovery).toHaveBeenCalledOnce();
      return onRecovery.mock.calls[0]?.[0].unanswered;
    });
    expect(counts).toEqual([
      { ...NOBODY, total: 9, failOpen: 9 },
      { ...NOBODY, total: 18, failClosed: 18 },
      { ...NOBODY, total: 9, failOpen: 9 },
    ]);
  });

  test("hear from the first one's breaker, and recover with it", async () => {
    const store = new HeldStore();
    const first = start({ namespace: "first" }, store);
    const second = start({ namespace: "second" }, store);
    await first.breakIt();
    const requests = [first, second].map(({ limiter }) => ({ limiter, key: "k" }));
    await consumeAtomic(requests);
    expect(store.held).toEqual([]);
    expect(second.onError.mock.calls[0]?.[0].error).toMatchObject({
      message: expect.stringContaining("the breaker is open") as unknown,
    });
    for (let i = 0; i < 2; i++) {
      await vi.advanceTimersByTimeAsync(QUIET_MS);
      const spent = consumeAtomic(requests);
      store.settleAll();
      await spent;
    }
    expect(first.onRecovery).toHaveBeenCalledOnce();
    expect(second.onRecovery.mock.calls[0]?.[0].unanswered.total).toBe(1);
  });

  test("share what speaks against the store and for it, each by its own breaker's settings", async () => {
    const store = new HeldStore();
    const options = { breaker: { failures: 5, probeEvery: "1m" } } as const;
    const first = start({ ...options, namespace: "first" }, store);
    const second = start({ namespace: "second" }, store);
    await first.breakIt();
    expect(await second.ask()).toBe("fail-open");
    // The intervals of the first grow beyond a second.
    for (const ms of [50, 100, 200, 400, 800]) {
      await vi.advanceTimersByTimeAsync(ms);
      await first.ask(lost);
    }
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect(await first.ask()).toBe("fail-open");
    // The probe of one is news for both.
    expect(await second.ask()).toBe("store");
    expect(await first.ask()).toBe("store");
    expect(first.onRecovery).not.toHaveBeenCalled();
    await second.recover();
    expect(second.onRecovery.mock.calls[0]?.[0].unanswered.total).toBe(1);
  });
});

test("silence says nothing to a limiter that waits longer, and an error speaks to all", async () => {
  const store = new HeldStore();
  const hasty = start({ namespace: "hasty", timeout: 5 }, store);
  const patient = start({ namespace: "patient", timeout: 250 }, store);
  for (let i = 0; i < 5; i++) {
    const late = hasty.limiter.consume("k");
    await vi.advanceTimersByTimeAsync(10);
    expect((await late).source).toBe("fail-open");
  }
  store.held.length = 0;
  expect(await hasty.ask()).toBe("fail-open");
  expect(store.held).toEqual([]);
  // By an answer, since the breaker's refusal would be the same decision.
  for (let i = 0; i < 5; i++) {
    const failing = patient.limiter.consume("k");
    expect(store.held).toHaveLength(1);
    store.settleAll(lost);
    expect((await failing).source).toBe("fail-open");
  }
  expect(await patient.ask()).toBe("fail-open");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(await patient.ask()).toBe("store");
  expect(await hasty.ask()).toBe("store");
});

test("the outage of a patient limiter ends, though a hasty one still gets no answer in time", async () => {
  const store = new HeldStore();
  const hasty = start({ namespace: "hasty", timeout: 5 }, store);
  const patient = start({ namespace: "patient", timeout: 250 }, store);
  /** The store takes 20 ms. */
  const both = async (): Promise<string[]> => {
    const answers = [patient.limiter.consume("k"), hasty.limiter.consume("k")];
    await vi.advanceTimersByTimeAsync(20);
    store.settleAll();
    return (await Promise.all(answers)).map(({ source }) => source);
  };
  await patient.ask(lost);
  for (let i = 0; i < 100; i++) expect(await both()).toEqual(["store", "fail-open"]);
  expect(patient.onError).toHaveBeenCalledTimes(1);
  expect(patient.onRecovery).toHaveBeenCalledTimes(1);
  expect(hasty.onError).toHaveBeenCalledTimes(1);
  expect(hasty.onRecovery).not.toHaveBeenCalled();
});

test("an error that a patient limiter got counts for a hasty one that did not ask yet", async () => {
  const store = new HeldStore();
  const patient = start({ namespace: "patient", timeout: 250 }, store);
  await patient.breakIt();
  const hasty = start({ namespace: "hasty", timeout: 5 }, store);
  const refused = hasty.limiter.consume("k");
  expect(store.held).toEqual([]);
  expect((await refused).source).toBe("fail-open");
  expect(hasty.onError.mock.calls[0]?.[0].error).toMatchObject({ cause: { cause: lost } });
});

test("silence for a patient limiter is silence for a hasty one", async () => {
  const store = new HeldStore();
  const hasty = start({ namespace: "hasty", timeout: 5 }, store);
  const patient = start({ namespace: "patient", timeout: 250 }, store);
  // From now on what both know is kept.
  await hasty.ask(lost);
  for (let i = 0; i < 4; i++) {
    const late = patient.limiter.consume("k");
    await vi.advanceTimersByTimeAsync(250);
    await late;
  }
  store.held.length = 0;
  expect((await hasty.limiter.consume("k")).source).toBe("fail-open");
  expect(store.held).toEqual([]);
});

describe("a probe of a breaker that a joint call closed first", () => {
  /** The second limiter is down again, and the first probe still under way. */
  async function startLate() {
    const store = new HeldStore();
    const options = { timeout: "1m", breaker: { failures: 1 } } as const;
    const first = start({ ...options, breaker: false, namespace: "first" }, store);
    const second = start({ ...options, namespace: "second" }, store);
    await second.ask(lost);
    await vi.advanceTimersByTimeAsync(1000);
    const answer = second.limiter.consume("k");
    const probe = store.held.shift();
    const spent = consumeAtomic([first, second].map(({ limiter }) => ({ limiter, key: "k" })));
    store.settleAll();
    await spent;
    await second.ask(lost);
    const settle = async (outcome?: Error): Promise<void> => {
      probe?.settle(outcome);
      await answer;
    };
    return { ...second, settle };
  }

  test("closes it when it has opened again, for a decision is one", async () => {
    const { ask, settle } = await startLate();
    await settle();
    expect(await ask()).toBe("store");
  });

  test("is not taken for the next probe", async () => {
    const { store, limiter, ask, settle } = await startLate();
    await vi.advanceTimersByTimeAsync(1000);
    const probe = limiter.consume("k");
    const held = store.held.shift();
    await settle(lost);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await ask()).toBe("fail-open");
    held?.settle();
    expect((await probe).source).toBe("store");
  });
});

describe("a store of several parts", () => {
  /** Parts by the first letter of the key, unless moved. */
  function startParts(options: Partial<RateLimiterOptions<HeldStore>> = {}) {
    const moved = new Map<string, string>();
    const partOf = (id: string): string => moved.get(id[0] ?? "") ?? (id[0] as string);
    return { moved, ...start(options, new HeldStore(partOf)) };
  }

  test("has a breaker and an outage for each, and names them", async () => {
    const { ask, breakIt, recover, onError, onRecovery } = startParts();
    await breakIt("a1");
    expect(await ask(undefined, "a2")).toBe("fail-open");
    expect(await ask(undefined, "b1")).toBe("store");
    expect(await ask(lost, "b1")).toBe("fail-open");
    expect(onError.mock.calls.map(([{ part }]) => part)).toEqual(["a", "b"]);
    await recover("b2");
    await recover("a3");
    expect(onRecovery.mock.calls.map(([{ part, unanswered }]) => [part, unanswered.total])).toEqual(
      [
        ["b", 1],
        ["a", 6],
      ],
    );
  });

  test("says which part's breaker is open", async () => {
    const { limiter, breakIt } = startParts({ onStoreFailure: "throw" });
    await Promise.allSettled([0, 1, 2, 3, 4].map(() => breakIt("a")));
    await expect(limiter.consume("a")).rejects.toThrow("the breaker of a is open");
  });

  test("ends the outage of a part that never comes back when another answers in its place", async () => {
    const { moved, breakIt, recover, onError, onRecovery } = startParts();
    await breakIt("a1");
    await recover("b1");
    expect(onRecovery).not.toHaveBeenCalled();
    moved.set("a", "c");
    // Another part's answer says nothing of the one that took over.
    await recover("b1");
    expect(onRecovery).not.toHaveBeenCalled();
    await recover("a1");
    expect(onRecovery.mock.calls.map(([{ part }]) => part)).toEqual(["a"]);
    expect(onError).toHaveBeenCalledOnce();
  });

  test("has one outage where a probe of it fails long after another answered in its place", async () => {
    const { moved, store, limiter, breakIt, recover, onError, onRecovery } = startParts({
      timeout: "5s",
    });
    await breakIt("a1");
    await vi.advanceTimersByTimeAsync(50);
    const probe = limiter.consume("a1");
    const [held] = store.held.splice(0);
    await vi.advanceTimersByTimeAsync(1);
    moved.set("a", "c");
    await recover("a1");
    expect(onRecovery).not.toHaveBeenCalled();
    held?.settle(lost);
    await probe;
    await recover("a1");
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls.map(([{ unanswered }]) => unanswered.total)).toEqual([6]);
  });

  test("asks a part that is back at once if another has answered in its place", async () => {
    const { moved, ask, breakIt, onRecovery } = startParts();
    await breakIt("a1");
    moved.set("a", "c");
    expect(await ask(undefined, "a1")).toBe("store");
    moved.delete("a");
    expect(await ask(undefined, "a1")).toBe("store");
    expect(onRecovery).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect(await ask(undefined, "a1")).toBe("store");
    expect(onRecovery).toHaveBeenCalledOnce();
  });
});

describe("an outage is not over while a call from before is under way", () => {
  /** A call that waits in the first failure's shadow, of the limiter or of another one of the store. */
  async function startShadow(whose: "own" | "another's") {
    const started = start({ timeout: "5s" });
    const { store, limiter, ask, recover, onRecovery } = started;
    const other = start({ timeout: "5s", namespace: "other" }, store);
    const shadow = (whose === "own" ? limiter : other.limiter).consume("k");
    const [held] = store.held.splice(0);
    await ask(lost);
    await vi.advanceTimersByTimeAsync(1);
    await recover();
    expect(onRecovery).not.toHaveBeenCalled();
    return { ...started, other, shadow, held };
  }

  test.each(["own", "another's"] as const)("%s, which fails: then it goes on", async (whose) => {
    const { other, shadow, held, recover, onError, onRecovery } = await startShadow(whose);
    held?.settle(lost);
    await shadow;
    await recover();
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls[0]?.[0].outageMs).toBe(1 + QUIET_MS);
    expect(other.onError).toHaveBeenCalledTimes(whose === "own" ? 0 : 1);
    expect(other.onRecovery).toHaveBeenCalledTimes(whose === "own" ? 0 : 1);
  });

  test.each(["own", "another's"] as const)("%s, which is answered: that ends it", async (whose) => {
    const { shadow, held, ask, onRecovery } = await startShadow(whose);
    held?.settle();
    await shadow;
    await ask();
    expect(onRecovery.mock.calls.map(([{ outageMs }]) => outageMs)).toEqual([1]);
  });

  test("nor one that its deadline ends", async () => {
    const { shadow, recover, onError, onRecovery } = await startShadow("own");
    await vi.advanceTimersByTimeAsync(5000);
    await shadow;
    await recover();
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls.map(([{ unanswered }]) => unanswered.total)).toEqual([2]);
  });
});

test("10,000 calls over an outage are each answered once, and the counts add up", async () => {
  const { store, limiter, onError, onRecovery } = start();
  const sources = new Map<string, number>();
  let answers = 0;
  let isDown = false;
  for (let i = 0; i < 10_000; i++) {
    if (i === 2000) isDown = true;
    if (i === 7000) isDown = false;
    void limiter.consume(`k${i % 100}`, { cost: 0 }).then(({ source }) => {
      answers += 1;
      sources.set(source, (sources.get(source) ?? 0) + 1);
    });
    // A server that hangs swallows its calls; one that is well answers within the ms.
    if (isDown) store.held.length = 0;
    await vi.advanceTimersByTimeAsync(1);
    store.settleAll();
  }
  await vi.advanceTimersByTimeAsync(250);
  const failOpen = sources.get("fail-open") ?? 0;
  expect(answers).toBe(10_000);
  expect((sources.get("store") ?? 0) + failOpen).toBe(10_000);
  expect(failOpen).toBeGreaterThan(5000);
  expect(failOpen).toBeLessThanOrEqual(6000);
  expect(onError).toHaveBeenCalledOnce();
  expect(onError.mock.calls[0]?.[0].error).toBeInstanceOf(StoreTimeoutError);
  expect(onRecovery).toHaveBeenCalledOnce();
  expect(onRecovery.mock.calls[0]?.[0].unanswered).toEqual({
    ...NOBODY,
    total: failOpen,
    failOpen,
  });
});

import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type ModelTime, stopTime } from "../../../test/support/model-time.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { VERBS } from "../../algorithms/decide.js";
import {
  type Decision,
  type ErrorEvent,
  fixedWindow,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  type StoreCall,
  tokenBucket,
} from "../../index.js";
import type { Done } from "../../stores/store.js";

const policy = tokenBucket({ limit: 100, period: "100h" });
const prefetch = { size: 10, ttl: "10s" };

interface Setup extends ModelTime {
  readonly store: OutsideStore;
  readonly limiter: RateLimiter;
  /** What the store was asked since the last look: verb and thousandths, such as "consumeUpTo 10000". */
  readonly asked: () => string[];
  /** What the store has left. */
  readonly room: () => Promise<number>;
}

function setUp(options: Partial<Omit<RateLimiterOptions, "store">> = {}): Setup {
  const time = stopTime();
  const store = new OutsideStore(time.clock);
  const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", prefetch, ...options });
  onTestFinished(() => limiter.close());
  let seen = 0;
  return {
    ...time,
    store,
    limiter,
    asked: () => {
      const calls = store.calls.slice(seen);
      seen = store.calls.length;
      return calls.map(described);
    },
    room: async () => {
      const beside = new RateLimiter({ policy: options.policy ?? policy, store, denyCache: false });
      const { remaining } = await beside.peek("k");
      seen = store.calls.length;
      return remaining;
    },
  };
}

function described({ verb, debits }: StoreCall): string {
  const name = Object.entries(VERBS).find(([, number]) => number === verb)?.[0];
  return `${name} ${debits[0]?.cost}`;
}

interface Held {
  readonly what: string;
  readonly call: StoreCall;
  /** Of the store as it is then, or the error given. */
  readonly answer: (outcome?: Error) => void;
}

/** From now on debits wait until the test answers them, or fails those whose callers gave up. */
function holdDebits(store: OutsideStore): Held[] {
  const held: Held[] = [];
  const submit = store.submit.bind(store);
  store.submit = (call, done) => {
    if (call.verb !== VERBS.consumeUpTo) {
      submit(call, done);
      return;
    }
    const answer = (outcome?: Error): void => {
      if (outcome === undefined) submit(call, done);
      else done(outcome);
    };
    held.push({ what: described(call), call, answer });
  };
  return held;
}

/** Lets all promises that can be settled settle. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

const sourcesOf = (decisions: readonly Decision[]): string[] =>
  decisions.map(({ source }) => source);

describe("prefetched units", () => {
  test("are spent without asking the store, and asked for when they are gone", async () => {
    const { limiter, asked } = setUp();
    for (let i = 0; i < 25; i++) {
      expect(await limiter.consume("k")).toMatchObject({
        allowed: true,
        source: "prefetch",
        remaining: 99 - i,
      });
    }
    expect(asked()).toEqual(times(3, () => "consumeUpTo 10000"));
  });

  test("show in decisions beside what the store had left, counted down", async () => {
    const policies = [
      fixedWindow({ name: "a", limit: 50, window: "1m", align: "first" }),
      fixedWindow({ name: "b", limit: 40, window: "1h", align: "first" }),
    ];
    const { limiter, pass, clock } = setUp({ policy: policies });
    await limiter.consume("k");
    pass(500.5);
    const decision = await limiter.consume("k", { cost: 3 });
    expect(decision).toMatchObject({
      reason: "ok",
      limit: 40,
      remaining: 36,
      retryAfterMs: 0,
      resetAfterMs: 3_600_000 - 500,
      decidedAtUs: clock.nowUs(),
      policy: "b",
      source: "prefetch",
    });
    expect(decision.policies?.map(({ remaining }) => remaining)).toEqual([46, 36]);
  });

  test("are topped up to the size, never beyond", async () => {
    const { limiter, asked, room } = setUp();
    await limiter.consume("k", { cost: 3 });
    await limiter.consume("k", { cost: 8 });
    expect(asked()).toEqual(["consumeUpTo 10000", "consumeUpTo 3000"]);
    expect(await room()).toBe(87);
  });

  test("serve whoever waits for the debit, in order", async () => {
    const { limiter, asked } = setUp();
    const decisions = await Promise.all(times(8, () => limiter.consume("k")));
    expect(asked()).toEqual(["consumeUpTo 10000"]);
    expect(decisions.map(({ remaining }) => remaining)).toEqual(times(8, (i) => 99 - i));
    expect(new Set(sourcesOf(decisions))).toEqual(new Set(["prefetch"]));
  });

  test("that do not cover all who wait leave the rest to the store, once each", async () => {
    const { limiter, asked } = setUp({ policy: tokenBucket({ limit: 12, period: "12h" }) });
    const decisions = await Promise.all(times(14, () => limiter.consume("k")));
    expect(decisions.map(({ allowed }) => allowed)).toEqual(times(14, (i) => i < 12));
    expect(sourcesOf(decisions)).toEqual(times(14, (i) => (i < 10 ? "prefetch" : "store")));
    expect(decisions[13]).toMatchObject({ reason: "quota", remaining: 0, retryAfterMs: 3_600_000 });
    expect(asked()).toEqual(["consumeUpTo 10000", ...times(4, () => "consume 1000")]);
  });

  test("that are none are the store's own denial, asked for once and then remembered", async () => {
    for (const denyCache of [{}, false] as const) {
      const { limiter, asked } = setUp({ denyCache });
      await limiter.penalize("k", 100);
      asked();
      const first = await limiter.consume("k");
      expect(first).toMatchObject({ allowed: false, reason: "quota", retryAfterMs: 3_600_000 });
      expect(first.source).toBe("store");
      expect(asked()).toEqual(["consumeUpTo 10000"]);
      const second = await limiter.consume("k");
      expect(second).toEqual({ ...first, source: denyCache === false ? "store" : "deny-cache" });
      expect(asked()).toEqual(denyCache === false ? ["consumeUpTo 10000"] : []);
    }
  });

  test("are for whole units up to the size without a policy of the call: anything else asks", async () => {
    const { limiter, asked } = setUp();
    await limiter.consume("k", { cost: 0 });
    await limiter.consume("k", { cost: 0.5 });
    await limiter.consume("k", { cost: 11 });
    await limiter.consume("k", { policy: tokenBucket({ limit: 99, period: "100h" }) });
    await limiter.peek("k");
    await limiter.consumeUpTo("k", { cost: 5 });
    expect(asked()).toEqual([
      "consume 0",
      "consume 500",
      "consume 11000",
      "consume 1000",
      "peek 1000",
      "consumeUpTo 5000",
    ]);
  });

  test("serve consumeMany", async () => {
    const { limiter, asked } = setUp();
    await limiter.consumeMany(times(4, () => ({ key: "k" })));
    expect(sourcesOf(await limiter.consumeMany([{ key: "k" }]))).toEqual(["prefetch"]);
    expect(asked()).toEqual(["consumeUpTo 10000"]);
  });

  test("work on a store inside the process", async () => {
    const store = new MemoryStore();
    const limiter = new RateLimiter({ policy, prefetch, store });
    expect(sourcesOf([await limiter.consume("k"), await limiter.consume("k")])).toEqual([
      "prefetch",
      "prefetch",
    ]);
    expect(limiter.consumeSync("k").remaining).toBe(89);
    await limiter.close();
    expect((await new RateLimiter({ policy, store }).peek("k")).remaining).toBe(97);
  });

  test("are told to hooks, and in shadow mode let everything pass", async () => {
    const onAllowed = vi.fn();
    const onDenied = vi.fn();
    const hooks = { onAllowed, onDenied };
    const { limiter } = setUp({
      policy: tokenBucket({ limit: 2, period: "2h" }),
      hooks,
      enforce: false,
    });
    const decisions = [];
    for (let i = 0; i < 3; i++) decisions.push(await limiter.consume("k"));
    expect(decisions.map(({ allowed, reason }) => [allowed, reason])).toEqual([
      [true, "ok"],
      [true, "ok"],
      [true, "quota"],
    ]);
    expect([onAllowed.mock.calls.length, onDenied.mock.calls.length]).toEqual([2, 1]);
  });
});

describe("unused units", () => {
  test("go back on close, exactly, and nothing is taken after", async () => {
    const { limiter, asked, room } = setUp();
    await limiter.consume("k", { cost: 3 });
    expect(await room()).toBe(90);
    await limiter.close();
    expect(asked()).toEqual(["refund 7000"]);
    expect(await room()).toBe(97);
    await expect(limiter.consume("k")).rejects.toThrow("the limiter is closed");
    await limiter.close();
    expect(await room()).toBe(97);
  });

  test("are back when close resolves", async () => {
    const { limiter, store } = setUp();
    await limiter.consume("k");
    const submit = store.submit.bind(store);
    let arrive = (): void => {};
    store.submit = (call, done) => {
      arrive = () => {
        submit(call, done);
      };
    };
    const order: string[] = [];
    const closing = limiter.close().then(() => order.push("closed"));
    await new Promise((resolve) => setImmediate(resolve));
    order.push("refund arrives");
    arrive();
    await closing;
    expect(order).toEqual(["refund arrives", "closed"]);
  });

  test("of a debit under way go back on close, which waits for it", async () => {
    const { limiter, room } = setUp();
    const consuming = limiter.consume("k");
    await limiter.close();
    expect((await consuming).source).toBe("prefetch");
    expect(await room()).toBe(99);
  });

  test("go back when the ttl is over, by a timer or by the next call", async () => {
    const { limiter, asked, pass, room } = setUp({ prefetch: { size: 10, ttl: 5 } });
    await limiter.consume("k", { cost: 4 });
    expect(asked()).toEqual(["consumeUpTo 10000"]);
    pass(6);
    await expect.poll(asked).toEqual(["refund 6000"]);
    expect(await room()).toBe(96);

    await limiter.consume("k", { cost: 4 });
    pass(6);
    await limiter.consume("k");
    expect(asked()).toEqual(["consumeUpTo 10000", "refund 6000", "consumeUpTo 10000"]);
  });

  test("go back when a key must make room for another", async () => {
    const { limiter, store } = setUp();
    for (let i = 0; i < 10_003; i++) await limiter.consume(`k${i}`);
    const refunds = store.calls.filter(({ verb }) => verb === VERBS.refund);
    expect(refunds.map(described)).toEqual(times(3, () => "refund 9000"));
    const ids = store.calls.slice(0, 3).map(({ debits }) => debits[0]?.id);
    expect(refunds.map(({ debits }) => debits[0]?.id)).toEqual(ids);
  });

  test("that cannot go back are told to onError; close does not hang", async () => {
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const { limiter, store, asked } = setUp({ hooks: { onError }, timeout: 20 });
    await limiter.consume("k", { cost: 3 });
    asked();
    store.behaviour = "fails";
    await limiter.close();
    expect(onError.mock.calls.map(([{ key, cost }]) => [key, cost])).toEqual([["k", 7]]);
  });

  test("under way to a store that hangs do not make close hang", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({
      policy,
      store,
      prefetch,
      timeout: 20,
      onStoreFailure: "open",
    });
    store.behaviour = "hangs";
    const consuming = limiter.consume("k");
    const refused = consuming.catch((reason: unknown) => reason);
    await limiter.close();
    expect(await refused).toMatchObject({ code: "CLOSED" });
  });
});

describe("a verb of this process", () => {
  test.each([
    ["block", (limiter: RateLimiter) => limiter.block("k", "1h"), "refund 7000, block 0"],
    ["penalize", (limiter: RateLimiter) => limiter.penalize("k", 5), "refund 7000, penalize 5000"],
    ["refund", (limiter: RateLimiter) => limiter.refund("k", 5), "refund 7000, refund 5000"],
    ["reset", (limiter: RateLimiter) => limiter.reset("k"), "reset 0"],
  ])(
    "%s ends the prefetch, whose units go back before unless they are forgotten",
    async (...row) => {
      const [, act, calls] = row;
      const { limiter, asked, store } = setUp();
      await limiter.consume("k", { cost: 3 });
      asked();
      await act(limiter);
      expect(asked().join(", ")).toBe(calls);
      await limiter.consume("k", { cost: 2 });
      expect(asked()[0]).toBe("consumeUpTo 10000");

      const other = new RateLimiter({ policy, store });
      await act(other);
      expect(asked().at(-1)).toBe(calls.split(", ").at(-1));
      await limiter.consume("k", { cost: 10 });
      expect(asked()[0]).toBe("consumeUpTo 10000");
    },
  );

  test("leaves prefetches of other policies on the same key alone", async () => {
    const { limiter, asked, store } = setUp();
    await limiter.consume("k");
    asked();
    const named = tokenBucket({ name: "other", limit: 5, period: "1h" });
    await new RateLimiter({ policy: named, store }).reset("k");
    expect(asked()).toEqual(["reset 0"]);
    expect((await limiter.consume("k")).source).toBe("prefetch");
    expect(asked()).toEqual([]);
  });

  test("during a debit: who waited is served, the rest goes back or is forgotten", async () => {
    for (const [act, expected] of [
      [(limiter: RateLimiter) => limiter.penalize("k", 5), 93],
      [(limiter: RateLimiter) => limiter.reset("k"), 100],
    ] as const) {
      const { limiter, room } = setUp();
      const consuming = limiter.consume("k", { cost: 2 });
      const acting = act(limiter);
      expect((await consuming).allowed).toBe(true);
      await acting;
      await expect.poll(room).toBe(expected);
    }
  });
});

describe("a debit that lands after the ttl", () => {
  const short = { size: 10, ttl: 10 };

  test.each([
    ["before the prefetch was ended", () => {}],
    ["after a timer ended the prefetch", () => vi.advanceTimersByTime(20)],
    ["after the next call ended the prefetch", (limiter: RateLimiter) => void limiter.consume("k")],
  ])("%s serves who waits, and the rest goes back", async (...row) => {
    const [, end] = row;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const { limiter, store, pass, room } = setUp({ prefetch: short });
    const held = holdDebits(store);
    const both = [limiter.consume("k"), limiter.consume("k", { cost: 2 })];
    pass(15);
    end(limiter);
    held[0]?.answer();
    expect(sourcesOf(await Promise.all(both))).toEqual(["prefetch", "prefetch"]);
    vi.advanceTimersByTime(20);
    await limiter.close();
    expect(held).toHaveLength(1);
    const others = store.calls.filter(({ verb }) => verb === VERBS.consume).length;
    expect(await room()).toBe(97 - others);
  });

  test("again and again takes no more than what was spent", async () => {
    const { limiter, store, pass, room } = setUp({ prefetch: short });
    const held = holdDebits(store);
    for (let i = 0; i < 8; i++) {
      const consuming = limiter.consume("k");
      pass(15);
      held.shift()?.answer();
      expect((await consuming).source).toBe("prefetch");
    }
    await limiter.close();
    expect(await room()).toBe(92);
  });

  test("goes back on close, which waits for it", async () => {
    const { limiter, store, pass, room } = setUp({ prefetch: short });
    const held = holdDebits(store);
    const consuming = limiter.consume("k", { cost: 2 });
    pass(15);
    // Ends the prefetch: a call during that asks the store itself.
    expect((await limiter.consume("k")).source).toBe("store");
    let isClosed = false;
    const closing = limiter.close().then(() => (isClosed = true));
    await settled();
    expect(isClosed).toBe(false);
    held[0]?.answer();
    await closing;
    expect((await consuming).source).toBe("prefetch");
    expect(await room()).toBe(97);
  });

  test("goes back even after close has given up waiting for it", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({
      policy,
      store,
      prefetch: short,
      timeout: 20,
      onStoreFailure: "open",
    });
    const held = holdDebits(store);
    const consuming = limiter.consume("k");
    const refused = consuming.catch((reason: unknown) => reason);
    await limiter.close();
    expect(await refused).toMatchObject({ code: "CLOSED" });
    held[0]?.answer();
    await settled();
    expect(store.calls.map(described)).toEqual(["consumeUpTo 10000", "refund 10000"]);
  });

  test.each([
    ["reset", (limiter: RateLimiter) => [limiter.reset("k")], 100],
    ["penalize", (limiter: RateLimiter) => [limiter.penalize("k", 5)], 93],
    [
      "reset and penalize",
      (limiter: RateLimiter) => [limiter.reset("k"), limiter.penalize("k", 5)],
      95,
    ],
  ] as const)("after a %s goes back only if the store still knows of it", async (...row) => {
    const [, act, left] = row;
    const { limiter, store, pass, room } = setUp({ prefetch: short });
    const held = holdDebits(store);
    const consuming = limiter.consume("k", { cost: 2 });
    // Decided before, answered after.
    const { call } = held[0] as Held;
    const answer = store.pure.executeSync(call);
    const copy = { ...answer, debits: answer.debits.map((debit) => ({ ...debit })) };
    pass(15);
    await Promise.all(act(limiter));
    vi.spyOn(store.pure, "submit").mockImplementationOnce((_, done) => {
      done(copy);
    });
    held[0]?.answer();
    expect((await consuming).source).toBe("prefetch");
    await limiter.close();
    expect(await room()).toBe(left);
  });
});

test("a key has one debit under way at most, whatever happens to its prefetch", async () => {
  let limit = 100;
  const changing = (): Policy => tokenBucket({ limit, period: "100h", burst: 100 });
  const { limiter, store, pass } = setUp({ policy: changing, prefetch: { size: 10, ttl: 10 } });
  const held = holdDebits(store);
  const first = limiter.consume("k");
  limit = 99;
  expect((await limiter.consume("k")).source).toBe("store");
  pass(15);
  expect((await limiter.consume("k")).source).toBe("store");
  await limiter.penalize("k", 1);
  expect((await limiter.consume("k")).source).toBe("store");
  expect(held.map(({ what }) => what)).toEqual(["consumeUpTo 10000"]);
  held.shift()?.answer();
  await first;
  const next = limiter.consume("k");
  expect(held.map(({ what }) => what)).toEqual(["consumeUpTo 10000"]);
  held.shift()?.answer();
  expect((await next).source).toBe("prefetch");
});

describe("a debit without an answer", () => {
  const slow = {
    timeout: 20,
    onStoreFailure: "closed",
    prefetch: { size: 10, ttl: "1h" },
  } as const;

  /** A call whose debit has no answer within the deadline. */
  async function unanswered({ limiter, pass }: Setup, cost = 1): Promise<void> {
    const consuming = limiter.consume("k", { cost });
    pass(20);
    expect((await consuming).source).toBe("fail-closed");
  }

  test("that the store dropped before it was sent leaves the key prefetched, and who still waits asks", async () => {
    const { limiter, store, pass } = setUp({ ...slow, timeout: "30s" });
    const held = holdDebits(store);
    void limiter.consume("k");
    pass(29_000);
    const waiting = limiter.consume("k");
    pass(1000);
    // Too late for the debit, which is then not worth sending any more.
    expect((await limiter.consume("k")).source).toBe("store");
    const [debit] = held.splice(0) as [Held];
    expect(debit.call.abandoned).toBe(true);
    debit.answer(new Error("not sent"));
    expect((await waiting).source).toBe("store");
    const next = limiter.consume("k");
    held[0]?.answer();
    expect((await next).source).toBe("prefetch");
  });

  test("is given up a second after it was sent, once a call has overtaken it", async () => {
    const setup = setUp(slow);
    const { limiter, store, pass, room } = setup;
    const held = holdDebits(store);
    await unanswered(setup);
    pass(979);
    expect((await limiter.consume("k")).source).toBe("store");
    expect((await limiter.consume("k")).source).toBe("store");
    pass(1);
    store.behaviour = "fails";
    expect((await limiter.consume("k")).source).toBe("fail-closed");
    store.behaviour = "answers";
    expect((await limiter.consume("k")).source).toBe("store");
    expect(held).toHaveLength(1);

    const next = limiter.consume("k");
    expect(held).toHaveLength(2);
    held[1]?.answer();
    expect((await next).source).toBe("prefetch");
    // Were it taken too, the process would hold more than the size.
    held[0]?.answer();
    await settled();
    expect((await limiter.consume("k", { cost: 9 })).source).toBe("prefetch");
    await limiter.close();
    expect(await room()).toBe(100 - 3 - 10 - 10);
  });

  test("does not hold back what the process has of the key", async () => {
    const setup = setUp(slow);
    const { limiter, store, pass } = setup;
    await limiter.consume("k");
    const held = holdDebits(store);
    await unanswered(setup, 10);
    pass(980);
    expect((await limiter.consume("k")).source).toBe("store");
    expect((await limiter.consume("k", { cost: 9 })).source).toBe("prefetch");
    expect(held).toHaveLength(1);
  });

  test("lets its prefetch make room for another, once it may be given up", async () => {
    const { limiter, store, pass } = setUp({ ...slow, breaker: false });
    const held = holdDebits(store);
    const consuming = times(10_000, (i) => limiter.consume(`k${i}`));
    pass(20);
    await Promise.all(consuming);
    expect((await limiter.consume("other")).source).toBe("store");
    pass(980);
    const next = limiter.consume("other");
    expect(held).toHaveLength(10_001);
    held[10_000]?.answer();
    expect((await next).source).toBe("prefetch");
    for (const { answer } of held) answer(new Error("connection lost"));
  });
});

describe("a debit that fails", () => {
  test("is the failure policy's case for each who waits", async () => {
    const { limiter, store, asked } = setUp({ onStoreFailure: "closed" });
    store.behaviour = "fails";
    const decisions = await Promise.all(times(3, () => limiter.consume("k")));
    expect(sourcesOf(decisions)).toEqual(times(3, () => "fail-closed"));
    expect(asked()).toHaveLength(1);
    store.behaviour = "answers";
    expect((await limiter.consume("k")).source).toBe("prefetch");
  });

  test("leaves what is here to be spent", async () => {
    const { limiter, store } = setUp();
    await limiter.consume("k", { cost: 3 });
    store.behaviour = "fails";
    await expect(limiter.consume("k", { cost: 8 })).rejects.toThrow("connection lost");
    expect((await limiter.consume("k", { cost: 7 })).source).toBe("prefetch");
  });

  test("by its time is over for all who wait, each within its own; the next ask by themselves", async () => {
    const store = new OutsideStore();
    const held: { call: StoreCall; done: Done }[] = [];
    const submit = store.submit.bind(store);
    store.submit = (call, done) => void held.push({ call, done });
    const limiter = new RateLimiter({
      policy,
      store,
      prefetch,
      timeout: 20,
      onStoreFailure: "open",
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const decisions = Promise.all([limiter.consume("k"), limiter.consume("k", { cost: 2 })]);
    await vi.advanceTimersByTimeAsync(20);
    expect(sourcesOf(await decisions)).toEqual(["fail-open", "fail-open"]);
    expect(held.map(({ call }) => described(call))).toEqual(["consumeUpTo 10000"]);

    const next = limiter.consume("k");
    expect(held.map(({ call }) => described(call))).toEqual(["consumeUpTo 10000", "consume 1000"]);
    // The debit comes after all: the units are held, and no caller that gave up was served.
    store.submit = submit;
    for (const { call, done } of held) submit(call, done);
    expect((await next).source).toBe("store");
    const spent = await limiter.consume("k", { cost: 10 });
    expect(spent).toMatchObject({ source: "prefetch", remaining: 90 });
    await limiter.close();
  });

  test("after the wait leaves the caller no second deadline", async () => {
    const store = new OutsideStore();
    const submit = store.submit.bind(store);
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 1, period: "1h" }),
      store,
      prefetch,
      timeout: 60,
      onStoreFailure: "open",
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const order: string[] = [];
    // The debit takes half of the deadline, and the plain call that follows it never ends.
    store.submit = (call, done) => {
      if (call.verb !== VERBS.consumeUpTo) return;
      setTimeout(() => {
        // One who begins only now has a whole deadline.
        void limiter.peek("k").then(() => order.push("begun after the debit"));
        submit(call, done);
      }, 30);
    };
    const both = [limiter.consume("k"), limiter.consume("k")];
    void both[1]?.then(() => order.push("waited for the debit"));
    await vi.advanceTimersByTimeAsync(59);
    expect(order).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(order).toEqual(["waited for the debit"]);
    expect(sourcesOf(await Promise.all(both))).toEqual(["prefetch", "fail-open"]);
    await vi.advanceTimersByTimeAsync(29);
    expect(order).toEqual(["waited for the debit"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(order).toEqual(["waited for the debit", "begun after the debit"]);
    await limiter.close();
  });

  test("does not concern who has aborted", async () => {
    const { limiter, store } = setUp();
    const aborter = new AbortController();
    const first = limiter.consume("k");
    const second = limiter.consume("k", { cost: 9, signal: aborter.signal });
    aborter.abort(new Error("changed my mind"));
    await expect(second).rejects.toThrow("changed my mind");
    expect((await first).source).toBe("prefetch");
    // Nothing was spent on it.
    expect(await limiter.consume("k", { cost: 9 })).toMatchObject({ source: "prefetch" });
    expect(store.calls).toHaveLength(1);
  });
});

test.each([
  ["prefetch.size", { prefetch: { size: 0, ttl: 1 } }],
  ["prefetch.size", { prefetch: { size: 1.5, ttl: 1 } }],
  ["prefetch.ttl", { prefetch: { size: 1, ttl: 0 } }],
  ["prefetch.ttl", { prefetch: { size: 1, ttl: "2h" } }],
  ["prefetch.units", { prefetch: { size: 1, ttl: 1, units: 3 } }],
  ["prefetch", { prefetch: true }],
  ["prefetch", { prefetch: { size: 1, ttl: 1 }, blockFor: "1s" }],
])("refuses a bad %s, and then claims no name", (option, bad) => {
  const store = new OutsideStore();
  const make = (more: object) => new RateLimiter({ policy, store, ...more });
  expect(() => make(bad)).toThrow(expect.objectContaining({ code: "INVALID_OPTION", option }));
  expect(() => make({ policy: tokenBucket({ limit: 1, period: 1 }) })).not.toThrow();
});

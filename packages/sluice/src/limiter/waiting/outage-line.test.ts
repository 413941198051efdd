/** Waiting for quota while the store is away, and when it is back. */
import { describe, expect, test } from "vitest";
import { eventually } from "../../../test/support/eventually.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { fixedWindow, RateLimiter, type RateLimiterOptions, tokenBucket } from "../../index.js";
import { ManualClock } from "../../testing/index.js";
import { outageLineOf } from "./outage-line.js";

const policy = tokenBucket({ limit: 10, period: "1s" });

class ClockedStore extends OutsideStore {
  constructor(readonly clock = new ManualClock()) {
    super(clock);
  }
}

function setUp(options: Partial<RateLimiterOptions<ClockedStore>> = {}) {
  const store = new ClockedStore();
  const limiter = new RateLimiter({ policy, breaker: false, ...options, store });
  const started: string[] = [];
  /** Waits, and notes when it starts and how. */
  const wait = (name: string, how: Parameters<typeof limiter.acquire>[1] = {}): Promise<void> =>
    limiter.acquire("k", how).then(
      ({ source }) => void started.push(`${name} ${source}`),
      (error: unknown) => void started.push(`${name} ${(error as Error).name}`),
    );
  const line = outageLineOf(store, "");
  const inLine = (count: number): Promise<void> => eventually(() => expect(line.size).toBe(count));
  return { store, clock: store.clock, limiter, started, wait, line, inLine };
}

describe("while the store is away", () => {
  test("a caller starts in its own turn of this process's line", async () => {
    const { store, clock, limiter, started, wait, inLine } = setUp();
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    void wait("a");
    void wait("b");
    await inLine(2);
    clock.advance(100);
    await eventually(() => expect(started).toEqual(["a local"]));
    clock.advance(100);
    await eventually(() => expect(started).toEqual(["a local", "b local"]));
  });

  test("windows are asked again when they said so", async () => {
    const { store, clock, started, wait, inLine } = setUp({
      policy: fixedWindow({ limit: 1, window: "1s" }),
    });
    store.behaviour = "fails";
    await wait("a");
    void wait("b");
    await inLine(1);
    clock.advance(1000);
    await eventually(() => expect(started).toEqual(["a local", "b local"]));
  });

  test("a wait longer than maxWait is refused at once", async () => {
    const { store, limiter, started, wait } = setUp();
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    await wait("a", { maxWait: 99 });
    expect(started).toEqual(["a MaxWaitExceededError"]);
  });

  test("what the store denied before is waited for to its end", async () => {
    const { store, clock, limiter, started, wait, inLine } = setUp({ blockFor: "10m" });
    await limiter.consume("k", { cost: 10 });
    expect((await limiter.consume("k")).retryAfterMs).toBe(600_000);
    store.behaviour = "fails";
    await wait("a", { maxWait: "9m" });
    expect(started).toEqual(["a MaxWaitExceededError"]);
    void wait("b", { maxWait: "11m" });
    await inLine(1);
    expect(clock.nowUs()).toBeGreaterThan(0);
  });

  test("an abort gives its place back", async () => {
    const { store, limiter, started, wait, line, inLine } = setUp();
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    const controller = new AbortController();
    const waiting = wait("a", { signal: controller.signal });
    await inLine(1);
    controller.abort(new RangeError("enough"));
    await waiting;
    expect(started).toEqual(["a RangeError"]);
    expect(line.size).toBe(0);
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 100 });
  });
});

describe("when the store is back", () => {
  test("all who are not due leave the line and ask the store, in order, with what is left", async () => {
    const { store, clock, limiter, started, wait, inLine } = setUp();
    await limiter.consume("k", { cost: 10 });
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) void wait(name, { maxWait: name === "e" ? 500 : "1h" });
    await inLine(5);
    clock.advance(40);
    store.behaviour = "answers";
    store.calls.length = 0;
    clock.advance(10);
    await eventually(() => expect(store.calls).toHaveLength(6));
    // One question, then each once, in order. Half a unit has come back since.
    expect(store.calls.map(({ maxWaitUs }) => maxWaitUs)).toEqual([
      0,
      ...Array<number>(4).fill(3600e6 - 50e3),
      450e3,
    ]);
    for (const name of names) {
      clock.advance(100);
      await eventually(() => expect(started.at(-1)).toBe(`${name} store`));
    }
    expect(started).toHaveLength(5);
  });

  test("their places here are free again", async () => {
    const { store, clock, limiter, wait, started, inLine } = setUp();
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    for (let i = 0; i < 5; i++) void wait("a");
    await inLine(5);
    store.behaviour = "answers";
    clock.advance(50);
    await eventually(() => expect(started).toHaveLength(5));
    store.behaviour = "fails";
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 50 });
  });

  test("a start that reserve promised here stands", async () => {
    const { store, clock, limiter, wait, inLine, started } = setUp();
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    const reservation = await limiter.reserve("k");
    void wait("a");
    await inLine(1);
    store.behaviour = "answers";
    clock.advance(50);
    await eventually(() => expect(started).toEqual(["a store"]));
    store.behaviour = "fails";
    expect(reservation).toMatchObject({ allowed: true, delayMs: 100 });
    // Behind it, by the 50 ms that are over.
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 150 });
  });

  test("a store that answers questions and refuses writes is not asked by all each time", async () => {
    const { store, clock, limiter, inLine, started, wait } = setUp({
      policy: tokenBucket({ limit: 1, period: "1m" }),
    });
    store.behaviour = "fails";
    await limiter.consume("k");
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      store.behaviour = call.verb === 3 ? "answers" : "fails";
      submit(call, done);
    };
    for (let i = 0; i < 100; i++) void wait("a");
    await inLine(100);
    store.calls.length = 0;
    for (let i = 0; i < 100; i++) {
      clock.advance(100);
      for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
    }
    // Ten seconds: some fourteen rounds.
    expect(store.calls.length).toBeLessThan(2000);
    expect(started).toEqual([]);
  });

  test("parts are waited for apart", async () => {
    const { store, limiter, clock } = setUp({ identity: "plain" });
    Object.assign(store, {
      partOf: (call: { debits: readonly { id: string }[] }) => call.debits[0]?.id,
    });
    store.behaviour = "fails";
    await limiter.consumeMany([
      { key: "a", cost: 10 },
      { key: "b", cost: 10 },
    ]);
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      store.behaviour = call.debits[0]?.id === "a" ? "answers" : "fails";
      submit(call, done);
    };
    store.behaviour = "fails";
    const sources: string[] = [];
    store.submit = submit;
    for (const key of ["a", "b"]) {
      void limiter.acquire(key).then(({ source }) => sources.push(`${key} ${source}`));
    }
    await eventually(() => {
      expect([outageLineOf(store, "a").size, outageLineOf(store, "b").size]).toEqual([1, 1]);
    });
    store.submit = (call, done) => {
      store.behaviour = call.debits[0]?.id === "a" ? "answers" : "fails";
      submit(call, done);
    };
    clock.advance(50);
    await eventually(() => expect(sources).toEqual(["a store"]));
    expect(outageLineOf(store, "b").size).toBe(1);
    clock.advance(50);
    await eventually(() => expect(sources).toEqual(["a store", "b local"]));
  });
});

test("one timer serves all who wait, and none is left", async () => {
  const { store, clock, limiter, wait, started, inLine } = setUp();
  let sleeping = 0;
  const sleep = clock.sleep.bind(clock);
  clock.sleep = async (ms, signal) => {
    sleeping += 1;
    await sleep(ms, signal).finally(() => {
      sleeping -= 1;
    });
  };
  store.behaviour = "fails";
  await limiter.consume("k", { cost: 10 });
  for (let i = 0; i < 200; i++) void wait("a");
  await inLine(200);
  await new Promise(setImmediate);
  expect(sleeping).toBe(1);
  store.behaviour = "answers";
  clock.advance(50);
  clock.advance(100_000);
  await eventually(() => {
    clock.advance(1000);
    expect(started).toHaveLength(200);
  });
  expect(sleeping).toBe(0);
});

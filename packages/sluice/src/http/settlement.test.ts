/** What a request cost after all, and permits that are given back. */
import { describe, expect, onTestFinished, test } from "vitest";
import { ended, enter, gateOf, left, outcomeOf } from "../../test/support/gates.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type ErrorEvent,
  fixedWindow,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  Semaphore,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import type { HttpOutcome } from "./call.js";
import type { Charge, Gate } from "./index.js";

const answered = (status: number): HttpOutcome => ({ status, aborted: false });

function setUp(options: Partial<RateLimiterOptions> = {}): {
  clock: ManualClock;
  limiter: RateLimiter;
  failures: ErrorEvent[];
} {
  const clock = new ManualClock();
  const failures: ErrorEvent[] = [];
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 10, period: "1h" }),
    store: new MemoryStore({ clock }),
    hooks: { onError: (failure) => void failures.push(failure) },
    ...options,
  });
  onTestFinished(() => limiter.close());
  return { clock, limiter, failures };
}

async function settled(gate: Gate<object>, outcome: HttpOutcome = ended): Promise<void> {
  await (await enter(gate)).settle?.(outcome);
}

describe("a cost that is known afterwards", () => {
  test.each([
    [4, 0, 10],
    [4, 1.5, 8],
    [4, 4, 6],
    [4, 9, 1],
    [4, 25, 0],
    [0, 3, 7],
  ])("of %d taken and %d used leaves %d", async (cost, actual, remaining) => {
    const { limiter } = setUp();
    await settled(gateOf({ limiter, key: "k", cost, settle: () => actual }));
    expect(await left(limiter, "k")).toBe(remaining);
  });

  test("is asked for once, with what became of the request", async () => {
    const { limiter } = setUp();
    const outcomes: HttpOutcome[] = [];
    const settle = async (outcome: HttpOutcome): Promise<number> => {
      outcomes.push(outcome);
      return 0;
    };
    const pass = await enter(gateOf({ limiter, key: "k", cost: 4, settle }));
    const aborted = { status: 0, aborted: true, error: new Error("gone") };
    const first = pass.settle?.(aborted);
    expect(pass.settle?.(ended)).toBe(first);
    await first;
    await pass.settle?.(ended);
    expect(outcomes).toEqual([aborted]);
    expect(await left(limiter, "k")).toBe(10);
  });

  test.each<[string, () => unknown]>([
    ["NaN", () => Number.NaN],
    ["negative", () => -1],
    ["Infinity", () => Number.POSITIVE_INFINITY],
    ["no number", () => "1"],
    ["undefined", () => undefined],
    [
      "thrown",
      () => {
        throw new RangeError("mine");
      },
    ],
    ["rejected", () => Promise.reject(new RangeError("mine"))],
  ])("and is %s is told to the limiter's hook, and changes nothing", async (_, settle) => {
    const { limiter, failures } = setUp();
    await settled(gateOf({ limiter, key: "k", cost: 4, settle: settle as () => number }));
    expect(failures).toEqual([{ error: expect.any(Error) as Error, key: "k", cost: 4 }]);
    expect(await left(limiter, "k")).toBe(6);
  });

  test("of a store that is gone meanwhile is told once", async () => {
    const store = new OutsideStore();
    const { limiter, failures } = setUp({ store, onStoreFailure: "throw" });
    const pass = await enter(gateOf({ limiter, key: "k", cost: 4, settle: () => 0 }));
    store.behaviour = "fails";
    await pass.settle?.(ended);
    expect(failures).toMatchObject([{ error: { code: "STORE_UNAVAILABLE" } }]);
  });

  test("of a limiter that is closed meanwhile is told to nobody", async () => {
    const { limiter, failures } = setUp();
    const pass = await enter(gateOf({ limiter, key: "k", settle: () => 0 }));
    await limiter.close();
    await pass.settle?.(ended);
    expect(failures).toEqual([]);
  });

  test.each([
    ["open", undefined],
    ["closed", undefined],
  ] as const)(
    "is not asked for where a store did not answer: %s",
    async (onStoreFailure, settle) => {
      const store = new OutsideStore();
      store.behaviour = "fails";
      const { limiter } = setUp({ store, onStoreFailure });
      const pass = await enter(gateOf({ limiter, key: "k", settle: () => 0 }));
      expect(pass.settle).toBe(settle);
    },
  );

  test("of what this process admitted by itself goes back to it, and not to the store", async () => {
    const store = new OutsideStore();
    const { limiter } = setUp({ store });
    store.behaviour = "fails";
    const gate = gateOf({ limiter, key: "k", cost: 10, settle: () => 0 });
    const pass = await enter(gate);
    expect(pass.denial).toBeUndefined();
    expect(await outcomeOf(enter(gate))).toContain("429 quota");
    store.behaviour = "answers";
    const asked = store.calls.length;
    await pass.settle?.(ended);
    expect(store.calls.length).toBe(asked);
    store.behaviour = "fails";
    expect(await outcomeOf(enter(gate))).toBe("pass");
  });

  test("of several charges is settled for each", async () => {
    const { limiter: a } = setUp({ policy: tokenBucket({ name: "a", limit: 10, period: "1h" }) });
    const { limiter: b } = setUp({ policy: tokenBucket({ name: "b", limit: 10, period: "1h" }) });
    const charges: Charge[] = [
      { limiter: a, key: "k", cost: 5, settle: () => 1 },
      { limiter: b, key: "k", cost: 5 },
    ];
    await settled(gateOf(charges));
    expect([await left(a, "k"), await left(b, "k")]).toEqual([9, 5]);
  });
});

describe("logins, as in the recipe of three wrong ones and a ban", () => {
  const logins = (): ReturnType<typeof setUp> & { gate: Gate<object> } => {
    const made = setUp({
      policy: fixedWindow({ limit: 3, window: "10m", align: "first" }),
      blockFor: "1h",
    });
    const settle = ({ status }: HttpOutcome): number => (status === 401 ? 1 : 0);
    return { ...made, gate: gateOf({ limiter: made.limiter, key: "ann", settle, show: false }) };
  };

  test("three wrong ones ban, and right ones with them; then all is forgotten", async () => {
    const { clock, gate } = logins();
    for (let i = 0; i < 3; i++) await settled(gate, answered(401));
    expect(await outcomeOf(enter(gate))).toBe("429 blocked 3600000");
    clock.advance(3_599_999);
    expect(await outcomeOf(enter(gate))).toBe("429 blocked 1");
    clock.advance(1);
    expect(await outcomeOf(enter(gate))).toBe("pass");
  });

  test("ten wrong ones at once: no more than three get through", async () => {
    const { gate } = logins();
    const passes = await Promise.all(Array.from({ length: 10 }, async () => enter(gate)));
    const through = passes.filter(({ denial }) => denial === undefined);
    expect(through).toHaveLength(3);
    await Promise.all(through.map(async (pass) => pass.settle?.(answered(401))));
    expect(await outcomeOf(enter(gate))).toContain("429 blocked");
  });

  test("ten right ones at once ban nobody", async () => {
    const { gate } = logins();
    const passes = await Promise.all(Array.from({ length: 10 }, async () => enter(gate)));
    await Promise.all(passes.map(async (pass) => pass.settle?.(answered(200))));
    expect(await outcomeOf(enter(gate))).toBe("pass");
  });
});

describe("a permit", () => {
  const slots = (limit: number): Semaphore => {
    const semaphore = new Semaphore({ name: "slots", limit });
    onTestFinished(() => semaphore.close());
    return semaphore;
  };

  test("is held until the request has ended, and given back once", async () => {
    const limiter = slots(2);
    const gate = gateOf({ limiter, key: "k" });
    const [first, second] = [await enter(gate), await enter(gate)];
    const third = await enter(gate);
    expect(third.denial).toMatchObject({
      status: 429,
      reason: "concurrency",
      retryAfterMs: 1000,
      problem: { "violated-policies": ["slots"], detail: "Too many requests are under way." },
    });
    expect(third.fields).toEqual([
      ["RateLimit-Policy", '"slots";q=2;qu="concurrent-requests"'],
      ["RateLimit", '"slots";r=0'],
      ["Retry-After", "1"],
      ["Cache-Control", "no-store"],
    ]);
    await first.settle?.({ status: 0, aborted: true });
    await first.settle?.(ended);
    expect((await limiter.inspect("k")).held).toBe(1);
    expect(await outcomeOf(enter(gate))).toBe("pass");
    await second.settle?.(ended);
  });

  test("has a weight, of which fields say nothing", async () => {
    const limiter = slots(3);
    const gate = gateOf({ limiter, key: "k", cost: 2 });
    await enter(gate);
    expect((await enter(gate)).fields.map(([name]) => name)).toEqual([
      "Retry-After",
      "Cache-Control",
    ]);
    expect((await limiter.inspect("k")).held).toBe(2);
  });

  test("is given back where a later charge is refused, and rates with it", async () => {
    const { limiter: rate } = setUp();
    const [first, second] = [slots(1), new Semaphore({ name: "other", limit: 1 })];
    onTestFinished(() => second.close());
    await second.acquire("k");
    const gate = gateOf([
      { limiter: rate, key: "k", cost: 4 },
      { limiter: first, key: "k" },
      { limiter: second, key: "k" },
    ]);
    expect(await outcomeOf(enter(gate))).toBe("429 concurrency 1000");
    expect((await first.inspect("k")).held).toBe(0);
    expect(await left(rate, "k")).toBe(10);
  });

  test("is not taken where a rate is refused", async () => {
    const { limiter: rate } = setUp();
    const limiter = slots(1);
    const gate = gateOf([
      { limiter, key: "k" },
      { limiter: rate, key: "k", cost: 11 },
    ]);
    expect(await outcomeOf(enter(gate))).toBe("429 too-costly Infinity");
    expect((await limiter.inspect("k")).held).toBe(0);
  });
});

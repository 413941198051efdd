import { describe, expect, test, vi } from "vitest";
import { VERBS } from "../algorithms/decide.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type AtomicRequest,
  consumeAtomic,
  type Decision,
  fixedWindow,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  type Store,
  tokenBucket,
} from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";

const hourly = (name: string, limit: number): Policy => tokenBucket({ name, limit, period: "1h" });

function make<S extends Store>(
  store: S,
  name: string,
  limit: number,
  options: Partial<RateLimiterOptions> = {},
): RateLimiter<S> {
  return new RateLimiter({ policy: hourly(name, limit), ...options, store });
}

const left = async (limiter: RateLimiter, key: string): Promise<number> =>
  (await limiter.peek(key, { cost: 0 })).remaining;

describe.each([
  ["memory", () => new MemoryStore({ clock: new ManualClock() })],
  ["the pure kernels", () => new PureStore(new ManualClock())],
  ["a store outside", () => new OutsideStore()],
] as const)("consumeAtomic on %s", (_, storeOf) => {
  test("charges all when all allow", async () => {
    const store: Store = storeOf();
    const [user, team] = [make(store, "user", 5), make(store, "team", 20)];
    const { allowed, decisions } = await consumeAtomic([
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue", cost: 3 },
    ]);
    expect(allowed).toBe(true);
    expect(decisions).toMatchObject([
      { allowed: true, policy: "user", remaining: 4 },
      { allowed: true, policy: "team", remaining: 17 },
    ]);
    expect([await left(user, "ann"), await left(team, "blue")]).toEqual([4, 17]);
  });

  test("charges nobody when one denies, and says who", async () => {
    const store: Store = storeOf();
    const [user, team] = [make(store, "user", 5), make(store, "team", 20)];
    const { allowed, decisions } = await consumeAtomic([
      { limiter: user, key: "ann", cost: 2 },
      { limiter: team, key: "blue", cost: 21 },
    ]);
    expect(allowed).toBe(false);
    expect(decisions).toMatchObject([
      { allowed: true, reason: "ok", remaining: 5 },
      { allowed: false, reason: "too-costly", remaining: 20 },
    ]);
    expect([await left(user, "ann"), await left(team, "blue")]).toEqual([5, 20]);
  });

  test("adds up what requests ask of one key of one limiter", async () => {
    const store: Store = storeOf();
    const user = make(store, "user", 5);
    const twice = (cost: number) => [
      { limiter: user, key: "ann", cost },
      { limiter: user, key: "ann", cost },
    ];
    expect((await consumeAtomic(twice(3))).allowed).toBe(false);
    expect(await left(user, "ann")).toBe(5);
    const { allowed, decisions } = await consumeAtomic(twice(2));
    expect(allowed).toBe(true);
    expect(decisions.map(({ remaining }) => remaining)).toEqual([1, 1]);
    expect(await left(user, "ann")).toBe(1);
  });

  test("adds up what two limiters of one name ask of one key", async () => {
    const store: Store = storeOf();
    const [first, second] = [make(store, "user", 5), make(store, "user", 5)];
    const both = (cost: number) => [
      { limiter: first, key: "ann", cost },
      { limiter: second, key: "ann", cost },
    ];
    expect((await consumeAtomic(both(3))).allowed).toBe(false);
    expect((await consumeAtomic(both(2))).allowed).toBe(true);
    expect(await left(first, "ann")).toBe(1);
  });

  test("decides limiters of several policies as one", async () => {
    const store: Store = storeOf();
    const user = new RateLimiter({
      policy: [hourly("burst", 5), fixedWindow({ name: "daily", limit: 7, window: "1d" })],
      store,
    });
    const team = make(store, "team", 100);
    const requests = (cost: number) => [
      { limiter: user, key: "ann", cost },
      { limiter: team, key: "blue", cost },
    ];
    const { decisions } = await consumeAtomic(requests(4));
    expect(decisions[0]).toMatchObject({
      policy: "burst",
      policies: [
        { policy: "burst", remaining: 1 },
        { policy: "daily", remaining: 3 },
      ],
    });
    expect(decisions[1]).toMatchObject({ policy: "team", remaining: 96 });
    expect(decisions[1]).not.toHaveProperty("policies");
    expect((await consumeAtomic(requests(2))).allowed).toBe(false);
    expect(await left(team, "blue")).toBe(96);
  });

  test("gives a shadow limiter no vote, but its say and its charge", async () => {
    const store: Store = storeOf();
    const hooks = { onAllowed: vi.fn(), onDenied: vi.fn() };
    const shadowHooks = { onAllowed: vi.fn(), onDenied: vi.fn() };
    const user = make(store, "user", 5, { hooks });
    const trial = make(store, "trial", 2, { enforce: false, hooks: shadowHooks });
    const requests = (cost: number) => [
      { limiter: trial, key: "ann", cost },
      { limiter: user, key: "ann", cost },
    ];
    expect((await consumeAtomic(requests(2))).allowed).toBe(true);
    expect([await left(user, "ann"), await left(trial, "ann")]).toEqual([3, 0]);
    const second = await consumeAtomic(requests(1));
    expect(second).toMatchObject({
      allowed: true,
      decisions: [
        { allowed: true, reason: "quota" },
        { allowed: true, reason: "ok" },
      ],
    });
    expect(await left(user, "ann")).toBe(2);
    // The enforcing limiter was charged, so it says so although the shadow would have denied.
    expect(hooks.onAllowed).toHaveBeenCalledTimes(2);
    expect(shadowHooks.onAllowed).toHaveBeenCalledTimes(1);
    expect(shadowHooks.onDenied).toHaveBeenCalledTimes(1);
    const third = await consumeAtomic(requests(9));
    expect(third.allowed).toBe(false);
    expect(third.decisions.map(({ allowed }) => allowed)).toEqual([true, false]);
  });

  test("of shadow limiters alone is always allowed", async () => {
    const store: Store = storeOf();
    const trial = make(store, "trial", 2, { enforce: false });
    const request = { limiter: trial, key: "ann", cost: 9 };
    expect(await consumeAtomic([request, request])).toMatchObject({
      allowed: true,
      decisions: [
        { allowed: true, reason: "too-costly" },
        { allowed: true, reason: "too-costly" },
      ],
    });
  });

  test("tells hooks what was charged and what denied, not what was merely possible", async () => {
    const store: Store = storeOf();
    const [told, other] = [vi.fn(), vi.fn()];
    const user = make(store, "user", 5, { hooks: { onAllowed: told, onDenied: told } });
    const team = make(store, "team", 1, { hooks: { onAllowed: other, onDenied: other } });
    const requests = [
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue" },
    ];
    await consumeAtomic(requests);
    expect([told.mock.calls.length, other.mock.calls.length]).toEqual([1, 1]);
    await consumeAtomic(requests);
    expect([told.mock.calls.length, other.mock.calls.length]).toEqual([1, 2]);
    expect(other.mock.calls[1]?.[0]).toMatchObject({
      key: "blue",
      cost: 1,
      decision: { allowed: false, reason: "quota" } satisfies Partial<Decision>,
    });
  });

  test("blocks for the limiter that says so, when it was the one that denied", async () => {
    const store: Store = storeOf();
    const user = make(store, "user", 5, { blockFor: "1m" });
    const team = make(store, "team", 1, { blockFor: "1m" });
    const requests = [
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue" },
    ];
    await consumeAtomic(requests);
    expect((await consumeAtomic(requests)).allowed).toBe(false);
    expect(await team.peek("blue")).toMatchObject({ reason: "blocked" });
    expect(await user.peek("ann")).toMatchObject({ reason: "ok", remaining: 4 });
  });

  test("takes 1,000 policies together, and refuses more before anything is asked", async () => {
    const store: Store = storeOf();
    const options = { onStoreFailure: "throw", timeout: "30s" } as const;
    const one = make(store, "one", 1, options);
    const policy = [hourly("a", 1), hourly("b", 1)];
    const two = new RateLimiter({ ...options, store, policy });
    const keys = (count: number) => [...new Array(count).keys()].map((i) => `k${i}`);
    const refused = async (requests: AtomicRequest[]) => {
      const { length } = requests;
      await expect(consumeAtomic(requests)).rejects.toMatchObject({
        code: "INVALID_OPTION",
        option: "requests",
        value: length,
        allowed: expect.stringContaining("at most 1000 policies together") as unknown,
      });
    };
    await refused(keys(1001).map((key) => ({ limiter: one, key })));
    await refused(keys(20_000).map((key) => ({ limiter: one, key })));
    // On one key too: requests that are added up still count one by one.
    await refused(keys(1001).map(() => ({ limiter: one, key: "same" })));
    const pairs = keys(500).map((key) => ({ limiter: two, key }));
    await refused([...pairs, { limiter: one, key: "one more" }]);
    expect(await consumeAtomic(pairs)).toMatchObject({ allowed: true });
    const whole = await consumeAtomic(keys(1000).map((key) => ({ limiter: one, key })));
    expect(whole.allowed).toBe(true);
    expect(whole.decisions.filter(({ remaining }) => remaining === 0)).toHaveLength(1000);
    expect(await left(one, "one more")).toBe(1);
  });

  test("takes any number one after another", async () => {
    const limiter = make(storeOf(), "user", 2000);
    const requests = Array.from({ length: 1001 }, () => ({ limiter, key: "ann" }));
    expect(await consumeAtomic(requests, { atomic: false })).toMatchObject({ allowed: true });
    expect(await left(limiter, "ann")).toBe(999);
  });

  test("of nothing is allowed", async () => {
    expect(await consumeAtomic([])).toEqual({ allowed: true, decisions: [], atomic: true });
  });

  describe("atomic: false", () => {
    test("asks each by itself, and gives back what was taken where one denies", async () => {
      const store: Store = storeOf();
      const [user, team, site] = [
        make(store, "user", 5),
        make(store, "team", 1),
        make(store, "site", 9),
      ];
      const requests = [
        { limiter: user, key: "ann", cost: 2 },
        { limiter: team, key: "blue" },
        { limiter: site, key: "all" },
      ];
      const first = await consumeAtomic(requests, { atomic: false });
      expect(first).toMatchObject({ allowed: true, atomic: false });
      expect(first.decisions.map(({ remaining }) => remaining)).toEqual([3, 0, 8]);
      const second = await consumeAtomic(requests, { atomic: false });
      expect(second.allowed).toBe(false);
      expect(second.decisions).toMatchObject([
        // Taken, and given back.
        { allowed: true, remaining: 3 },
        { allowed: false, reason: "quota" },
        { allowed: true, remaining: 8 },
      ]);
      expect([await left(user, "ann"), await left(team, "blue"), await left(site, "all")]).toEqual([
        3, 0, 8,
      ]);
    });

    test("says what is left of each policy of what it gave back", async () => {
      const store: Store = storeOf();
      const policy = [
        fixedWindow({ name: "minute", limit: 5, window: "1m" }),
        fixedWindow({ name: "hour", limit: 50, window: "1h" }),
      ];
      const both = new RateLimiter({ store, policy });
      const requests = [
        { limiter: both, key: "ann", cost: 2 },
        { limiter: make(store, "none", 0), key: "blue" },
      ];
      const { decisions } = await consumeAtomic(requests, { atomic: false });
      expect(decisions[0]).toMatchObject({
        allowed: true,
        remaining: 5,
        policies: [
          { policy: "minute", allowed: true, remaining: 5 },
          { policy: "hour", allowed: true, remaining: 50 },
        ],
      });
    });

    test("gives a shadow limiter no vote", async () => {
      const store: Store = storeOf();
      const trial = make(store, "trial", 1, { enforce: false });
      const user = make(store, "user", 5);
      const { allowed, decisions } = await consumeAtomic(
        [
          { limiter: trial, key: "ann", cost: 2 },
          { limiter: user, key: "ann" },
        ],
        { atomic: false },
      );
      expect(allowed).toBe(true);
      expect(decisions[0]).toMatchObject({ allowed: true, reason: "too-costly" });
    });

    test("gives nothing back to a shadow that had taken nothing", async () => {
      const store: Store = storeOf();
      const trial = make(store, "trial", 5, { enforce: false });
      const user = make(store, "user", 1);
      await trial.consume("ann", { cost: 4 });
      const { allowed } = await consumeAtomic(
        [
          { limiter: trial, key: "ann", cost: 3 },
          { limiter: user, key: "ann", cost: 2 },
        ],
        { atomic: false },
      );
      expect(allowed).toBe(false);
      expect(await left(trial, "ann")).toBe(1);
    });
  });
});

describe("a set with atomic: false", () => {
  test("is asked in one tick, and refunded in the next", async () => {
    const store = new OutsideStore();
    const [user, team] = [make(store, "user", 5), make(store, "team", 1)];
    await team.consume("blue");
    store.calls.length = 0;
    const denied = consumeAtomic(
      [
        { limiter: user, key: "ann" },
        { limiter: team, key: "red" },
        { limiter: user, key: "bob" },
        { limiter: team, key: "blue", cost: 1 },
      ],
      { atomic: false },
    );
    expect(store.calls.map(({ verb }) => verb)).toEqual(Array(4).fill(VERBS.consume));
    expect((await denied).decisions[3]).toMatchObject({ allowed: false, source: "store" });
    expect(store.calls.slice(4).map(({ verb }) => verb)).toEqual(Array(3).fill(VERBS.refund));
    expect(await left(team, "red")).toBe(1);
  });

  test("gives back what was taken where another one fails", async () => {
    const store = new OutsideStore();
    const user = make(store, "user", 5);
    const gone = new AbortController();
    gone.abort(new Error("gone"));
    const asked = [{ limiter: user, key: "ann" }];
    await expect(consumeAtomic(asked, { atomic: false, signal: gone.signal })).rejects.toThrow(
      "gone",
    );
    const bad = make(store, "logs", 5);
    vi.spyOn(bad, "consume").mockRejectedValue(new Error("full"));
    await expect(
      consumeAtomic([...asked, { limiter: bad, key: "ann" }], { atomic: false }),
    ).rejects.toThrow("full");
    expect(await left(user, "ann")).toBe(5);
  });
});

describe("a set is answered without the store", () => {
  test("where a request of it was denied just now", async () => {
    const store = new OutsideStore();
    const [user, team] = [make(store, "user", 5), make(store, "team", 1)];
    const requests = [
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue" },
    ];
    await consumeAtomic(requests);
    const denied = await consumeAtomic(requests);
    expect(denied.decisions[1]).toMatchObject({ allowed: false, source: "store" });
    const asked = store.calls.length;
    const again = await consumeAtomic(requests);
    expect(again).toMatchObject({
      allowed: false,
      decisions: [
        { allowed: true, reason: "ok", limit: 5, remaining: 0, source: "deny-cache" },
        { allowed: false, reason: "quota", limit: 1, source: "deny-cache" },
      ],
    });
    expect(store.calls.length).toBe(asked);
    // A single consume knows of it too, and a refund ends it.
    expect((await team.consume("blue")).source).toBe("deny-cache");
    await team.refund("blue", 1);
    expect((await consumeAtomic(requests)).allowed).toBe(true);
  });

  test("but never where a shadow is of it, which has no vote whatever is known of it", async () => {
    const store = new OutsideStore();
    const [user, shadow] = [make(store, "user", 5), make(store, "trial", 1, { enforce: false })];
    await shadow.consume("blue", { cost: 1 });
    for (let i = 0; i < 2; i++) await shadow.consume("blue");
    const { allowed, decisions } = await consumeAtomic([
      { limiter: user, key: "ann" },
      { limiter: shadow, key: "blue" },
    ]);
    expect(allowed).toBe(true);
    expect(decisions).toMatchObject([
      { allowed: true, remaining: 4, source: "store" },
      { allowed: true, reason: "quota", source: "store" },
    ]);
  });

  test("but not by a denial of requests that were added up", async () => {
    const store = new OutsideStore();
    const user = make(store, "user", 5);
    const twice = Array.from({ length: 2 }, () => ({ limiter: user, key: "ann", cost: 3 }));
    expect((await consumeAtomic(twice)).allowed).toBe(false);
    expect(await user.consume("ann", { cost: 3 })).toMatchObject({
      allowed: true,
      source: "store",
    });
  });

  test("where all units were taken ahead, and none is spent if they were not", async () => {
    const store = new OutsideStore();
    const prefetch = { size: 4, ttl: "1m" };
    const [user, team] = [
      make(store, "user", 50, { prefetch }),
      make(store, "team", 50, { prefetch }),
    ];
    const requests = [
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue", cost: 2 },
    ];
    await user.consume("ann");
    expect((await consumeAtomic(requests)).decisions[0]?.source).toBe("store");
    await team.consume("blue");
    const asked = store.calls.length;
    const spent = await consumeAtomic(requests);
    expect(spent.decisions.map(({ source }) => source)).toEqual(["prefetch", "prefetch"]);
    expect(store.calls.length).toBe(asked);
    // 1 and 1 are left: not enough for the second one.
    expect((await consumeAtomic(requests)).decisions[0]?.source).toBe("store");
    expect((await user.consume("ann")).source).toBe("prefetch");
    await user.close();
    await team.close();
    expect([
      await left(make(store, "user", 50), "ann"),
      await left(make(store, "team", 50), "blue"),
    ]).toEqual([45, 43]);
  });
});

describe("a call whose cost will be settled", () => {
  const options = { blockFor: "1h" };

  test.each(["consume", "consumeSync", "consumeAtomic"] as const)(
    "starts no block by its denial: %s",
    async (verb) => {
      const logins = make(new MemoryStore({ clock: new ManualClock() }), "logins", 2, options);
      const login = async (settle: boolean): Promise<Decision | undefined> => {
        if (verb !== "consumeAtomic") return logins[verb]("ann", { settle });
        const { decisions } = await consumeAtomic([{ limiter: logins, key: "ann", settle }]);
        return decisions[0];
      };
      const reasons = (await Promise.all([login(true), login(true), login(true)])).map(
        (decision) => decision?.reason,
      );
      expect(reasons).toEqual(["ok", "ok", "quota"]);
      // All were right: nothing was to be paid.
      await logins.refund("ann", 2);
      expect((await logins.peek("ann")).remaining).toBe(2);
      expect((await Promise.all([login(false), login(false), login(false)]))[2]?.reason).toBe(
        "quota",
      );
      expect((await logins.peek("ann")).reason).toBe("blocked");
    },
  );
});

describe("consumeAtomic refuses", () => {
  test("limiters of different stores", async () => {
    const [one, two] = [make(new MemoryStore(), "a", 1), make(new MemoryStore(), "b", 1)];
    const requests = [
      { limiter: one, key: "k" },
      { limiter: two, key: "k" },
    ];
    for (const atomic of [true, false]) {
      await expect(consumeAtomic(requests, { atomic })).rejects.toMatchObject({
        code: "INVALID_OPTION",
        option: "requests[1].limiter.store",
      });
    }
    expect([one.store.size, two.store.size]).toEqual([0, 0]);
  });

  test("what is no limiter", async () => {
    const values: readonly unknown[] = [undefined, null, {}, "user", { store: new MemoryStore() }];
    for (const value of values) {
      const limiter = value as RateLimiter;
      await expect(consumeAtomic([{ limiter, key: "k" }])).rejects.toMatchObject({
        option: "requests[0].limiter",
      });
    }
  });

  test("what is no boolean for atomic", async () => {
    const limiter = make(new MemoryStore(), "a", 1);
    for (const atomic of ["false", 0, null] as readonly unknown[]) {
      await expect(
        consumeAtomic([{ limiter, key: "k" }], { atomic: atomic as boolean }),
      ).rejects.toMatchObject({ option: "atomic" });
    }
  });
});

describe("when the store fails", () => {
  test("each limiter answers by its own failure policy, and all must allow", async () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const open = make(store, "open", 1, { onStoreFailure: "open" });
    const closed = make(store, "closed", 1, { onStoreFailure: "closed" });
    expect(
      await consumeAtomic([
        { limiter: open, key: "a" },
        { limiter: open, key: "b" },
      ]),
    ).toMatchObject({
      allowed: true,
      decisions: [{ source: "fail-open" }, { source: "fail-open" }],
    });
    expect(
      await consumeAtomic([
        { limiter: open, key: "a" },
        { limiter: closed, key: "b" },
      ]),
    ).toMatchObject({
      allowed: false,
      decisions: [{ source: "fail-open" }, { source: "fail-closed" }],
    });
  });

  test("atomic: false refunds nothing that was never counted", async () => {
    const store = new OutsideStore();
    const user = make(store, "user", 5);
    const team = make(store, "team", 1, { onStoreFailure: "closed" });
    await user.consume("ann", { cost: 2 });
    store.behaviour = "fails";
    const { allowed } = await consumeAtomic(
      [
        { limiter: user, key: "ann" },
        { limiter: team, key: "blue" },
      ],
      { atomic: false },
    );
    store.behaviour = "answers";
    expect(allowed).toBe(false);
    expect(await left(user, "ann")).toBe(3);
  });
});

test("a fallback blocks a denied key as long as its own option says", async () => {
  const store = new OutsideStore();
  store.behaviour = "fails";
  const clock = new ManualClock();
  const fallback = make(new MemoryStore({ clock }), "own", 1, { blockFor: "2h" });
  const limiter = make(store, "user", 5, { onStoreFailure: { fallback } });
  await consumeAtomic([{ limiter, key: "ann" }]);
  const { decisions } = await consumeAtomic([{ limiter, key: "ann" }]);
  expect(decisions).toMatchObject([{ allowed: false, source: "fallback" }]);
  expect(await fallback.peek("ann")).toMatchObject({ reason: "blocked", retryAfterMs: 7200e3 });
});

test("events say how long a decision of several limiters took", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  vi.advanceTimersByTime(1);
  const store = new OutsideStore();
  const limiter = make(store, "user", 5);
  const durations: number[] = [];
  limiter.events.on("decision", ({ durationMs }) => durations.push(durationMs));
  const decided = consumeAtomic([{ limiter, key: "ann" }]);
  vi.advanceTimersByTime(20);
  await decided;
  vi.useRealTimers();
  expect(durations).toEqual([20]);
});

test.each([
  ["open", "resolves"],
  ["throw", "rejects"],
] as const)("under %s a denial whose block fails %s", async (onStoreFailure, how) => {
  const store = new OutsideStore();
  const limiter = make(store, "user", 1, { blockFor: "1m", onStoreFailure });
  const submit = store.submit.bind(store);
  store.submit = (call, done) => {
    if (call.verb === VERBS.block) done(new Error("connection lost"));
    else submit(call, done);
  };
  await limiter.consume("ann");
  const decided = consumeAtomic([{ limiter, key: "ann" }]);
  if (how === "rejects") await expect(decided).rejects.toThrow("connection lost");
  else expect((await decided).allowed).toBe(false);
});

/** What is refused: named with option, value and what is allowed, and before anything is written. */
import { describe, expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type AtomicRequest,
  consumeAtomic,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  slidingLog,
  tokenBucket,
} from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";

const policy = tokenBucket({ limit: 5, period: "1s" });

type Options = RateLimiterOptions & { readonly store?: undefined };

const refused = (option: string): unknown =>
  expect.objectContaining({
    name: InvalidOptionError.name,
    code: "INVALID_OPTION",
    option,
    allowed: expect.stringMatching(/./) as unknown,
    message: expect.stringContaining(option) as unknown,
  });

describe("a limiter refuses", () => {
  const bad: readonly (readonly [option: string, options: Record<string, unknown>])[] = [
    ["policyCache", { policy: () => policy, policyCache: 5 }],
    ["policyCache.age", { policy: () => policy, policyCache: { age: 5 } }],
    ["policyCache.maxAge", { policy: () => policy, policyCache: { maxAge: -1 } }],
    ["policyCache.maxKeys", { policy: () => policy, policyCache: { maxKeys: 0 } }],
    ["replace", { policy, replace: 1 }],
    ["policy", { policy: null }],
    ["policy", { policy: [] }],
    ["policy", { policy: "token-bucket" }],
    ["policy.algorithm", { policy: { limit: 5, period: "1s" } }],
    ["policy.limit", { policy: { algorithm: "gcra", limit: -5, period: "1s" } }],
    ["policy[1]", { policy: [tokenBucket({ name: "a", limit: 1, period: "1s" }), 5] }],
    ["policy[0].name", { policy: [policy, tokenBucket({ name: "a", limit: 1, period: "1s" })] }],
    [
      "policy[1].name",
      {
        policy: [
          tokenBucket({ name: "a", limit: 1, period: "1s" }),
          fixedWindow({ name: "a", limit: 1, window: "1s" }),
        ],
      },
    ],
    ["store", { policy, store: null }],
    ["store", { policy, store: {} }],
    ["store", { policy, store: "redis://localhost" }],
    ["store", { policy, store: MemoryStore }],
    ["namespace", { policy, namespace: "" }],
    ["namespace", { policy, namespace: "a:b" }],
    ["namespace", { policy, namespace: "{a}" }],
    ["namespace", { policy, namespace: "x".repeat(65) }],
    ["namespace", { policy, namespace: null }],
    ["namespace", { policy, namespace: 5 }],
    ["identity", { policy, identity: "md5" }],
    ["identity", { policy, identity: null }],
    ["identity", { policy, identity: {} }],
    ["identity.hmacSecret", { policy, identity: { hmacSecret: "too short" } }],
    ["identity.hmacSecret", { policy, identity: { hmacSecret: 5 } }],
    ["timeout", { policy, timeout: 0 }],
    ["timeout", { policy, timeout: -1 }],
    ["timeout", { policy, timeout: 0.999 }],
    ["timeout", { policy, timeout: "1h1ms" }],
    ["timeout", { policy, timeout: Number.NaN }],
    ["timeout", { policy, timeout: Infinity }],
    ["timeout", { policy, timeout: null }],
    ["timeout", { policy, timeout: "soon" }],
    ["onStoreFailure", { policy, onStoreFailure: "allow" }],
    ["onStoreFailure", { policy, onStoreFailure: null }],
    ["onStoreFailure", { policy, onStoreFailure: true }],
    ["onStoreFailure.fallback", { policy, onStoreFailure: {} }],
    ["onStoreFailure.fallback", { policy, onStoreFailure: { fallback: {} } }],
    ["onStoreFailure.fall", { policy, onStoreFailure: { fall: 5 } }],
    ["breaker", { policy, breaker: true }],
    ["breaker", { policy, breaker: null }],
    ["breaker", { policy, breaker: "1s" }],
    ["breaker", { policy, breaker: [] }],
    ["breaker.failure", { policy, breaker: { failure: 5 } }],
    ["breaker.failures", { policy, breaker: { failures: 0 } }],
    ["breaker.failures", { policy, breaker: { failures: 1.5 } }],
    ["breaker.failures", { policy, breaker: { failures: 1e6 + 1 } }],
    ["breaker.failures", { policy, breaker: { failures: "5" } }],
    ["breaker.probeEvery", { policy, breaker: { probeEvery: 0 } }],
    ["breaker.probeEvery", { policy, breaker: { probeEvery: "1h1ms" } }],
    ["breaker.probeEvery", { policy, breaker: { probeEvery: "soon" } }],
    ["hooks.onRecovery", { policy, hooks: { onRecovery: 5 } }],
    ["blockFor", { policy, blockFor: 0 }],
    ["blockFor", { policy, blockFor: -5 }],
    ["blockFor", { policy, blockFor: "101 years" }],
    ["blockFor", { policy, blockFor: "36526d" }],
    ["blockFor", { policy, blockFor: null }],
    ["enforce", { policy, enforce: 0 }],
    ["enforce", { policy, enforce: "false" }],
    ["enforce", { policy, enforce: null }],
    ["hooks", { policy, hooks: null }],
    ["hooks", { policy, hooks: () => {} }],
    ["hooks.onDenied", { policy, hooks: { onDenied: "log" } }],
    ["hooks.onAllowed", { policy, hooks: { onAllowed: null } }],
    ["hooks.onBlocked", { policy, hooks: { onBlocked: () => {} } }],
    ["polciy", { policy, polciy: policy }],
    ["limit", { policy, limit: 5 }],
  ];

  test.each(bad)("%s in %o", (option, options) => {
    const store = new PureStore(new ManualClock());
    const complete: object = "store" in options ? options : { ...options, store };
    expect(() => new RateLimiter(complete as Options)).toThrow(refused(option));
    expect(store.lifetimes().size).toBe(0);
    // Nothing keeps the name either: the next one to come may have it.
    expect(
      new RateLimiter({ policy: tokenBucket({ limit: 77, period: "1s" }), store }),
    ).toBeInstanceOf(RateLimiter);
  });

  test.each([[undefined], [null], [5], ["fast"], [[]]])("%o for its options", (options) => {
    expect(() => new RateLimiter(options as unknown as Options)).toThrow(refused("options"));
  });

  test("takes undefined for absent", () => {
    const limiter = new RateLimiter({
      policy,
      store: undefined,
      namespace: undefined,
      identity: undefined,
      timeout: undefined,
      onStoreFailure: undefined,
      blockFor: undefined,
      enforce: undefined,
      hooks: { onAllowed: undefined },
    });
    expect(limiter.consumeSync("k").remaining).toBe(4);
  });
});

const NO_KEYS: readonly unknown[] = [
  "",
  undefined,
  null,
  5,
  {},
  ["k"],
  "x".repeat(4097),
  "é".repeat(2049),
  "\uD800",
  "a\uDFFFb",
];
const NO_COSTS: readonly unknown[] = [
  -1,
  -0.001,
  0.0005,
  1e9 + 1,
  Number.NaN,
  Infinity,
  -Infinity,
  "1",
  null,
  true,
  1n,
  {},
];
const NO_OPTIONS: readonly unknown[] = [null, 5, "fast", [], () => ({})];

type Call = (limiter: RateLimiter<PureStore>, value: never) => unknown;

interface Entry {
  readonly name: string;
  readonly withKey?: Call;
  readonly withCost?: Call;
  /** What the cost is called there. */
  readonly cost?: string;
  readonly withOptions?: Call;
  readonly withPolicy?: Call;
  readonly withDuration?: Call;
}

const entries: readonly Entry[] = [
  {
    name: "consume",
    withKey: (limiter, key) => limiter.consume(key),
    withCost: (limiter, cost) => limiter.consume("k", { cost }),
    withOptions: (limiter, options) => limiter.consume("k", options),
    withPolicy: (limiter, value) => limiter.consume("k", { policy: value }),
  },
  {
    name: "consumeSync",
    withKey: (limiter, key) => limiter.consumeSync(key),
    withCost: (limiter, cost) => limiter.consumeSync("k", { cost }),
    withOptions: (limiter, options) => limiter.consumeSync("k", options),
    withPolicy: (limiter, value) => limiter.consumeSync("k", { policy: value }),
  },
  {
    name: "consumeUpTo",
    withKey: (limiter, key) => limiter.consumeUpTo(key, { cost: 1 }),
    withCost: (limiter, cost) => limiter.consumeUpTo("k", { cost }),
    withOptions: (limiter, options) => limiter.consumeUpTo("k", options),
    withPolicy: (limiter, value) => limiter.consumeUpTo("k", { cost: 1, policy: value }),
  },
  {
    name: "consumeMany",
    withKey: (limiter, key) => limiter.consumeMany([{ key: "good" }, { key }]),
    withCost: (limiter, cost) => limiter.consumeMany([{ key: "good" }, { key: "k", cost }]),
    withOptions: (limiter, options) => limiter.consumeMany([{ key: "k" }], options),
  },
  {
    name: "consumeAtomic",
    withKey: (limiter, key) =>
      consumeAtomic([
        { limiter, key: "good" },
        { limiter, key },
      ]),
    withCost: (limiter, cost) =>
      consumeAtomic([
        { limiter, key: "good" },
        { limiter, key: "k", cost },
      ]),
    withOptions: (limiter, options) => consumeAtomic([{ limiter, key: "k" }], options),
  },
  {
    name: "peek",
    withKey: (limiter, key) => limiter.peek(key),
    withCost: (limiter, cost) => limiter.peek("k", { cost }),
    withOptions: (limiter, options) => limiter.peek("k", options),
    withPolicy: (limiter, value) => limiter.peek("k", { policy: value }),
  },
  {
    name: "refund",
    withKey: (limiter, key) => limiter.refund(key, 1),
    withCost: (limiter, amount) => limiter.refund("k", amount),
    cost: "amount",
  },
  {
    name: "penalize",
    withKey: (limiter, key) => limiter.penalize(key, 1),
    withCost: (limiter, amount) => limiter.penalize("k", amount),
    cost: "amount",
  },
  {
    name: "block",
    withKey: (limiter, key) => limiter.block(key, "1s"),
    withDuration: (limiter, duration) => limiter.block("k", duration),
  },
  { name: "unblock", withKey: (limiter, key) => limiter.unblock(key) },
  { name: "reset", withKey: (limiter, key) => limiter.reset(key) },
];

describe.each(entries)("$name refuses, and writes nothing for,", (entry) => {
  const { withKey, withCost, cost = "cost", withOptions, withPolicy, withDuration } = entry;

  async function expectRefused(call: Call, value: unknown, option: string): Promise<void> {
    const store = new PureStore(new ManualClock());
    const limiter = new RateLimiter({ policy, store });
    await expect(
      (async () => call(limiter, value as never))(),
      String(value),
    ).rejects.toMatchObject({
      code: "INVALID_OPTION",
      option,
      allowed: expect.stringMatching(/./) as unknown,
    });
    expect(store.lifetimes().size).toBe(0);
    expect(limiter.consumeSync("k").remaining).toBe(4);
  }

  if (withKey !== undefined) {
    test("what is no key", async () => {
      for (const key of NO_KEYS) await expectRefused(withKey, key, "key");
    });
  }

  if (withCost !== undefined) {
    test("what is no amount", async () => {
      for (const value of NO_COSTS) await expectRefused(withCost, value, cost);
    });
  }

  if (withOptions !== undefined) {
    test("what are no options", async () => {
      for (const options of NO_OPTIONS) await expectRefused(withOptions, options, "options");
    });

    test("names it does not know", async () => {
      for (const name of ["costs", "Cost", "key", "limit", "__proto"]) {
        await expectRefused(withOptions, { [name]: 1 }, name);
      }
    });
  }

  if (withPolicy !== undefined) {
    test("what is no policy of this limiter", async () => {
      for (const value of [null, 5, "gcra", []]) {
        await expectRefused(withPolicy, value, "policy");
      }
      await expectRefused(withPolicy, { limit: 1 }, "policy.algorithm");
      const unsound = { algorithm: "gcra", limit: -1, period: "1s" };
      await expectRefused(withPolicy, unsound, "policy.limit");
      const other = [tokenBucket({ name: "other", limit: 1, period: "1s" })];
      await expectRefused(withPolicy, other, "policy.name");
    });
  }

  if (withDuration !== undefined) {
    test("what is no duration", async () => {
      const values = [
        0,
        -1,
        0.0005,
        Number.NaN,
        -Infinity,
        "",
        "soon",
        "36526d",
        null,
        undefined,
        {},
      ];
      for (const value of values) await expectRefused(withDuration, value, "duration");
    });
  }
});

describe("amounts that are too large or too small for a verb", () => {
  test("consumeUpTo wants whole units, at least one", async () => {
    const limiter = new RateLimiter({ policy });
    for (const cost of [0, 0.5, 1.5, undefined]) {
      await expect(limiter.consumeUpTo("k", { cost: cost as number })).rejects.toMatchObject({
        option: "cost",
        value: cost,
      });
    }
  });

  test("requests must be a list of objects with known names", async () => {
    const store = new PureStore(new ManualClock());
    const limiter = new RateLimiter({ policy, store });
    for (const request of [null, 5, "k", ["k"]]) {
      await expect(limiter.consumeMany([{ key: "a" }, request as never])).rejects.toMatchObject({
        option: "requests[1]",
      });
      await expect(
        consumeAtomic([{ limiter, key: "a" }, request as unknown as AtomicRequest]),
      ).rejects.toMatchObject({ option: "requests[1]" });
    }
    for (const requests of [null, 5, { key: "a" }, "many"]) {
      await expect(limiter.consumeMany(requests as never)).rejects.toMatchObject({
        option: "requests",
      });
      await expect(consumeAtomic(requests as never)).rejects.toMatchObject({ option: "requests" });
    }
    await expect(
      limiter.consumeMany([{ key: "a", amount: 5 } as { key: string }]),
    ).rejects.toMatchObject({ option: "requests[0].amount" });
    expect(store.lifetimes().size).toBe(0);
  });
});

describe("two limiters of one store", () => {
  /** One that was dropped would leave its names to others. */
  const kept: RateLimiter<PureStore>[] = [];
  const make = (store: PureStore, of: Policy | readonly Policy[], namespace = "sluice") => {
    const limiter = new RateLimiter({ policy: of, store, namespace });
    kept.push(limiter);
    return limiter;
  };

  test("may share a name with equal options", () => {
    const store = new PureStore(new ManualClock());
    const [first, second] = [
      make(store, policy),
      make(store, tokenBucket({ period: 1000, limit: 5, burst: 5 })),
    ];
    first.consumeSync("k", { cost: 2 });
    expect(second.consumeSync("k").remaining).toBe(2);
  });

  test("may not share a name with other options, and the second is told whose they are", () => {
    const store = new PureStore(new ManualClock());
    make(store, policy);
    expect(() => make(store, tokenBucket({ limit: 6, period: "1s" }))).toThrow(
      expect.objectContaining({
        option: "policy",
        message: expect.stringMatching(/sluice:token-bucket.*"limit":5/) as unknown,
      }),
    );
  });

  test("may have other options under another name, namespace or algorithm", () => {
    const store = new PureStore(new ManualClock());
    make(store, policy);
    make(store, tokenBucket({ name: "six", limit: 6, period: "1s" }));
    make(store, tokenBucket({ limit: 6, period: "1s" }), "other");
    make(store, fixedWindow({ limit: 6, window: "1s" }));
    make(store, fixedWindow({ name: "six", limit: 6, window: "1s" }));
    expect(() => make(store, fixedWindow({ name: "six", limit: 7, window: "1s" }))).toThrow(
      InvalidOptionError,
    );
  });

  test("may have other options once the first is closed, by all who hold the name", async () => {
    const store = new PureStore(new ManualClock());
    const holders = [make(store, policy), make(store, policy)];
    const other = tokenBucket({ limit: 6, period: "1s" });
    await holders[0]?.close();
    await holders[0]?.close();
    expect(() => make(store, other)).toThrow(InvalidOptionError);
    await holders[1]?.close();
    expect(make(store, other).consumeSync("k").limit).toBe(6);
  });

  test("a limiter that is refused leaves no claim on the names it could have had", () => {
    const store = new PureStore(new ManualClock());
    const named = (name: string, limit: number): Policy =>
      tokenBucket({ name, limit, period: "1s" });
    make(store, named("b", 1));
    expect(() => make(store, [named("a", 1), named("b", 2)])).toThrow(InvalidOptionError);
    expect(make(store, named("a", 99)).consumeSync("k").limit).toBe(99);
  });

  test("may not share a name between a policy function and fixed options, or two functions", () => {
    const store = new PureStore(new ManualClock());
    make(store, policy);
    const choose = () => policy;
    const dynamic = new RateLimiter({ policy: choose, store });
    expect(() => dynamic.consumeSync("k")).toThrow(refused("policy"));
    const elsewhere = new PureStore(new ManualClock());
    new RateLimiter({ policy: choose, store: elsewhere }).consumeSync("k");
    expect(new RateLimiter({ policy: choose, store: elsewhere }).consumeSync("k").remaining).toBe(
      3,
    );
    const other = new RateLimiter({ policy: () => policy, store: elsewhere });
    expect(() => other.consumeSync("k")).toThrow(refused("policy"));
  });
});

describe("a policy function", () => {
  test("is checked call by call", () => {
    const results: unknown[] = [
      undefined,
      [],
      5,
      Promise.resolve(policy),
      { algorithm: "gcra", limit: -1, period: "1s" },
    ];
    const limiter = new RateLimiter({ policy: () => results.shift() as Policy });
    for (const option of [
      "policy(key)",
      "policy(key)",
      "policy(key)",
      "policy(key)",
      "policy(key).limit",
    ]) {
      expect(() => limiter.consumeSync(option + results.length)).toThrow(refused(option));
    }
    expect(limiter.store.size).toBe(0);
  });

  test("may not make a name of each key", () => {
    const limiter = new RateLimiter({
      policy: (key) => tokenBucket({ name: key, limit: 1, period: "1h" }),
    });
    for (let i = 0; i < 1024; i++) limiter.consumeSync(`k${i}`);
    expect(() => limiter.consumeSync("k1024")).toThrow(refused("policy(key).name"));
    expect(limiter.consumeSync("k0").allowed).toBe(false);
  });
});

describe('identity "plain"', () => {
  test.each(["{", "}", "{a}", "a\0", "\0"])("refuses the key %j", async (key) => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store, identity: "plain" });
    await expect(limiter.consume(key)).rejects.toMatchObject({ option: "key" });
    await expect(limiter.block(key, "1s")).rejects.toMatchObject({ option: "key" });
    expect(store.calls).toEqual([]);
  });

  test("takes what would not break the key's form", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store, identity: "plain" });
    for (const key of ["user:1", "a b", "👍", "[x]", "\n"]) {
      await limiter.consume(key);
      expect([...store.pure.lifetimes().keys()]).toContain(`sluice:token-bucket:{${key}}`);
    }
  });
});

describe("a sliding log that is full", () => {
  test("is an error of the call that would be one hit too many", async () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({
      policy: slidingLog({ limit: 10_000, window: "1h" }),
      store: new MemoryStore({ clock }),
    });
    for (let i = 0; i < 10_000; i++) {
      limiter.consumeSync("k", { cost: 0.001 });
      clock.advance(0.001);
    }
    await expect(limiter.consume("k")).rejects.toMatchObject({ option: "cost" });
    await expect(limiter.consumeUpTo("k", { cost: 2 })).rejects.toMatchObject({ option: "cost" });
    await expect(limiter.peek("k")).resolves.toMatchObject({ allowed: true });
  });
});

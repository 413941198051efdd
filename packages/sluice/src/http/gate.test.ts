/** What a gate makes of a request's charges. */
import { runInNewContext } from "node:vm";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  call,
  callWith,
  ended,
  enter,
  fieldsIn,
  gateOf,
  left,
  outcomeOf,
} from "../../test/support/gates.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  fixedWindow,
  MemoryStore,
  type Policy,
  RateLimiter,
  type Store,
  tokenBucket,
  unlimited,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { type Charge, createGate, type Pass } from "./index.js";

const hourly = (limit: number, name = "token-bucket"): Policy =>
  tokenBucket({ name, limit, period: "1h" });

function limiterOf(limit: number, name?: string, store?: Store): RateLimiter {
  const clock = new ManualClock();
  return new RateLimiter({
    policy: hourly(limit, name),
    store: store ?? new MemoryStore({ clock }),
  });
}

describe("one charge", () => {
  test("is taken at once where the store is in this process, and says so", () => {
    const pass = enter(gateOf({ limiter: limiterOf(2), key: "k" }));
    expect(pass).toEqual({
      fields: [
        ["RateLimit-Policy", '"token-bucket";q=2;w=3600'],
        ["RateLimit", '"token-bucket";r=1;t=1800'],
      ],
      denial: undefined,
      settle: undefined,
    });
  });

  test("is refused when nothing is left, as a problem that no cache keeps", () => {
    const gate = gateOf({ limiter: limiterOf(1), key: "k" });
    void enter(gate);
    const { fields, denial, settle } = enter(gate) as Pass;
    expect(fields).toEqual([
      ["RateLimit-Policy", '"token-bucket";q=1;w=3600'],
      ["RateLimit", '"token-bucket";r=0;t=3600'],
      ["Retry-After", "3600"],
      ["Cache-Control", "no-store"],
    ]);
    expect(denial).toMatchObject({
      status: 429,
      reason: "quota",
      retryAfterMs: 3_600_000,
      decisions: [{ allowed: false, policy: "token-bucket" }],
      problem: {
        type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
        title: "Quota exceeded",
        status: 429,
        "violated-policies": ["token-bucket"],
      },
    });
    expect(settle).toBeUndefined();
  });

  test("has a cost", async () => {
    const limiter = limiterOf(10);
    const gate = gateOf({ limiter, key: "k", cost: 3.5 });
    await enter(gate);
    expect(await left(limiter, "k")).toBe(6);
    expect(await outcomeOf(enter(gateOf({ limiter, key: "k", cost: 11 })))).toBe(
      "429 too-costly Infinity",
    );
    const denied = await enter(gateOf({ limiter, key: "k", cost: 11 }));
    expect(fieldsIn(denied)).not.toHaveProperty("Retry-After");
    expect(denied.denial?.problem.detail).toBe("The request costs more than the whole quota.");
  });

  test("of a blocked key is abuse", async () => {
    const limiter = limiterOf(5);
    await limiter.block("k", "10s");
    const pass = await enter(gateOf({ limiter, key: "k" }));
    expect(pass.denial).toMatchObject({ status: 429, reason: "blocked", retryAfterMs: 10_000 });
    expect(pass.denial?.problem.type).toMatch(/#abnormal-usage-detected$/);
    expect(fieldsIn(pass).RateLimit).toBe('"token-bucket";r=0;t=10');
  });

  test("may be promised, by any kind of promise", async () => {
    const promised = async (charge: Charge): Promise<Charge> => charge;
    const charge: Charge = { limiter: limiterOf(1), key: "k" };
    const ofOtherRealm = runInNewContext("(value) => Promise.resolve(value)") as typeof promised;
    expect(await outcomeOf(enter(gateOf(() => promised(charge))))).toBe("pass");
    expect(await outcomeOf(enter(gateOf(() => ofOtherRealm(charge))))).toBe("429 quota 3600000");
  });

  test.each([undefined, null, false, 0, "", [], [false, null, undefined]] as const)(
    "may be none: %j",
    (charges) => {
      const nothing = { fields: [], denial: undefined, settle: undefined };
      expect(enter(gateOf(charges))).toEqual(nothing);
    },
  );

  test("of a limiter alone is the client's address", async () => {
    const limiter = limiterOf(1);
    const gate = createGate<object>(limiter);
    expect(await outcomeOf(enter(gate))).toBe("pass");
    expect(await left(limiter, "192.0.2.7")).toBe(0);
    const neighbours = ["2001:db8::1", "2001:db8:0:0:ffff::2"].map((address) => ({
      ...call,
      address,
    }));
    expect(await outcomeOf(enter(gate, neighbours[0]))).toBe("pass");
    expect(await outcomeOf(enter(gate, neighbours[1]))).toBe("429 quota 3600000");
  });

  test.each(["", undefined])("of a client without an address, %j, is a mistake", (address) => {
    const gate = createGate<object>(limiterOf(1));
    expect(() => enter(gate, { ...call, address })).toThrow("charge.key");
  });

  test("of an address of the user's own", async () => {
    const limiter = limiterOf(1);
    const gate = createGate<object>({
      charge: (_raw, { address }) => ({ limiter, key: address }),
      address: (_raw, described) => described.header("x-real-ip"),
    });
    await enter(gate, callWith({ "x-real-ip": "198.51.100.1" }));
    expect(await left(limiter, "198.51.100.1")).toBe(0);
    expect(await left(limiter, "192.0.2.7")).toBe(1);
  });
});

describe("several charges", () => {
  test("of one store are one call, all or nothing", async () => {
    const store = new OutsideStore();
    const [user, team] = [limiterOf(5, "user", store), limiterOf(1, "team", store)];
    const gate = gateOf([
      { limiter: user, key: "ann" },
      { limiter: team, key: "blue" },
    ]);
    const passed = await enter(gate);
    expect(fieldsIn(passed)).toEqual({
      "RateLimit-Policy": '"user";q=5;w=3600, "team";q=1;w=3600',
      RateLimit: '"user";r=4;t=720, "team";r=0;t=3600',
    });
    expect(store.calls).toHaveLength(1);
    const refused = await enter(gate);
    expect(refused.denial).toMatchObject({
      status: 429,
      retryAfterMs: 3_600_000,
      problem: { "violated-policies": ["team"] },
    });
    expect(fieldsIn(refused).RateLimit).toBe('"user";r=4;t=720, "team";r=0;t=3600');
    expect(await left(user, "ann")).toBe(4);
  });

  test("of several stores are taken one after another, and undone once by a later refusal", async () => {
    const stores = [new OutsideStore(), new OutsideStore(), new OutsideStore()] as const;
    const [a, b, none] = [
      limiterOf(5, "a", stores[0]),
      limiterOf(5, "b", stores[1]),
      limiterOf(0, "none", stores[2]),
    ];
    const gate = gateOf([
      { limiter: a, key: "k", cost: 2, settle: () => 0 },
      { limiter: b, key: "k" },
      { limiter: none, key: "k" },
    ]);
    const pass = await enter(gate);
    expect(pass.denial?.reason).toBe("too-costly");
    expect(pass.settle).toBeUndefined();
    expect([await left(a, "k"), await left(b, "k")]).toEqual([5, 5]);
    // A consume, and a refund.
    expect(stores.map(({ calls }) => calls.length)).toEqual([3, 3, 1]);
    expect(fieldsIn(pass).RateLimit).toBe('"a";r=5;t=0, "b";r=5;t=0, "none";r=0');
  });

  test("that fail half way give back what was taken", async () => {
    const down = new OutsideStore();
    down.behaviour = "fails";
    const a = limiterOf(5, "a");
    const b = new RateLimiter({ policy: hourly(5, "b"), store: down, onStoreFailure: "throw" });
    const gate = gateOf([
      { limiter: a, key: "k" },
      { limiter: b, key: "k" },
    ]);
    expect(await outcomeOf(enter(gate))).toBe("503 store 1000");
    expect(await left(a, "k")).toBe(5);
  });

  test("wait for the longest, and a failure says least", async () => {
    const store = new OutsideStore();
    const long = limiterOf(1, "long", store);
    const short = new RateLimiter({
      policy: tokenBucket({ name: "short", limit: 1, period: "1m" }),
      store,
    });
    const charges = [
      { limiter: short, key: "k" },
      { limiter: long, key: "k" },
    ];
    await enter(gateOf(charges));
    const refused = await enter(gateOf(charges));
    expect(refused.denial).toMatchObject({
      retryAfterMs: 3_600_000,
      problem: { "violated-policies": ["short", "long"] },
    });
  });

  test("that need names of their own are refused without them", async () => {
    const [a, b] = [limiterOf(5), limiterOf(5)];
    const charges: Charge[] = [
      { limiter: a, key: "k" },
      { limiter: b, key: "k" },
    ];
    expect(() => enter(gateOf(charges))).toThrow("charge[1].limiter");
    expect(await left(a, "k")).toBe(5);
    const hidden = charges.map((charge, i) => ({ ...charge, show: i === 0 }));
    expect(await outcomeOf(enter(gateOf(hidden)))).toBe("pass");
    const shadow = new RateLimiter({ policy: hourly(5), enforce: false });
    const free = () => new RateLimiter({ policy: unlimited() });
    const others = [a, shadow, free(), free()].map((limiter) => ({ limiter, key: "k" }));
    expect(await outcomeOf(enter(gateOf(others)))).toBe("pass");
  });
});

describe("what is not said", () => {
  test("of a charge that is not shown, but for the denial", async () => {
    const shown = limiterOf(5, "shown");
    const hidden = limiterOf(1, "hidden");
    const gate = gateOf([
      { limiter: shown, key: "k" },
      { limiter: hidden, key: "ann", show: false },
    ]);
    expect(fieldsIn(await enter(gate)).RateLimit).toBe('"shown";r=4;t=720');
    const refused = await enter(gate);
    expect(refused.denial?.problem).not.toHaveProperty("violated-policies");
    expect(fieldsIn(refused)).toEqual({
      "RateLimit-Policy": '"shown";q=5;w=3600',
      RateLimit: '"shown";r=4;t=720',
      "Retry-After": "3600",
      "Cache-Control": "no-store",
    });
  });

  test("of a shadow", async () => {
    const limiter = new RateLimiter({ policy: hourly(1), enforce: false });
    const gate = gateOf({ limiter, key: "k" });
    for (let i = 0; i < 3; i++) expect(await enter(gate)).toMatchObject({ fields: [] });
  });

  test("of limits, where fields are false", async () => {
    const gate = gateOf({ limiter: limiterOf(1), key: "k" }, { fields: false });
    expect((await enter(gate)).fields).toEqual([]);
    expect((await enter(gate)).fields).toEqual([
      ["Retry-After", "3600"],
      ["Cache-Control", "no-store"],
    ]);
  });

  test("but in the form that is asked for", async () => {
    const gate = gateOf({ limiter: limiterOf(2), key: "k" }, { fields: ["draft-06"] });
    expect(fieldsIn(await enter(gate))["RateLimit-Remaining"]).toBe("1");
  });
});

describe("policies of a function", () => {
  test.each([
    ["at once", (key: string) => hourly(key === "gold" ? 9 : 2)],
    ["promised", async (key: string) => hourly(key === "gold" ? 9 : 2)],
  ] as const)("%s are stated as they decided", async (_, policy) => {
    const limiter = new RateLimiter({ policy });
    const said = await Promise.all(
      ["gold", "tin"].map(async (key) => fieldsIn(await enter(gateOf({ limiter, key })))),
    );
    expect(said.map((fields) => fields.RateLimit)).toEqual([
      '"token-bucket";r=8;t=400',
      '"token-bucket";r=1;t=1800',
    ]);
  });

  test("that have the same name are stated once", async () => {
    const [a, b] = [5, 9].map((limit) => new RateLimiter({ policy: () => hourly(limit) }));
    const pass = await enter(
      gateOf([
        { limiter: a as RateLimiter, key: "k" },
        { limiter: b as RateLimiter, key: "k" },
      ]),
    );
    expect(fieldsIn(pass).RateLimit).toBe('"token-bucket";r=4;t=720');
  });

  test("that cannot be had are a failure of the store", async () => {
    const limiter = new RateLimiter({ policy: () => Promise.reject(new Error("no database")) });
    expect(await outcomeOf(enter(gateOf({ limiter, key: "k" })))).toBe("503 store 1000");
  });
});

describe("requests that are not charged", () => {
  const limiter = limiterOf(1);
  const asks = { "access-control-request-method": "POST" };

  test("are preflights, and no others", async () => {
    const gate = gateOf({ limiter, key: "k" });
    for (let i = 0; i < 3; i++) {
      expect(await enter(gate, callWith(asks, { method: "OPTIONS" }))).toMatchObject({
        fields: [],
      });
    }
    expect(await left(limiter, "k")).toBe(1);
    expect(await outcomeOf(enter(gate, { ...call, method: "OPTIONS" }))).toBe("pass");
    expect(await outcomeOf(enter(gate, callWith(asks, { method: "POST" })))).toContain("429");
    expect(await outcomeOf(enter(gate, { ...call, method: "HEAD" }))).toContain("429");
  });

  test.each([
    ["plain", () => ({})],
    ["frozen", () => Object.freeze({})],
    ["of a class", () => new Request("http://localhost/")],
  ])("came before, to the same gate: %s", async (_, make) => {
    const warn = vi.spyOn(process, "emitWarning").mockReturnValue();
    onTestFinished(() => warn.mockRestore());
    const each = limiterOf(9, "each");
    const [first, second, third] = [1, 2, 3].map(() => gateOf({ limiter: each, key: "k" })) as [
      ReturnType<typeof gateOf>,
      ReturnType<typeof gateOf>,
      ReturnType<typeof gateOf>,
    ];
    const raw = make();
    expect((await first.enter(raw, call)).fields).toHaveLength(2);
    expect((await first.enter(raw, call)).fields).toHaveLength(0);
    expect((await second.enter(raw, call)).fields).toHaveLength(2);
    expect((await third.enter(raw, call)).fields).toHaveLength(2);
    for (const gate of [first, second, third, first]) {
      expect((await gate.enter(raw, call)).fields).toHaveLength(0);
    }
    expect(await left(each, "k")).toBe(6);
    expect(warn.mock.calls.map(([, about]) => (about as { code: string }).code)).toEqual([
      "SLUICE_HTTP_CHARGED_TWICE",
      "SLUICE_HTTP_CHARGED_TWICE",
      "SLUICE_HTTP_CHARGED_TWICE",
    ]);
  });

  test("are none that are no objects: each is another", async () => {
    const each = limiterOf(9, "each");
    const gate = createGate<unknown>({ charge: () => ({ limiter: each, key: "k" }) });
    for (const raw of [undefined, undefined, "a", "a", null]) await gate.enter(raw, call);
    expect(await left(each, "k")).toBe(4);
  });
});

test("what settles is not there where nothing was taken", async () => {
  const window = fixedWindow({ limit: 1, window: "1h" });
  const shadow = new RateLimiter({ policy: window, enforce: false });
  const gate = gateOf({ limiter: shadow, key: "k", settle: () => 0 });
  const first = await enter(gate);
  const second = await enter(gate);
  expect(second.settle).toBeUndefined();
  await first.settle?.(ended);
  expect(await left(shadow, "k")).toBe(1);
});

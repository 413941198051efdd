import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../core/errors.js";
import { shown } from "../core/shown.js";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  MemoryStore,
  parsePolicy,
  type Policy,
  RateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
  unlimited,
} from "../index.js";
import { ManualClock } from "../testing/manual-clock.js";
import { caseTables } from "../testing/case-tables.js";
import { algorithmIds } from "./registry.js";
import { ruleOf, rulesOf } from "./rule.js";

interface Maker {
  readonly id: string;
  readonly make: (options: never) => Policy;
  readonly good: Readonly<Record<string, unknown>>;
  /** Names of options, by what they may be. */
  readonly units: readonly string[];
  readonly optionalUnits?: readonly string[];
  readonly spans: readonly string[];
  readonly words?: Readonly<Record<string, string>>;
}

const makers: readonly Maker[] = [
  {
    id: "token-bucket",
    make: tokenBucket,
    good: { limit: 5, period: "1s" },
    units: ["limit"],
    optionalUnits: ["burst"],
    spans: ["period"],
    words: { refill: "interval" },
  },
  {
    id: "gcra",
    make: gcra,
    good: { limit: 5, period: "1s" },
    units: ["limit"],
    optionalUnits: ["burst"],
    spans: ["period"],
  },
  {
    id: "leaky-bucket",
    make: leakyBucket,
    good: { limit: 5, period: "1s", capacity: 3 },
    units: ["limit", "capacity"],
    spans: ["period"],
  },
  {
    id: "fixed-window",
    make: fixedWindow,
    good: { limit: 5, window: "1s" },
    units: ["limit"],
    spans: ["window"],
    words: { align: "first" },
  },
  {
    id: "calendar-window",
    make: calendarWindow,
    good: { limit: 5, unit: "day" },
    units: ["limit"],
    spans: [],
    words: { unit: "week", timeZone: "Europe/Berlin", weekStartsOn: "sunday" },
  },
  {
    id: "sliding-window",
    make: slidingWindow,
    good: { limit: 5, window: "1s" },
    units: ["limit"],
    spans: ["window"],
  },
  { id: "unlimited", make: unlimited, good: {}, units: [], spans: [] },
  {
    id: "sliding-log",
    make: slidingLog,
    good: { limit: 5, window: "1s" },
    units: ["limit"],
    spans: ["window"],
  },
];

const NO_AMOUNTS: readonly unknown[] = [
  -1,
  0.0005,
  1 / 3,
  1e9 + 1,
  Number.NaN,
  Infinity,
  -Infinity,
  "5",
  true,
  5n,
  {},
  [5],
  Symbol("5"),
];
const NO_SPANS: readonly unknown[] = [
  -1,
  0,
  0.999,
  1000.0005,
  367 * 86_400_000,
  Number.NaN,
  Infinity,
  "",
  "soon",
  "999us",
  "367d",
  "1s ",
  true,
  {},
  [1000],
  new Date(1000),
];
const NO_WORDS: readonly unknown[] = ["", "nowhere", "First", 5, true, {}, ["first"]];
const NO_NAMES: readonly unknown[] = ["", "a b", "a:b", "{a}", "a\0", "x".repeat(65), 5, {}];

function refusal(act: () => unknown): InvalidOptionError {
  try {
    act();
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
    throw error;
  }
  return expect.fail("it was not refused");
}

/** The option is named as the caller wrote it: alone in a call, below the path in parsed text. */
function expectRefused({ id, make, good }: Maker, option: string, value: unknown): void {
  const options = { ...good, [option]: value };
  const direct = refusal(() => make(options as never));
  expect(direct).toMatchObject({ option, allowed: expect.stringMatching(/./) as unknown });
  if (option in good) expect(direct.value).toEqual(shown(value).value);
  const parsed = refusal(() => parsePolicy({ algorithm: id, ...options }));
  expect(parsed).toMatchObject({ option: `policy.${option}`, allowed: direct.allowed });
  const second = refusal(() => rulesOf([make(good as never), { algorithm: id, ...options }]));
  expect(second.option).toBe(`policy[1].${option}`);
  const store = new MemoryStore();
  const limiter = refusal(
    () => new RateLimiter({ policy: { algorithm: id, ...options } as unknown as Policy, store }),
  );
  expect(limiter.option).toBe(`policy.${option}`);
  expect(store.size).toBe(0);
}

describe.each(makers)("$id", (maker) => {
  const { id, make, good, units, optionalUnits = [], spans, words = {} } = maker;

  test("is frozen, and survives JSON", () => {
    const policy = make(good as never);
    expect(Object.isFrozen(policy)).toBe(true);
    expect(policy).toMatchObject({ algorithm: id, name: id, ...("limit" in good && { limit: 5 }) });
    expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
    expect(ruleOf(JSON.parse(JSON.stringify(policy))).fingerprint).toBe(ruleOf(policy).fingerprint);
  });

  test("takes every option it has", () => {
    const all = { ...good, ...words, name: "mine" };
    expect(make(all as never)).toMatchObject({ ...words, name: "mine" });
  });

  test.each([...units, ...optionalUnits])("refuses a %s that is no amount", (option) => {
    for (const value of NO_AMOUNTS) expectRefused(maker, option, value);
    // A limit of 0 admits nothing; a bucket that holds nothing would deny what its limit admits.
    if (option !== "limit") expectRefused(maker, option, 0);
  });

  test.each(units)("refuses to be without its %s", (option) => {
    for (const value of [undefined, null]) expectRefused(maker, option, value);
  });

  if (spans.length > 0) {
    test.each(spans)("refuses a %s that is no span", (option) => {
      for (const value of [...NO_SPANS, undefined, null]) expectRefused(maker, option, value);
    });
  }

  if (Object.keys(words).length > 0) {
    test.each(Object.keys(words))("refuses another word for its %s", (option) => {
      for (const value of NO_WORDS) expectRefused(maker, option, value);
    });
  }

  test("refuses another algorithm's options, and names it does not know", () => {
    for (const option of ["burstiness", "Limit", "__proto", "windw"]) {
      expectRefused(maker, option, 5);
    }
    const message = refusal(() => make({ ...good, cost: 1 } as never)).message;
    for (const option of ["name", ...units, ...spans]) expect(message).toContain(option);
  });

  test("refuses a name that would not fit into a key", () => {
    for (const value of NO_NAMES) expectRefused(maker, "name", value);
  });

  test("refuses to be called another algorithm", () => {
    const error = refusal(() => make({ ...good, algorithm: "leaky-window" } as never));
    expect(error).toMatchObject({ option: "algorithm", value: "leaky-window" });
  });

  test("refuses what is no object", () => {
    const needed = Object.keys(good).length > 0 ? [undefined] : [];
    for (const value of [...needed, null, 5, "fast", [], () => good]) {
      expect(refusal(() => make(value as never))).toMatchObject({ option: "options" });
    }
  });

  test("is in a case table", () => {
    const policies = Object.values(caseTables).flatMap((cases) =>
      cases.flatMap(({ policy, steps }) => [
        policy,
        ...steps.flatMap((step) => (step.policy === undefined ? [] : [step.policy])),
      ]),
    );
    expect(policies.flat().map(({ algorithm }) => algorithm)).toContain(id);
  });
});

test("the table of this test has every algorithm", () => {
  expect(makers.map(({ id }) => id).sort()).toEqual([...algorithmIds].sort());
});

test("a sliding log holds at most 10,000 units", () => {
  expect(slidingLog({ limit: 10_000, window: "1s" }).limit).toBe(10_000);
  expect(refusal(() => slidingLog({ limit: 10_000.001, window: "1s" }))).toMatchObject({
    option: "limit",
    allowed: expect.stringContaining("0 to 10,000") as unknown,
  });
});

test.each([-0, 0])("a bucket of the limit %d holds nothing, whatever is said of it", (limit) => {
  const policy = tokenBucket({ limit, period: "1s", burst: 5 });
  expect(policy).toEqual({ ...tokenBucket({ limit: 0, period: "1s" }), burst: 0 });
  expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  expect(leakyBucket({ limit, period: "1s", capacity: 5 }).capacity).toBe(0);
  expect(gcra({ limit, period: "1s" }).burst).toBe(0);
  expect(refusal(() => tokenBucket({ limit, period: "1s", burst: -1 })).option).toBe("burst");
});

test("a token bucket holds a whole unit at least, unless told otherwise", async () => {
  expect(tokenBucket({ limit: 0.5, period: "1s" }).burst).toBe(1);
  expect(tokenBucket({ limit: 0.5, period: "1s", burst: 0.5 }).burst).toBe(0.5);
  expect(tokenBucket({ limit: 1.5, period: "1s" }).burst).toBe(1.5);
  await using limiter = new RateLimiter({ policy: tokenBucket({ limit: 0.5, period: "1s" }) });
  expect(limiter.consumeSync("k").allowed).toBe(true);
  expect(limiter.consumeSync("k").reason).toBe("quota");
});

test.each([
  [tokenBucket({ limit: 100, period: "1m", burst: 20 }), 12_000],
  [tokenBucket({ limit: 3, period: "1s", burst: 10, refill: "interval" }), 4000],
  [tokenBucket({ limit: 3, period: "1s", burst: 1 }), 334],
  [gcra({ limit: 5, period: "1s" }), 200],
  [leakyBucket({ limit: 2, period: "1s", capacity: 5 }), 2500],
  [fixedWindow({ limit: 2, window: 1234.567 }), 1235],
  [slidingWindow({ limit: 2, window: "1m" }), 60_000],
  [slidingLog({ limit: 2, window: "1m" }), 60_000],
  [unlimited(), 0],
])("%o says how long its window is", (policy, windowMs) => {
  expect(new RateLimiter({ policy }).consumeSync("k").windowMs).toBe(windowMs);
});

test.each([
  ["2026-02-10", "month", 28],
  ["2028-02-10", "month", 29],
  ["2028-12-31", "year", 366],
  ["2026-03-29", "day", 23 / 24],
  ["2026-10-25", "day", 25 / 24],
] as const)("a calendar window on %s is as long as its %s", (date, unit, days) => {
  const clock = new ManualClock(Date.parse(`${date}T12:00:00Z`));
  const store = new MemoryStore({ clock });
  const policy = calendarWindow({ limit: 1, unit, timeZone: "Europe/Berlin" });
  const limiter = new RateLimiter({ policy, store });
  expect(limiter.consumeSync("k").windowMs).toBe(days * 86_400_000);
  expect(limiter.consumeSync("k").windowMs).toBe(days * 86_400_000);
});

test("a bucket refuses a capacity that is missing", () => {
  const options = { limit: 5, period: "1s" };
  expect(refusal(() => leakyBucket(options as never))).toMatchObject({ option: "capacity" });
});

describe("a value that is to be a policy", () => {
  test.each([
    [undefined, "policy"],
    [null, "policy"],
    [5, "policy"],
    ["token-bucket", "policy"],
    [{}, "policy.algorithm"],
    [{ algorithm: "TokenBucket" }, "policy.algorithm"],
    [{ algorithm: "__proto__" }, "policy.algorithm"],
    [{ algorithm: ["gcra"] }, "policy.algorithm"],
    [Promise.resolve(), "policy.algorithm"],
  ])("%o is refused as %s", (value, option) => {
    expect(refusal(() => ruleOf(value))).toMatchObject({ option });
  });

  test("out of JSON cannot smuggle in a prototype", () => {
    const text = '{"algorithm":"gcra","limit":1,"period":"1s","__proto__":{"burst":1000000}}';
    expect(refusal(() => parsePolicy(JSON.parse(text)))).toMatchObject({
      option: "policy.__proto__",
    });
  });

  test("is checked again as long as it may change", () => {
    const policy = { algorithm: "gcra", limit: 1, period: "1s" };
    expect(ruleOf(policy).limit).toBe(1);
    policy.limit = -1;
    expect(refusal(() => ruleOf(policy))).toMatchObject({ option: "policy.limit", value: -1 });
  });

  test("is compiled once when it is frozen", () => {
    const policy = tokenBucket({ limit: 1, period: "1s" });
    expect(ruleOf(policy)).toBe(ruleOf(policy));
  });
});

describe("several policies", () => {
  const named = (name: string): Policy => tokenBucket({ name, limit: 1, period: "1s" });

  test("need at least one", () => {
    expect(refusal(() => rulesOf([]))).toMatchObject({ option: "policy" });
  });

  test("are 1,000 at most", () => {
    const many = Array.from({ length: 1001 }, (_, i) => named(`p${i}`));
    expect(rulesOf(many.slice(1))).toHaveLength(1000);
    expect(refusal(() => rulesOf(many))).toMatchObject({ option: "policy", value: 1001 });
  });

  test("of one need no name", () => {
    expect(rulesOf([tokenBucket({ limit: 1, period: "1s" })])).toHaveLength(1);
  });

  test("need names of their own", () => {
    const nameless = tokenBucket({ limit: 1, period: "1s" });
    expect(refusal(() => rulesOf([nameless, named("a")]))).toMatchObject({
      option: "policy[0].name",
      value: "token-bucket",
    });
    expect(refusal(() => rulesOf([named("a"), named("gcra")]))).toMatchObject({
      option: "policy[1].name",
      value: "gcra",
    });
  });

  test("need distinct names", () => {
    expect(refusal(() => rulesOf([named("a"), named("b"), named("a")]))).toMatchObject({
      option: "policy[2].name",
      value: "a",
      allowed: expect.stringContaining("that no other policy of the limiter has") as unknown,
    });
  });
});

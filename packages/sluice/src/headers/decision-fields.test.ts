/** What answers say of decisions, by hand. */
import { describe, expect, test } from "vitest";
import {
  calendarWindow,
  type Decision,
  fixedWindow,
  leakyBucket,
  type Policy,
  RateLimiter,
  slidingLog,
  tokenBucket,
  unlimited,
} from "../index.js";
import { InvalidOptionError } from "../core/errors.js";
import { ManualClock, PureStore } from "../testing/index.js";
import { decisionFields, type FieldForm, type FieldWriter, type StatedLimit } from "./index.js";

/** 1 January 2030, 00:00:12.5 UTC */
const NOW_MS = 1_893_456_012_500;
const burst = tokenBucket({ name: "burst", limit: 60, period: "1h", burst: 4 });
const day = fixedWindow({ name: "day", limit: 100, window: "1d" });

function setUp(...policy: readonly Policy[]): {
  clock: ManualClock;
  limiter: RateLimiter<PureStore>;
  say: (decision: Decision, form?: FieldForm) => Record<string, string>;
} {
  const clock = new ManualClock(NOW_MS);
  const limiter = new RateLimiter({ policy, store: new PureStore(clock) });
  return {
    clock,
    limiter,
    say: (decision, form = "draft-11") =>
      Object.fromEntries(decisionFields([{ decision, policies: policy }], { form, nowMs: NOW_MS })),
  };
}

describe("a bucket", () => {
  test("has its burst as quota, the time to fill it as window, and t until the next unit", () => {
    const { clock, limiter, say } = setUp(burst);
    expect(say(limiter.consumeSync("k", { cost: 3 }))).toEqual({
      "RateLimit-Policy": '"burst";q=4;w=240',
      RateLimit: '"burst";r=1;t=60',
    });
    clock.advance(10_000);
    expect(say(limiter.consumeSync("k")).RateLimit).toBe('"burst";r=0;t=50');
  });

  test("on a denial waits for the cost, not until it is full", () => {
    const { limiter, say } = setUp(burst);
    limiter.consumeSync("k", { cost: 4 });
    expect(say(limiter.consumeSync("k"))).toEqual({
      "RateLimit-Policy": '"burst";q=4;w=240',
      RateLimit: '"burst";r=0;t=60',
      "Retry-After": "60",
    });
    expect(say(limiter.consumeSync("k", { cost: 3 }))["Retry-After"]).toBe("180");
  });

  test("in debt waits until one unit is there", async () => {
    const { limiter, say } = setUp(burst);
    await limiter.penalize("k", 6);
    expect(say(await limiter.peek("k")).RateLimit).toBe('"burst";r=0;t=180');
  });

  test("that is full has nothing to wait for", async () => {
    const { limiter, say } = setUp(burst);
    expect(say(await limiter.peek("k")).RateLimit).toBe('"burst";r=4;t=0');
  });

  test("that is refilled by interval waits for the next refill", () => {
    const hourly = tokenBucket({ limit: 2, period: "1h", burst: 5, refill: "interval" });
    const { clock, limiter, say } = setUp(hourly);
    limiter.consumeSync("k", { cost: 4 });
    clock.advance(600_000);
    expect(say(limiter.consumeSync("k")).RateLimit).toBe('"token-bucket";r=0;t=3000');
  });

  test.each([0, 0.5])("of less than a unit never has one, at a rate of %d", (limit) => {
    const { limiter, say } = setUp(tokenBucket({ limit, period: "1h", burst: 0.5 }));
    expect(say(limiter.consumeSync("k")).RateLimit).toBe('"token-bucket";r=0');
  });
});

describe("a window", () => {
  test("has its length as window, and t until it ends", () => {
    const { limiter, say } = setUp(day);
    expect(say(limiter.consumeSync("k"))).toEqual({
      "RateLimit-Policy": '"day";q=100;w=86400',
      RateLimit: '"day";r=99;t=86388',
    });
  });

  test("of the calendar is as long as it is now", () => {
    const { clock, limiter, say } = setUp(calendarWindow({ limit: 5, unit: "month" }));
    expect(say(limiter.consumeSync("k"))["RateLimit-Policy"]).toBe(
      `"calendar-window";q=5;w=${31 * 86_400}`,
    );
    clock.advance(31 * 86_400_000);
    expect(say(limiter.consumeSync("k"))["RateLimit-Policy"]).toBe(
      `"calendar-window";q=5;w=${28 * 86_400}`,
    );
  });

  test("that slides has t until all is back, and on a denial until the call would pass", () => {
    const { clock, limiter, say } = setUp(slidingLog({ limit: 2, window: "1m" }));
    limiter.consumeSync("k");
    clock.advance(20_000);
    expect(say(limiter.consumeSync("k")).RateLimit).toBe('"sliding-log";r=0;t=60');
    expect(say(limiter.consumeSync("k")).RateLimit).toBe('"sliding-log";r=0;t=40');
  });
});

test("parts of units are not quota", () => {
  const { limiter, say } = setUp(tokenBucket({ limit: 2.9, period: "1s" }));
  expect(say(limiter.consumeSync("k", { cost: 0.5 }))).toEqual({
    "RateLimit-Policy": '"token-bucket";q=2;w=1',
    RateLimit: '"token-bucket";r=2;t=1',
  });
});

test("a policy without a limit is no limit", () => {
  const { limiter, say } = setUp(unlimited({ name: "free" }), burst);
  expect(say(limiter.consumeSync("k")).RateLimit).toBe('"burst";r=3;t=60');
});

test("a blocked key has nothing left, for as long as it is blocked", async () => {
  const { limiter, say } = setUp(burst);
  await limiter.block("k", "90s");
  const blocked = say(await limiter.consume("k"));
  expect(blocked.RateLimit).toBe('"burst";r=0;t=90');
  expect(blocked["Retry-After"]).toBe("90");
  await limiter.block("k", Number.POSITIVE_INFINITY);
  const forEver = say(await limiter.consume("k"));
  expect(forEver.RateLimit).toBe('"burst";r=0');
  expect(forEver).not.toHaveProperty("Retry-After");
});

test("nobody is told to come back with what costs too much", () => {
  const { limiter, say } = setUp(burst);
  expect(say(limiter.consumeSync("k", { cost: 5 }))).toEqual({
    "RateLimit-Policy": '"burst";q=4;w=240',
    RateLimit: '"burst";r=4;t=0',
  });
});

test("a wait that a client would take for a date is for ever", () => {
  const { limiter, say } = setUp(leakyBucket({ limit: 0.001, period: "366d", capacity: 0.09 }));
  limiter.consumeSync("k", { cost: 0.09 });
  const denied = limiter.consumeSync("k", { cost: 0.032 });
  expect(denied.retryAfterMs).toBeGreaterThan(1e12);
  expect(denied.retryAfterMs).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(say(denied)).toEqual({
    "RateLimit-Policy": expect.stringMatching(/^"leaky-bucket";q=0;w=\d+$/) as string,
    RateLimit: '"leaky-bucket";r=0',
  });
});

test("each policy of a set stands by itself", () => {
  const { limiter, say } = setUp(burst, day);
  for (let i = 0; i < 4; i++) limiter.consumeSync("k");
  expect(say(limiter.consumeSync("k"))).toEqual({
    "RateLimit-Policy": '"burst";q=4;w=240, "day";q=100;w=86400',
    RateLimit: '"burst";r=0;t=60, "day";r=96;t=86388',
    "Retry-After": "60",
  });
});

describe("several decisions", () => {
  const { limiter: a } = setUp(burst);
  const { limiter: b } = setUp(day);
  const ofA = (cost: number, key = "k") => ({
    decision: a.consumeSync(key, { cost }),
    policies: [burst],
  });
  const ofB = (cost: number) => ({ decision: b.consumeSync("k", { cost }), policies: [day] });

  test("are listed in order, and waited for until all would pass", () => {
    ofA(4);
    ofB(100);
    expect(Object.fromEntries(decisionFields([ofB(1), ofA(1)]))).toEqual({
      "RateLimit-Policy": '"day";q=100;w=86400, "burst";q=4;w=240',
      RateLimit: '"day";r=0;t=86388, "burst";r=0;t=60',
      "Retry-After": "86388",
    });
  });

  test("one of which never passes have no Retry-After", () => {
    const names = decisionFields([ofA(1), ofA(5, "other"), ofB(1)]).map(([name]) => name);
    expect(names).toEqual(["RateLimit-Policy", "RateLimit"]);
  });

  test("of the same name are stated once", () => {
    const [, limit] = decisionFields([ofA(1, "first"), ofA(2, "second")]);
    expect(limit).toEqual(["RateLimit", '"burst";r=3;t=60']);
  });

  test("none of which says anything have no fields", () => {
    expect(decisionFields([])).toEqual([]);
  });
});

test("a decision that went through JSON never passes where it never did", () => {
  const { limiter } = setUp(burst);
  const decision = JSON.parse(JSON.stringify(limiter.consumeSync("k", { cost: 5 }))) as Decision;
  expect(decision.retryAfterMs).toBeNull();
  const fields = decisionFields([{ decision, policies: [burst] }]);
  expect(fields.map(([name]) => name)).not.toContain("Retry-After");
});

test("a name that no limiter takes does not get into a field", () => {
  const { limiter } = setUp(burst);
  for (const name of ['a";q=1, "b', "a\r\nSet-Cookie: b=c", "", "é"]) {
    const decision = { ...limiter.consumeSync("k", { cost: 0 }), policy: name };
    expect(decisionFields([{ decision, policies: [{ ...burst, name }] }])).toEqual([]);
  }
});

test("a policy that is another one than the decision's is not stated", () => {
  const { limiter } = setUp(burst);
  expect(decisionFields([{ decision: limiter.consumeSync("k"), policies: [day] }])).toEqual([]);
});

describe("forms", () => {
  const { limiter, say } = setUp(burst, day);
  limiter.consumeSync("k", { cost: 4 });
  const denied = limiter.consumeSync("k");
  const free = limiter.consumeSync("free");

  test.each<[FieldForm, Record<string, string>]>([
    [
      "draft-07",
      {
        "RateLimit-Policy": "4;w=240, 100;w=86400",
        RateLimit: "limit=4, remaining=0, reset=60",
        "Retry-After": "60",
      },
    ],
    [
      "draft-06",
      {
        "RateLimit-Policy": "4;w=240, 100;w=86400",
        "RateLimit-Limit": "4",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "60",
        "Retry-After": "60",
      },
    ],
    [
      "x-ratelimit",
      {
        "X-RateLimit-Limit": "4",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1893456073",
        "Retry-After": "60",
      },
    ],
    [
      ["draft-11", "draft-06", "x-ratelimit"],
      {
        "RateLimit-Policy": '"burst";q=4;w=240, "day";q=100;w=86400',
        RateLimit: '"burst";r=0;t=60, "day";r=96;t=86388',
        "RateLimit-Limit": "4",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "60",
        "X-RateLimit-Limit": "4",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1893456073",
        "Retry-After": "60",
      },
    ],
    [["draft-07"], { RateLimit: "limit=4, remaining=0, reset=60" }],
    [false, { "Retry-After": "60" }],
    [[], { "Retry-After": "60" }],
  ])("%j", (form, fields) => {
    if (Array.isArray(form) && form.length === 1) expect(say(denied, form)).toMatchObject(fields);
    else expect(say(denied, form)).toEqual(fields);
  });

  test("with room for one limit have the one that has least left", () => {
    expect(say(free, "draft-07").RateLimit).toBe("limit=4, remaining=3, reset=60");
    limiter.consumeSync("tight", { cost: 4 });
    expect(say(limiter.consumeSync("tight", { cost: 2 }), "draft-06")).toMatchObject({
      "RateLimit-Limit": "4",
      "RateLimit-Reset": "120",
    });
  });

  test("a list's fields are in its order", () => {
    const fields = decisionFields([{ decision: denied, policies: [burst, day] }], {
      form: ["x-ratelimit", "draft-11"],
    });
    expect(fields.map(([name]) => name)).toEqual([
      "X-RateLimit-Limit",
      "X-RateLimit-Remaining",
      "X-RateLimit-Reset",
      "RateLimit-Policy",
      "RateLimit",
      "Retry-After",
    ]);
  });

  test("leave out a reset that nobody knows", async () => {
    await limiter.block("blocked", Number.POSITIVE_INFINITY);
    const blocked = await limiter.consume("blocked");
    expect(say(blocked, "draft-07").RateLimit).toBe("limit=4, remaining=0");
    expect(say(blocked, "x-ratelimit")).toEqual({
      "X-RateLimit-Limit": "4",
      "X-RateLimit-Remaining": "0",
    });
  });

  test("a writer of one's own gets the limits and the time", () => {
    const seen: [readonly StatedLimit[], number][] = [];
    const write: FieldWriter = (limits, nowMs) => {
      seen.push([limits, nowMs]);
      return [["X-Left", limits.map(({ remaining }) => remaining).join("/")]];
    };
    expect(say(denied, write)).toEqual({ "X-Left": "0/96", "Retry-After": "60" });
    expect(seen).toMatchObject([
      [
        [
          { quota: { name: "burst", units: 4, windowSeconds: 240 }, deniedForMs: 60_000 },
          { quota: { name: "day", units: 100, windowSeconds: 86_400 }, deniedForMs: -1 },
        ],
        NOW_MS,
      ],
    ]);
  });

  test.each<[string, FieldForm]>([
    ["of one's own", (_, nowMs) => [["X-RateLimit-Reset", `${Math.ceil(nowMs / 1e3) + 60}`]]],
    ["that counts from it", "x-ratelimit"],
    ["behind another one", ["draft-11", "x-ratelimit"]],
  ])("a writer %s is told the time where none is given", (_, form) => {
    const before = Date.now();
    const fields = decisionFields([{ decision: denied, policies: [burst, day] }], { form });
    const reset = new Map(fields).get("X-RateLimit-Reset");
    expect(Number(reset)).toBeGreaterThanOrEqual(Math.floor(before / 1e3) + 60);
    expect(Number(reset)).toBeLessThanOrEqual(Math.ceil(Date.now() / 1e3) + 61);
  });

  test.each([
    ["draft-8", "a list of them, a function, or false"],
    ["draft11", 'did you mean "draft-11"?'],
    [true, "true is not allowed"],
    [["draft-11", "draft-07"], "both write RateLimit"],
    [["draft-06", "draft-06"], "write different fields"],
    [["draft-11", () => []], "form[1]"],
  ])("%j is refused", (form, message) => {
    const write = () => decisionFields([], { form: form as never });
    expect(write).toThrow(InvalidOptionError);
    expect(write).toThrow(message);
  });
});

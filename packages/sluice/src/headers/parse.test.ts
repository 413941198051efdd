/** What answers say about limits, in each form and from each kind of header object. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import type { HeaderSource } from "./header-source.js";
import { parseRateLimit, waitMsOf } from "./parse.js";

const NOW_MS = Date.UTC(2026, 10, 21);
const at = (headers: HeaderSource) => parseRateLimit(headers, { nowMs: NOW_MS });

describe("draft 11", () => {
  test("has named policies and limits", () => {
    const info = at({
      "ratelimit-policy": '"burst";q=100;w=60,"daily";q=65535;qu="content-bytes";pk=:cHsdsRa894==:',
      ratelimit: '"burst";r=50;t=30, "daily";r=999;pk=:cHsdsRa894==:',
    });
    const partitionKey = Uint8Array.from(Buffer.from("cHsdsRa894==", "base64"));
    expect(info).toEqual({
      form: "draft-11",
      policies: [
        { name: "burst", quota: 100, windowSeconds: 60, quotaUnit: "requests" },
        { name: "daily", quota: 65_535, quotaUnit: "content-bytes", partitionKey },
      ],
      limits: [
        { name: "burst", remaining: 50, resetAfterMs: 30_000 },
        { name: "daily", remaining: 999, partitionKey },
      ],
      tightest: {
        name: "burst",
        remaining: 50,
        resetAfterMs: 30_000,
        quota: 100,
        windowSeconds: 60,
      },
    });
  });

  test("may have parameters of others, blanks, and a field without the other", () => {
    expect(at({ ratelimit: '"10-in-1min"; r=9; t=60; acme-burst=?0' }).limits).toEqual([
      { name: "10-in-1min", remaining: 9, resetAfterMs: 60_000 },
    ]);
    expect(at({ "ratelimit-policy": '"a";q=1' })).toEqual({
      form: "draft-11",
      policies: [{ name: "a", quota: 1, quotaUnit: "requests" }],
      limits: [],
    });
  });

  test.each([
    ["a name that is a token", "burst;r=50;t=30"],
    ["no remaining", '"burst";t=30'],
    ["a remaining in quotes", '"burst";r="1"'],
    ["a window that is no integer", '"burst";r=1;t=soon'],
    ["a partition key that is no bytes", '"burst";r=1;pk=abc'],
    ["an inner list", '("burst";r=1)'],
    ["one malformed item among good ones", '"a";r=1, "b"'],
    ["a syntax error at its end", '"a";r=1,'],
    ["nothing", ""],
  ])("with %s is ignored", (_, ratelimit) => {
    expect(at({ ratelimit })).toEqual({ policies: [], limits: [] });
  });

  test.each([
    ["no quota", '"a";w=60'],
    ["an empty window", '"a";q=1;w=0'],
    ["a unit that is a token", '"a";q=1;qu=requests'],
  ])("a policy with %s is ignored", (_, policy) => {
    expect(at({ "ratelimit-policy": policy })).toEqual({ policies: [], limits: [] });
  });

  test("a limit is matched to the policy of its name and partition key", () => {
    const info = at({
      "ratelimit-policy": '"a";q=10;pk=:AA==:, "a";q=20;pk=:AQ==:, "a";q=30',
      ratelimit: '"a";r=1;pk=:AQ==:',
    });
    expect(info.tightest?.quota).toBe(20);
  });
});

test.each([
  ["less than nothing", '"a";r=-1;t=20', 0, 20_000],
  ["a fraction", '"a";r=1.9;t=2.0', 1, 2000],
  ["a fraction of a second", '"a";r=0;t=0.503', 0, 503],
  ["less than nothing, in draft 07", "remaining=-1, reset=20", 0, 20_000],
  ["a fraction, in draft 07", "limit=5.0, remaining=0.5, reset=0.25", 0, 250],
])("a limit with %s", (_, ratelimit, remaining, resetAfterMs) => {
  expect(at({ ratelimit }).limits).toMatchObject([{ remaining, resetAfterMs }]);
});

describe("older forms", () => {
  const policies = [
    { name: "default", quota: 100, windowSeconds: 60, quotaUnit: "requests" },
    { name: "default", quota: 5000, windowSeconds: 3600, quotaUnit: "requests" },
  ];
  const limits = [{ name: "default", remaining: 50, resetAfterMs: 5000 }];
  const tightest = { ...limits[0], quota: 100, windowSeconds: 60 };

  test("draft 07 has one dictionary", () => {
    const headers = {
      ratelimit: "limit=100, remaining=50, reset=5",
      "ratelimit-policy": '5000;w=3600;comment="x", 100;w=60',
    };
    expect(at(headers)).toEqual({
      form: "draft-07",
      policies: [policies[0], policies[1]],
      limits,
      tightest,
    });
  });

  test("draft 06 has a field each", () => {
    const headers = {
      "ratelimit-limit": "100",
      "ratelimit-remaining": "50",
      "ratelimit-reset": "5",
      "ratelimit-policy": "100;w=60, 5000;w=3600",
    };
    expect(at(headers)).toEqual({ form: "draft-06", policies, limits, tightest });
  });

  test("drafts 01 and 02 name the policies behind the limit", () => {
    for (const parameter of ["w", "window"]) {
      const limit = `100, 100;${parameter}=60, 5000;${parameter}=3600`;
      const headers = {
        "ratelimit-limit": limit,
        "ratelimit-remaining": "50",
        "ratelimit-reset": "5",
      };
      expect(at(headers)).toEqual({ form: "draft-06", policies, limits, tightest });
    }
  });

  test("a newer form comes first", () => {
    const headers = {
      ratelimit: '"new";r=1',
      "ratelimit-remaining": "2",
      "x-ratelimit-remaining": "3",
    };
    expect(at(headers).form).toBe("draft-11");
    expect(at({ ...headers, ratelimit: "remaining=4" }).form).toBe("draft-07");
    expect(at({ ...headers, ratelimit: "?" }).form).toBe("draft-06");
    expect(at({ "x-ratelimit-remaining": "3", "x-rate-limit-remaining": "4" })).toMatchObject({
      form: "x-ratelimit",
      limits: [{ remaining: 3 }],
    });
  });
});

describe("X-RateLimit", () => {
  test.each([
    ["seconds to go", "30", 30_000],
    ["seconds to go with a fraction", "0.25", 250],
    ["seconds since the epoch, as GitHub has it", String(NOW_MS / 1e3 + 30), 30_000],
    ["seconds since the epoch with a fraction", `${NOW_MS / 1e3 + 30}.5`, 30_500],
    ["seconds since the epoch as a double", "1.79521923e+09", 30_000],
    ["milliseconds since the epoch", String(NOW_MS + 30_000), 30_000],
    ["microseconds since the epoch", `${NOW_MS + 30_000}000`, 30_000],
    ["nanoseconds since the epoch", `${NOW_MS + 30_000}000000`, 30_000],
    ["a date of HTTP", "Sat, 21 Nov 2026 00:00:30 GMT", 30_000],
    ["a moment of ISO 8601", "2026-11-21T00:00:30Z", 30_000],
    ["a moment of another zone", "2026-11-21T01:00:30.250+01:00", 30_250],
    ["a moment as Go writes it", "2026-11-21 00:00:30 +0000 UTC", 30_000],
    ["a duration", "6m0s", 360_000],
    ["a duration of ISO 8601", "PT1M30S", 90_000],
    ["quotes", '"30"', 30_000],
    ["two lines", "30, 40", 40_000],
    ["two lines of dates", "Sat, 21 Nov 2026 00:00:30 GMT, Sat, 21 Nov 2026 00:00:20 GMT", 30_000],
    ["a moment that has passed", String(NOW_MS / 1e3 - 30), 0],
    ["a day of the past", "2001-09-09", 0],
    ["nonsense", "soon", undefined],
    ["a negative number", "-5", undefined],
  ])("has a reset in %s", (_, reset, resetAfterMs) => {
    for (const prefix of ["X-RateLimit-", "x-rate-limit-"]) {
      const info = at({
        [`${prefix}Limit`]: "5000",
        [`${prefix}Remaining`]: "0",
        [`${prefix}Reset`]: reset,
      });
      expect(info.form).toBe("x-ratelimit");
      expect(info.tightest?.resetAfterMs).toBe(resetAfterMs);
      expect(info.tightest?.quota).toBe(5000);
    }
  });

  test("has Reset-After, which needs no clock, before Reset", () => {
    const headers = {
      "x-ratelimit-remaining": "1",
      "x-ratelimit-reset": "99",
      "x-ratelimit-reset-after": "1.5",
    };
    expect(at(headers).limits[0]?.resetAfterMs).toBe(1500);
  });

  test("without a remaining, or with one that is no number, says nothing", () => {
    for (const remaining of [undefined, "many", "; 5", ""]) {
      const headers = { "x-ratelimit-limit": "5", "x-ratelimit-remaining": remaining };
      expect(at(headers)).toEqual({ policies: [], limits: [] });
    }
  });
});

describe("limits that the fields' names tell apart", () => {
  test.each([
    ["x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "x-ratelimit-limit-tokens"],
    ["x-ratelimit-tokens-remaining", "x-ratelimit-tokens-reset", "x-ratelimit-tokens-limit"],
    ["x-rate-limit-remaining-tokens", "x-rate-limit-reset-tokens", "x-rate-limit-limit-tokens"],
    [
      "acme-ratelimit-tokens-remaining",
      "acme-ratelimit-tokens-reset",
      "acme-ratelimit-tokens-limit",
    ],
    [
      "x-acme-ratelimit-remaining-tokens",
      "x-acme-ratelimit-reset-tokens",
      "x-acme-ratelimit-limit-tokens",
    ],
    ["ratelimit-remaining-tokens", "ratelimit-reset-tokens", "ratelimit-limit-tokens"],
  ])("%s", (remaining, reset, limit) => {
    expect(at({ [remaining]: "0", [reset]: "17ms", [limit]: "150000" })).toMatchObject({
      policies: [{ name: "tokens", quota: 150_000 }],
      limits: [{ name: "tokens", remaining: 0, resetAfterMs: 17 }],
      tightest: { name: "tokens", quota: 150_000, resetAfterMs: 17 },
    });
  });

  test("count together, and the last that is used up decides", () => {
    const info = at({
      "x-ratelimit-remaining": "7",
      "x-ratelimit-remaining-a": "0",
      "x-ratelimit-reset-a": "5",
      "x-ratelimit-remaining-b": "0",
      "x-ratelimit-reset-b": "9",
      "x-ratelimit-remaining-c": "1",
      "x-ratelimit-reset-c": "99",
    });
    expect(info.limits.map(({ name }) => name)).toEqual(["default", "a", "b", "c"]);
    expect([info.form, info.tightest?.name, waitMsOf(info)]).toEqual(["x-ratelimit", "b", 9000]);
  });

  test.each<[string, Record<string, string>, number]>([
    ["less than nothing", { remaining: "-1", reset: "20" }, 20_000],
    ["a fraction", { remaining: "0.0", reset: "2.5" }, 2500],
    ["several lines, of which the least counts", { remaining: "3, 0", reset: "4" }, 4000],
    ["parameters", { remaining: "0;w=60", reset: "4;w=60" }, 4000],
    ["a reset in milliseconds", { remaining: "0", "reset-ms": "1500" }, 1500],
    ["the name of a time", { remaining: "0", "reset-time": "2026-11-21T00:00:02Z" }, 2000],
    ["a Reset-After that cannot be read", { remaining: "0", "reset-after": "x", reset: "3" }, 3000],
    ["a limit of -1, which is none", { limit: "-1", remaining: "-1", reset: "20" }, 0],
  ])("a limit with %s", (_, parts, waitMs) => {
    const named = Object.entries(parts).map(([part, text]) => [`x-ratelimit-${part}`, text]);
    expect(waitMsOf(at(Object.fromEntries(named) as HeaderSource))).toBe(waitMs);
  });

  test("names that only look like it say nothing", () => {
    const headers = {
      "x-ratelimit-used": "5",
      "x-ratelimit-resource": "core",
      "x-limit-remaining": "0",
      "ratelimit-observed": "3",
      "x-ratelimit-remainings": "0",
    };
    expect(at(headers)).toEqual({ policies: [], limits: [] });
  });
});

describe("time", () => {
  test("is counted from the answer's own Date, so a clock that is wrong does no harm", () => {
    const headers = {
      date: "Fri, 20 Nov 2026 12:00:00 GMT",
      "retry-after": "Fri, 20 Nov 2026 12:00:05 GMT",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": String(Date.UTC(2026, 10, 20, 12, 0, 7) / 1e3),
    };
    const info = at(headers);
    expect(info.retryAfterMs).toBe(5000);
    expect(info.tightest?.resetAfterMs).toBe(7000);
  });

  test("is the system's where none is given", () => {
    const info = parseRateLimit({ "retry-after": new Date(Date.now() + 3600e3).toUTCString() });
    expect(info.retryAfterMs).toBeGreaterThan(3500e3);
    expect(info.retryAfterMs).toBeLessThanOrEqual(3600e3);
  });

  test("has passed for an answer out of a cache", () => {
    const headers = { ratelimit: '"a";r=0;t=9', "retry-after": "5" };
    expect(at({ ...headers, age: "0" }).limits).toHaveLength(1);
    expect(at({ ...headers, age: "3" })).toEqual({ policies: [], limits: [], retryAfterMs: 5000 });
  });
});

describe("the tightest limit, and the wait", () => {
  test.each([
    ['"a";r=5;t=10, "b";r=2;t=1', "b", 0],
    ['"a";r=0;t=10, "b";r=0;t=60', "b", 60_000],
    ['"a";r=0, "b";r=0;t=1', "b", 1000],
    ['"a";r=0', "a", 0],
  ])("of %s is %s, with %i ms to wait", (ratelimit, name, waitMs) => {
    const info = at({ ratelimit });
    expect(info.tightest?.name).toBe(name);
    expect(waitMsOf(info)).toBe(waitMs);
  });

  test("Retry-After has precedence", () => {
    expect(waitMsOf(at({ ratelimit: '"a";r=0;t=60', "retry-after": "5" }))).toBe(5000);
    expect(waitMsOf(at({}))).toBe(0);
  });

  test("a span too long for a double is cut short", () => {
    const info = at({ ratelimit: '"a";r=0;t=999999999999999' });
    expect(waitMsOf(info)).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("header objects", () => {
  const expected = [
    { name: "a", remaining: 1, resetAfterMs: 2000 },
    { name: "b", remaining: 3 },
  ];
  const lines = ['"a";r=1;t=2', '"b";r=3'] as const;
  const bytes = (text: string) => new TextEncoder().encode(text);

  function appended(): Headers {
    const headers = new Headers({ other: "x" });
    for (const line of lines) headers.append("RateLimit", line);
    return headers;
  }

  test.each<[string, HeaderSource]>([
    ["Headers", appended()],
    ["Node's IncomingHttpHeaders", { other: "x", ratelimit: lines.join(", ") }],
    ["an object with lists", { RateLimit: lines, other: undefined }],
    ["pairs", [["x", "y"], ...lines.map((line) => ["RATELIMIT", line] as const)]],
    ["a Map", new Map([["RateLimit", lines.join(",")]])],
    ["Node's rawHeaders", ["X", "y", "RateLimit", lines[0], "RateLimit", ` ${lines[1]}\t`]],
    ["undici's raw headers", [bytes("x"), bytes("y"), bytes("RateLimit"), lines.map(bytes)]],
  ])("%s", (_, headers) => {
    expect(parseRateLimit(headers).limits).toEqual(expected);
  });

  test("of numbers, as some write Retry-After", () => {
    expect(parseRateLimit({ "retry-after": 5 }).retryAfterMs).toBe(5000);
  });

  test("whatever they hold, nothing throws", () => {
    const name = fc.constantFrom("ratelimit", "retry-after", "x-ratelimit-reset", "age", "date");
    const value = fc.anything({ withNullPrototype: true, withTypedArray: true });
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.array(value), (object, array) => {
        parseRateLimit(object as HeaderSource);
        parseRateLimit(array as unknown as HeaderSource);
      }),
      { numRuns: runs(100) },
    );
    const fields = fc.dictionary(name, fc.string({ unit: "binary" }));
    fc.assert(
      fc.property(fields, (object) => {
        expect(waitMsOf(parseRateLimit(object))).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: runs(100) },
    );
  });
});

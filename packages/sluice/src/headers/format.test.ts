/** What is written is read back the same, and cannot be bent into anything else. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../core/errors.js";
import { runs } from "../../test/support/runs.js";
import {
  formatRateLimit,
  formatRateLimitPolicy,
  formatRetryAfter,
  type RateLimitFieldsInput,
  rateLimitFields,
} from "./format.js";
import { parseRateLimit } from "./parse.js";
import { parseRetryAfter } from "./retry-after.js";
import type { QuotaPolicy, RateLimitForm, ServiceLimit } from "./rate-limit.js";
import { MAX_INTEGER } from "./structured-field.js";

const NOW_MS = Date.UTC(2026, 10, 21) + 0.5;

const amount = fc.integer({ min: 0, max: MAX_INTEGER });
const seconds = fc.integer({ min: 1, max: 1e9 });
const name = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const partitionKey = fc.uint8Array({ maxLength: 16 }).map((bytes) => Uint8Array.from(bytes));

const policy: fc.Arbitrary<QuotaPolicy> = fc.record(
  {
    name,
    quota: amount,
    quotaUnit: fc.constantFrom("requests", "content-bytes", 'a"b'),
    windowSeconds: seconds,
    partitionKey,
  },
  { requiredKeys: ["name", "quota", "quotaUnit"], noNullPrototype: true },
);
const limit: fc.Arbitrary<ServiceLimit> = fc.record(
  { name, remaining: amount, resetAfterMs: seconds.map((s) => s * 1e3), partitionKey },
  { requiredKeys: ["name", "remaining"], noNullPrototype: true },
);

describe("round trips", () => {
  test("policies and limits of draft 11 survive", () => {
    const policies = fc.array(policy, { minLength: 1, maxLength: 5 });
    const limits = fc.array(limit, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(policies, limits, (some, others) => {
        const info = parseRateLimit(rateLimitFields({ policies: some, limits: others }));
        expect(info.form).toBe("draft-11");
        expect(info.policies).toEqual(some);
        expect(info.limits).toEqual(others);
      }),
      { numRuns: runs(100) },
    );
  });

  test("the older forms keep one limit", () => {
    const form = fc.constantFrom<RateLimitForm>("draft-07", "draft-06", "x-ratelimit");
    const spanMs = fc.integer({ min: 0, max: 1e9 });
    fc.assert(
      fc.property(form, amount, amount, seconds, spanMs, (as, quota, remaining, window, ms) => {
        const input = {
          policies: [{ name: "one", quota, windowSeconds: window }],
          limits: [{ name: "one", remaining, resetAfterMs: ms }],
        };
        const info = parseRateLimit(rateLimitFields(input, as, { nowMs: NOW_MS }), {
          nowMs: NOW_MS,
        });
        expect(info.form).toBe(as);
        expect(info.tightest).toMatchObject({ remaining, quota });
        if (as !== "x-ratelimit") expect(info.tightest?.windowSeconds).toBe(window);
        const { resetAfterMs = Number.NaN } = info.tightest ?? {};
        expect(resetAfterMs).toBeGreaterThanOrEqual(ms);
        expect(resetAfterMs).toBeLessThanOrEqual(ms + 1000);
      }),
      { numRuns: runs(100) },
    );
  });

  test("Retry-After is never early, and late by less than a second", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e15 }), (us) => {
        const ms = us / 1e3;
        const read = parseRetryAfter(formatRetryAfter(ms), NOW_MS) ?? Number.NaN;
        expect(read).toBeGreaterThanOrEqual(ms);
        expect(read).toBeLessThan(ms + 1000);
      }),
      { numRuns: runs(100) },
    );
  });
});

describe("Retry-After among the fields", () => {
  test("is not before the end of a used-up limit, and minds no other", () => {
    const limits = [
      { name: "burst", remaining: 0, resetAfterMs: 2500 },
      { name: "daily", remaining: 7, resetAfterMs: 80_000_000 },
      { name: "never", remaining: 0, resetAfterMs: Number.POSITIVE_INFINITY },
    ];
    expect(rateLimitFields({ policies: [], limits, retryAfterMs: 10 })).toEqual({
      RateLimit: '"burst";r=0;t=3, "daily";r=7;t=80000, "never";r=0',
      "Retry-After": "3",
    });
  });

  test("is absent without a wait, and alone without limits", () => {
    expect(rateLimitFields({ policies: [], limits: [] })).toEqual({});
    expect(rateLimitFields({ policies: [], limits: [], retryAfterMs: 1 }, "draft-06")).toEqual({
      "Retry-After": "1",
    });
  });
});

test("the older forms are spelled as they were", () => {
  const input: RateLimitFieldsInput = {
    policies: [
      { name: "a", quota: 100, windowSeconds: 60 },
      { name: "b", quota: 9 },
    ],
    limits: [{ name: "a", remaining: 50, resetAfterMs: 4001 }],
  };
  expect(rateLimitFields(input, "draft-07")).toEqual({
    "RateLimit-Policy": "100;w=60, 9",
    RateLimit: "limit=100, remaining=50, reset=5",
  });
  expect(rateLimitFields(input, "draft-06")).toEqual({
    "RateLimit-Policy": "100;w=60, 9",
    "RateLimit-Limit": "100",
    "RateLimit-Remaining": "50",
    "RateLimit-Reset": "5",
  });
  expect(rateLimitFields(input, "x-ratelimit", { nowMs: 1_000_000_500 })).toEqual({
    "X-RateLimit-Limit": "100",
    "X-RateLimit-Remaining": "50",
    "X-RateLimit-Reset": "1000005",
  });
});

describe("bad input", () => {
  const good: ServiceLimit = { name: "a", remaining: 1 };

  test.each<[string, Partial<ServiceLimit>]>([
    ["limits[0].name", { name: "a\r\nSet-Cookie: x=1" }],
    ["limits[0].name", { name: "naïve" }],
    ["limits[0].remaining", { remaining: -1 }],
    ["limits[0].remaining", { remaining: 0.5 }],
    ["limits[0].remaining", { remaining: MAX_INTEGER + 1 }],
    ["limits[0].resetAfterMs", { resetAfterMs: Number.NaN }],
    ["limits[0].resetAfterMs", { resetAfterMs: -1001 }],
    ["limits[0].partitionKey", { partitionKey: "abc" as unknown as Uint8Array }],
  ])("of %s is refused", (option, bad) => {
    expect(() => formatRateLimit([{ ...good, ...bad }])).toThrow(
      expect.objectContaining({ name: "InvalidOptionError", option }) as Error,
    );
  });

  test.each([
    { name: "a", quota: 1, windowSeconds: 0 },
    { name: "a", quota: 1, windowSeconds: 1.5 },
    { name: "a", quota: 1, quotaUnit: "\n" },
    { name: "\0", quota: 1 },
  ])("policy %j is refused", (bad) => {
    expect(() => formatRateLimitPolicy([bad])).toThrow(InvalidOptionError);
  });

  test("of another kind is refused", () => {
    expect(() => formatRetryAfter(Number.POSITIVE_INFINITY)).toThrow(InvalidOptionError);
    expect(() =>
      rateLimitFields({ policies: [], limits: [] }, "draft-99" as RateLimitForm),
    ).toThrow(InvalidOptionError);
  });

  test("no name ends a line or begins another field", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (anyName) => {
        let written = "";
        try {
          written = formatRateLimit([{ name: anyName, remaining: 1 }]);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidOptionError);
          return;
        }
        expect(written).toMatch(/^[ -~]*$/);
        expect(parseRateLimit({ ratelimit: written }).limits).toEqual([
          { name: anyName, remaining: 1 },
        ]);
      }),
      { numRuns: runs(100) },
    );
  });
});

/** Keys that clients choose: whatever they send is a distinct key, and none fails. */
import { describe, expect, test } from "vitest";
import { callWith, enter, gateOf, left, outcomeOf } from "../../test/support/gates.js";
import { MemoryStore, RateLimiter, Semaphore, tokenBucket } from "../index.js";
import { by } from "./index.js";
import { keyOf } from "./keys.js";

const HOSTILE = [
  "",
  " ",
  "a",
  "{a}",
  "}{",
  "a\0b",
  "\0",
  "\ud800",
  "\udfff",
  "a\ud800",
  "\r\nSet-Cookie: a=b",
  "x".repeat(512),
  "x".repeat(513),
  "x".repeat(5000),
  "y".repeat(5000),
  "é".repeat(2500),
  "💥".repeat(256),
  "💥".repeat(257),
  "__proto__",
];
const policy = tokenBucket({ limit: 1, period: "1h" });

describe.each(["plain", "sha256"] as const)("with identity %s", (identity) => {
  test("each is one of its own, and stays it", async () => {
    const limiter = new RateLimiter({ policy, store: new MemoryStore(), identity });
    for (const key of HOSTILE) {
      const gate = gateOf({ limiter, key });
      expect([await outcomeOf(enter(gate)), (await outcomeOf(enter(gate))).slice(0, 9)]).toEqual([
        "pass",
        "429 quota",
      ]);
    }
  });

  test("a semaphore's too", async () => {
    const limiter = new Semaphore({ limit: 1, identity });
    for (const key of HOSTILE) {
      const gate = gateOf({ limiter, key });
      expect([await outcomeOf(enter(gate)), await outcomeOf(enter(gate))]).toEqual([
        "pass",
        "429 concurrency 1000",
      ]);
    }
    await limiter.close();
  });
});

test("short and well-formed ones stay as they are", async () => {
  const limiter = new RateLimiter({ policy });
  await enter(gateOf({ limiter, key: "user:42" }));
  expect(await left(limiter, "user:42")).toBe(0);
  expect(keyOf("{a}", false)).toBe("{a}");
  expect(keyOf("{a}", true)).toMatch(/^sha256 of a long key: [\w-]{43}$/);
});

test.each([null, 7, true, {}, [], ["a"], Symbol("a"), () => "a"])(
  "what is no text is the client's mistake: %s",
  async (key) => {
    const limiter = new RateLimiter({ policy });
    const pass = await enter(gateOf({ limiter, key: key as never }));
    expect(pass).toEqual({
      fields: [["Cache-Control", "no-store"]],
      denial: {
        status: 400,
        reason: "key",
        retryAfterMs: Number.POSITIVE_INFINITY,
        decisions: [],
        problem: {
          type: "about:blank",
          title: "Bad Request",
          status: 400,
          detail: "The request must identify its caller by a text.",
        },
      },
      settle: undefined,
    });
  },
);

describe("by.header", () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1h" }) });
  const keyIn = (fields: Record<string, string>, address?: string): string | undefined =>
    by.header(limiter, "X-API-Key")(undefined, callWith(fields, { address })).key;

  test("is the field's value, else the address, and nobody's is nobody's", () => {
    expect(keyIn({ "x-api-key": "abc" }, "192.0.2.7")).toBe("x-api-key abc");
    expect(keyIn({}, "2001:db8::7")).toBe("2001:db8::/64");
    expect(keyIn({ "x-api-key": "" }, "192.0.2.7")).toBe("192.0.2.7");
    expect(keyIn({}, "")).toBeUndefined();
    expect(keyIn({})).toBeUndefined();
    expect(() => by.header(limiter, "a b")).toThrow("name");
  });
});

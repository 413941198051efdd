/** Requests whose charges cannot be decided, or whose answer cannot be written. */
import { describe, expect, onTestFinished, test } from "vitest";
import { enter, fieldsIn, gateOf, left, outcomeOf } from "../../test/support/gates.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import { type OnStoreFailure, type Policy, RateLimiter, Semaphore, tokenBucket } from "../index.js";
import type { Charge } from "./index.js";

const hourly = (limit: number, name = "token-bucket"): Policy =>
  tokenBucket({ name, limit, period: "1h" });

const limiterOf = (limit: number, name?: string): RateLimiter =>
  new RateLimiter({ policy: hourly(limit, name) });

describe("a store that fails", () => {
  const policy = hourly(1);
  const fallbackTo = new RateLimiter({ policy });

  test.each<[string, OnStoreFailure, string, string]>([
    ["local", "local", "pass", "429 quota"],
    ["open", "open", "pass", "pass"],
    ["closed", "closed", "503 store 1000", "503 store 1000"],
    ["throw", "throw", "503 store 1000", "503 store 1000"],
    ["fallback", { fallback: fallbackTo }, "pass", "429 quota"],
  ])("%s: %s", async (_, onStoreFailure, first, second) => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const limiter = new RateLimiter({ policy, store, onStoreFailure });
    onTestFinished(() => limiter.close());
    const gate = gateOf({ limiter, key: "k" });
    expect(await outcomeOf(enter(gate))).toBe(first);
    const pass = await enter(gate);
    expect(await outcomeOf(pass)).toContain(second);
    expect(fieldsIn(pass)).not.toHaveProperty("RateLimit");
    if (pass.denial?.status !== 503) return;
    expect(fieldsIn(pass)).toEqual({ "Retry-After": "1", "Cache-Control": "no-store" });
    expect(pass.denial.problem).toEqual({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
      title: "Temporarily reduced capacity",
      status: 503,
    });
  });

  test("and of which a set is asked answers as each limiter says", async () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const limiterThat = (onStoreFailure: "open" | "closed"): RateLimiter =>
      new RateLimiter({ policy: hourly(5, onStoreFailure), store, onStoreFailure });
    const [open, closed] = [limiterThat("open"), limiterThat("closed")];
    expect(await outcomeOf(enter(gateOf([{ limiter: open, key: "k" }])))).toBe("pass");
    const both = [open, closed].map((limiter) => ({ limiter, key: "k" }));
    expect(await outcomeOf(enter(gateOf(both)))).toBe("503 store 1000");
  });

  test("of a semaphore is no full one", async () => {
    const limiter = new Semaphore({ limit: 1 });
    await limiter.close();
    expect(await outcomeOf(enter(gateOf({ limiter, key: "k" })))).toBe("503 store 1000");
  });

  test("because it is closed", async () => {
    const limiter = limiterOf(5);
    await limiter.close();
    expect(await outcomeOf(enter(gateOf({ limiter, key: "k" })))).toBe("503 store 1000");
    const both = [limiter, limiterOf(5, "b")].map((each) => ({ limiter: each, key: "k" }));
    expect(await outcomeOf(enter(gateOf(both)))).toBe("503 store 1000");
  });
});

describe("what the user's own functions throw", () => {
  test("as charge is thrown, and nothing is charged", () => {
    const gate = gateOf(() => {
      throw new RangeError("mine");
    });
    expect(() => enter(gate)).toThrow("mine");
  });

  test("as address is thrown", () => {
    const gate = gateOf(undefined, {
      address: () => {
        throw new RangeError("mine");
      },
    });
    expect(() => enter(gate)).toThrow("mine");
  });

  test.each([1, 2])("as a writer of fields gives back what %d charges took", async (count) => {
    const limiter = limiterOf(5, "a");
    const slots = new Semaphore({ limit: 1 });
    onTestFinished(() => slots.close());
    const charges: Charge[] = [
      { limiter, key: "k" },
      { limiter: slots, key: "k" },
    ];
    const gate = gateOf(charges.slice(0, count), {
      fields: () => {
        throw new RangeError("mine");
      },
    });
    await expect(async () => enter(gate)).rejects.toThrow("mine");
    expect(await left(limiter, "k")).toBe(5);
    expect((await slots.inspect("k")).held).toBe(0);
  });

  test("as a writer of fields of a denial gives nothing back twice", async () => {
    const [limiter, none] = [limiterOf(5, "a"), limiterOf(0, "none")];
    await limiter.consume("k", { cost: 3 });
    const charges: Charge[] = [
      { limiter, key: "k" },
      { limiter: none, key: "k" },
    ];
    const fields = (): never => {
      throw new RangeError("mine");
    };
    await expect(async () => enter(gateOf(charges, { fields }))).rejects.toThrow("mine");
    expect(await left(limiter, "k")).toBe(2);
  });

  test("as a writer of fields gives back after promised policies too", async () => {
    const limiter = new RateLimiter({ policy: async () => hourly(5) });
    const gate = gateOf(
      { limiter, key: "k" },
      {
        fields: () => {
          throw new RangeError("mine");
        },
      },
    );
    await expect(enter(gate)).rejects.toThrow("mine");
    expect(await left(limiter, "k")).toBe(5);
  });
});

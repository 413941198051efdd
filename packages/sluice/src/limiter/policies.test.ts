/** Sources of a limiter's policies: promised by a function, brought by each call, or taken over from another limiter. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { eventually } from "../../test/support/eventually.js";
import {
  consumeAtomic,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type Policy,
  PolicyUnavailableError,
  RateLimiter,
  type RateLimiterOptions,
  tokenBucket,
  unlimited,
} from "../index.js";

const two = tokenBucket({ name: "plan", limit: 2, period: "1h" });
const nine = tokenBucket({ name: "plan", limit: 9, period: "1h" });
const down = new Error("the database is down");
const never = new Promise<Policy>(() => {});

type Choose = (key: string) => Promise<Policy | readonly Policy[]>;

function promising(choose: Choose, options: Partial<RateLimiterOptions> = {}) {
  const fetched = vi.fn<Choose>(choose);
  const limiter = new RateLimiter({ policy: fetched, ...options });
  return { limiter, fetched };
}

describe("policies that a function promises", () => {
  test("decide, and are fetched once for a key as long as they are new", async () => {
    const { limiter, fetched } = promising(async (key) => (key === "a" ? two : [nine]));
    const decisions = await Promise.all(["a", "a", "b"].map((key) => limiter.consume(key)));
    expect(decisions.map(({ limit, remaining }) => [limit, remaining])).toEqual([
      [2, 1],
      [2, 0],
      [9, 8],
    ]);
    expect((await limiter.consume("a")).reason).toBe("quota");
    expect(fetched.mock.calls).toEqual([["a"], ["b"]]);
  });

  test("are known to every verb", async () => {
    const { limiter } = promising(async () => two);
    expect((await limiter.peek("k")).remaining).toBe(2);
    expect((await limiter.consumeUpTo("k", { cost: 5 })).granted).toBe(2);
    expect((await limiter.refund("k", 1)).remaining).toBe(1);
    await limiter.block("k", "1m");
    expect(
      (await limiter.consumeMany([{ key: "k" }, { key: "l" }])).map(({ reason }) => reason),
    ).toEqual(["blocked", "ok"]);
    await limiter.reset("k");
    expect((await limiter.reserve("k")).allowed).toBe(true);
    const { decisions } = await consumeAtomic([
      { limiter, key: "k" },
      { limiter, key: "m" },
    ]);
    expect(decisions.map(({ remaining }) => remaining)).toEqual([0, 1]);
    expect(limiter.policies("k")).toEqual([two]);
  });

  test("that are old hold until newer ones came, and if none come", async () => {
    const answers: (Policy | Error)[] = [two, down, nine];
    const onError = vi.fn();
    const { limiter } = promising(
      async () => {
        const answer = answers.shift() as Policy | Error;
        if (answer instanceof Error) throw answer;
        return answer;
      },
      { policyCache: { maxAge: 0 }, hooks: { onError } },
    );
    expect((await limiter.peek("k")).limit).toBe(2);
    expect((await limiter.peek("k")).limit).toBe(2);
    await eventually(() => expect(onError).toHaveBeenCalledOnce());
    expect(onError.mock.calls[0]?.[0]).toMatchObject({
      key: "k",
      error: { code: "POLICY_UNAVAILABLE", cause: down },
    });
    expect((await limiter.peek("k")).limit).toBe(2);
    await eventually(async () => {
      expect((await limiter.peek("k")).limit).toBe(9);
    });
  });

  test("are kept of as many keys as it says", async () => {
    const { limiter, fetched } = promising(async () => two, { policyCache: { maxKeys: 2 } });
    for (const key of ["a", "b", "c", "b", "c", "a"]) await limiter.peek(key);
    expect(fetched.mock.calls.flat()).toEqual(["a", "b", "c", "a"]);
  });

  test.each(["local", "throw", { fallback: new RateLimiter({ policy: two }) }] as const)(
    "and do not come reject under %o",
    async (onStoreFailure) => {
      const options = { onStoreFailure, timeout: 5 } as Partial<RateLimiterOptions>;
      const late = promising(() => never, options).limiter;
      const broken = promising(() => Promise.reject(down), options).limiter;
      for (const [limiter, cause] of [
        [late, {}],
        [broken, { cause: down }],
      ] as const) {
        const error = await limiter.consume("secret").catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(PolicyUnavailableError);
        expect(error).toMatchObject({ code: "POLICY_UNAVAILABLE", ...cause });
        expect(String(error)).not.toContain("secret");
        await expect(limiter.block("k", "1s")).rejects.toThrow(PolicyUnavailableError);
        await expect(limiter.reserve("k")).rejects.toThrow(PolicyUnavailableError);
        await expect(limiter.policies("k")).rejects.toThrow(PolicyUnavailableError);
      }
    },
  );

  test.each([
    ["open", true, "fail-open"],
    ["closed", false, "fail-closed"],
  ] as const)("and do not come are answered for by %s", async (onStoreFailure, allowed, source) => {
    const onError = vi.fn();
    const { limiter } = promising(() => never, {
      onStoreFailure,
      timeout: 250,
      hooks: { onError },
    });
    const degraded = { allowed, source, reason: "store", limit: 0, windowMs: 0 };
    expect(await Promise.all([limiter.consume("k"), limiter.consume("k")])).toMatchObject([
      degraded,
      degraded,
    ]);
    // Once a fetch, however many wait for it.
    expect(onError).toHaveBeenCalledOnce();
    expect(await limiter.consumeUpTo("k", { cost: 3 })).toMatchObject({ granted: allowed ? 3 : 0 });
    expect(await limiter.consumeMany([{ key: "k" }])).toMatchObject([degraded]);
    expect((await limiter.reserve("k")).allowed).toBe(allowed);
    await expect(limiter.unblock("k")).rejects.toThrow(PolicyUnavailableError);
  });

  test("are asked for again where a fetch hangs", async () => {
    const answers = [never, Promise.resolve(two)];
    const { limiter } = promising(() => answers.shift() ?? never, {
      timeout: 5,
      onStoreFailure: "throw",
    });
    await expect(limiter.consume("k")).rejects.toThrow(PolicyUnavailableError);
    expect((await limiter.consume("k")).limit).toBe(2);
  });

  test("that come after newer ones do not take their place", async () => {
    let answerLate = (_late: Policy): void => {};
    const slow = new Promise<Policy>((resolve) => (answerLate = resolve));
    const answers = [slow, Promise.resolve(nine)];
    const { limiter } = promising(() => answers.shift() ?? never, {
      timeout: 5,
      onStoreFailure: "throw",
    });
    await expect(limiter.consume("k")).rejects.toThrow(PolicyUnavailableError);
    expect((await limiter.peek("k")).limit).toBe(9);
    answerLate(two);
    await turn();
    expect((await limiter.peek("k")).limit).toBe(9);
  });

  test("and are none are misuse, and reject as that", async () => {
    const { limiter } = promising(async () => ({ algorithm: "gcra", limit: -1 }) as never, {
      onStoreFailure: "open",
    });
    await expect(limiter.consume("k")).rejects.toMatchObject({ option: "policy(key).limit" });
  });

  test("are not waited for once the caller aborts", async () => {
    const { limiter } = promising(() => never, { timeout: "1m" });
    const controller = new AbortController();
    const call = limiter.consume("k", { signal: controller.signal });
    controller.abort(new Error("gone"));
    await expect(call).rejects.toThrow("gone");
    await expect(limiter.peek("k", { signal: controller.signal })).rejects.toThrow("gone");
  });

  test("are not waited for once the limiter is closed", async () => {
    const { limiter } = promising(() => never, { timeout: "1m" });
    const calls = [
      limiter.consume("k"),
      limiter.policies("k"),
      limiter.consumeMany([{ key: "k" }]),
    ];
    const ends = calls.map((call) => expect(call).rejects.toMatchObject({ code: "CLOSED" }));
    await limiter.close();
    await Promise.all(ends);
  });

  test("are no policies for consumeSync, known or not", async () => {
    const { limiter } = promising(async () => two, { store: new MemoryStore() });
    expect(() => limiter.consumeSync("k")).toThrow(/policy\(key\): a promise/);
    await limiter.consume("k");
    expect(() => limiter.consumeSync("k")).toThrow(InvalidOptionError);
  });
});

describe("a limiter without policies", () => {
  test("decides by what each call brings", async () => {
    await using limiter = new RateLimiter({});
    expect(limiter.consumeSync("k", { policy: two, cost: 2 }).allowed).toBe(true);
    expect((await limiter.consume("k", { policy: two })).allowed).toBe(false);
    expect((await limiter.consume("k", { policy: [nine] })).remaining).toBe(6);
    expect((await limiter.peek("k", { policy: unlimited({ name: "plan" }) })).allowed).toBe(true);
    expect(limiter.policies("k")).toEqual([]);
  });

  test("refuses a call that brings none", async () => {
    await using limiter = new RateLimiter({});
    expect(() => limiter.consumeSync("k")).toThrow(
      /policy: undefined .* the limiter was made without one/,
    );
    await expect(limiter.refund("k", 1)).rejects.toMatchObject({ option: "policy" });
    await expect(limiter.reserve("k")).rejects.toMatchObject({ option: "policy" });
  });

  test("shares its names with others like it", () => {
    const store = new MemoryStore();
    const [a, b] = [new RateLimiter({ store }), new RateLimiter({ store })];
    a.consumeSync("k", { policy: two });
    expect(b.consumeSync("k", { policy: nine }).remaining).toBe(7);
  });
});

describe("policies(key)", () => {
  test("are what decides, in order", () => {
    const daily = fixedWindow({ name: "daily", limit: 5, window: "1d" });
    expect(new RateLimiter({ policy: [two, daily] }).policies("k")).toEqual([two, daily]);
    const byKey = new RateLimiter({ policy: (key) => (key === "a" ? two : daily) });
    expect([byKey.policies("a"), byKey.policies("b")]).toEqual([[two], [daily]]);
    expect(() => byKey.policies("")).toThrow(InvalidOptionError);
  });
});

describe("a limiter on a store that another one used", () => {
  const store = new MemoryStore();
  const over = (policy: Policy, replace?: boolean) => new RateLimiter({ store, policy, replace });

  test("is refused while the other one is there, and says what to do", () => {
    const first = over(two);
    expect(() => over(nine)).toThrow(/close that one or pass replace: true/);
    expect(first.consumeSync("k").limit).toBe(2);
  });

  test("takes its place on purpose, or when that is closed", async () => {
    const first = over(two, true);
    const second = over(nine, true);
    expect(second.consumeSync("k2").limit).toBe(9);
    // The first one's close does not give the second one's names away.
    await first.close();
    expect(() => over(two)).toThrow(InvalidOptionError);
    await second.close();
    const third = over(two);
    expect(third.consumeSync("k2").limit).toBe(2);
    await third.close();
  });
});

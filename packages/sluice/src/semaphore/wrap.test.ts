/** Calls that hold a permit while they run, and permits without a promise. */
import { describe, expect, test } from "vitest";
import { InvalidOptionError, limited, MaxWaitExceededError, Semaphore } from "../index.js";
import { settle, watch } from "../../test/support/watch.js";

describe("wrap", () => {
  test("holds a permit while a call runs, and releases it however it ends", async () => {
    const semaphore = new Semaphore({ limit: 3 });
    let ends: (() => void)[] = [];
    const wrapped = semaphore.wrap(
      async (fails: boolean) => {
        await new Promise<void>((resolve) => ends.push(resolve));
        if (fails) throw new Error("failed");
        return "done";
      },
      { key: "k", weight: (fails) => (fails ? 2 : 1) },
    );
    const calls = [true, false, true].map((fails) => watch(wrapped(fails)));
    await settle();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 3, waiting: 1 });
    for (let left = 3; left > 0; ) {
      const now = ends;
      ends = [];
      left -= now.length;
      for (const end of now) end();
      await settle();
    }
    expect(calls.map(({ settled }) => settled)).toMatchObject([
      { message: "failed" },
      "done",
      { message: "failed" },
    ]);
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0, waiting: 0 });
    await semaphore.close();
  });

  test("passes this on, makes keys of the arguments, and releases after a throw before any promise", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    const owner = { name: "api", call: semaphore.wrap(callIt, { key: (key: string) => key }) };
    function callIt(this: { name: string }, key: string): string {
      if (key === "bad") throw new Error("bad");
      return `${this.name}: ${key}`;
    }
    expect(await owner.call("a")).toBe("api: a");
    await expect(owner.call("bad")).rejects.toThrow("bad");
    expect(await semaphore.inspect("bad")).toMatchObject({ held: 0 });
    await semaphore.close();
  });

  test("gives up by maxWait and by its signal, and does not call then", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    await semaphore.acquire("k");
    const called: string[] = [];
    const abort = new AbortController();
    const call = (): number => called.push("called");
    const now = semaphore.wrap(call, { key: "k", maxWait: 0 });
    await expect(now()).rejects.toThrow(MaxWaitExceededError);
    const patient = semaphore.wrap(call, { key: "k", signal: () => abort.signal });
    const waiting = watch(patient());
    await settle();
    abort.abort(new Error("gone"));
    await settle();
    expect([waiting.settled, called]).toMatchObject([{ message: "gone" }, []]);
    await semaphore.close();
  });

  test.each([
    ["fn", [5, { key: "k" }]],
    ["key", [() => 1, { key: "" }]],
    ["weight", [() => 1, { key: "k", weight: 0 }]],
    ["weight", [() => 1, { key: "k", weight: "2" }]],
    ["maxWait", [() => 1, { key: "k", maxWait: -1 }]],
    ["signal", [() => 1, { key: "k", signal: new AbortController() }]],
    ["cost", [() => 1, { key: "k", cost: 1 }]],
  ])("refuses a wrong %s when it wraps", async (option, args) => {
    const semaphore = new Semaphore({ limit: 1 });
    const wrap = semaphore.wrap.bind(semaphore) as (...all: unknown[]) => unknown;
    expect(() => wrap(...args)).toThrow(InvalidOptionError);
    expect(() => wrap(...args)).toThrow(option);
    await semaphore.close();
  });
});

test("@limited with a semaphore releases when the call ends", async () => {
  const semaphore = new Semaphore({ limit: 1 });
  const get = async (host: string, fails: boolean): Promise<string> => {
    if (fails) throw new Error("failed");
    return `https://${host}`;
  };
  const options = { limiter: semaphore, key: (host: string) => host, weight: 1, maxWait: "30s" };
  const context = { kind: "method" } as never;
  const client = { get: limited<[string]>(options as never)(get, context) };
  await expect(client.get("a", true)).rejects.toThrow("failed");
  for (let call = 0; call < 3; call++) expect(await client.get("a", false)).toBe("https://a");
  expect(await semaphore.inspect("a")).toMatchObject({ held: 0 });
  await semaphore.close();
});

test("@limited releases what any acquire resolves with, and tells cost from weight", async () => {
  const released: string[] = [];
  const pool = { acquire: async (key: string) => ({ release: () => released.push(key) }) };
  const semaphore = new Semaphore({ limit: 1 });
  const context = { kind: "method" } as never;
  const call = limited({ limiter: pool, key: "k" })(async () => "done", context);
  expect([await call(), released]).toEqual(["done", ["k"]]);
  expect(() => limited({ limiter: semaphore, key: "k", cost: 1 })(async () => 1, context)).toThrow(
    "cost",
  );
  expect(() => limited({ limiter: pool, key: "k", weight: 1 })(async () => 1, context)).toThrow(
    "weight",
  );
  await semaphore.close();
});

describe("tryAcquireSync", () => {
  test("gives a permit if one is free and nobody waits", async () => {
    const semaphore = new Semaphore({ limit: 2 });
    const permit = semaphore.tryAcquireSync("k", { weight: 2 });
    expect(permit?.fencingToken).toBeTypeOf("bigint");
    expect(semaphore.tryAcquireSync("k")).toBeUndefined();
    const waiting = watch(semaphore.acquire("k", { weight: 2 }));
    await settle();
    await permit?.release();
    await settle();
    expect(waiting.settled).toMatchObject({ expiresAtUs: expect.any(Number) as number });
    expect(semaphore.tryAcquireSync("k")).toBeUndefined();
    expect(semaphore.tryAcquireSync("another")).toBeDefined();
    expect(() => semaphore.tryAcquireSync("k", { weight: 3 })).toThrow(InvalidOptionError);
    await semaphore.close();
    expect(() => semaphore.tryAcquireSync("k")).toThrow("closed");
  });
});

/** Functions and methods whose calls wait for quota. */
import { describe, expect, test } from "vitest";
import { tokenBucket } from "../../algorithms/token-bucket/policy.js";
import { InvalidOptionError, MaxWaitExceededError } from "../../core/errors.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { RateLimiter } from "../rate-limiter.js";
import { limited } from "./decorator.js";
import type { WaitOptions } from "./reserve.js";
import { type Acquirer, type WrapOptions, wrapWith } from "./wrap.js";

class Recorder implements Acquirer {
  readonly calls: unknown[] = [];
  refuses = false;
  readonly #open: (() => void)[] = [];
  holds = false;

  acquire(key: string, options?: WaitOptions): Promise<unknown> {
    this.calls.push([key, options]);
    if (this.refuses) return Promise.reject(new MaxWaitExceededError(7));
    if (!this.holds) return Promise.resolve();
    return new Promise<void>((resolve) => this.#open.push(resolve));
  }

  open(): void {
    for (const resolve of this.#open.splice(0)) resolve();
  }
}

describe("a wrapped function", () => {
  test("waits, then runs with its arguments and its this", async () => {
    const limiter = new Recorder();
    limiter.holds = true;
    const runs: unknown[] = [];
    function add(this: { base: number }, a: number, b: number): number {
      runs.push([a, b]);
      return this.base + a + b;
    }
    const wrapped = wrapWith(limiter, add, { key: "sum" });
    const sum = wrapped.call({ base: 100 }, 1, 2);
    expect(limiter.calls).toEqual([["sum", {}]]);
    expect(runs).toEqual([]);
    limiter.open();
    expect(await sum).toBe(103);
  });

  test("tells key and cost from its arguments, and passes maxWait on", async () => {
    const limiter = new Recorder();
    const wrapped = wrapWith(limiter, async (user: string, size: number) => user.repeat(size), {
      key: (user) => `user:${user}`,
      cost: (_user, size) => size,
      maxWait: "2s",
    });
    expect(await wrapped("ab", 2)).toBe("abab");
    expect(limiter.calls).toEqual([["user:ab", { cost: 2, maxWait: "2s" }]]);
  });

  test("passes one signal for all calls on, or one for each made from its arguments", async () => {
    const limiter = new Recorder();
    const { signal } = new AbortController();
    await wrapWith(limiter, () => 1, { key: "k", signal })();
    const each = wrapWith(limiter, async (_user: string, end: AbortSignal | undefined) => end, {
      key: (user) => user,
      signal: (_user, end) => end,
    });
    await each("ann", signal);
    await each("bob", undefined);
    const passed = limiter.calls.map((call) => (call as [string, WaitOptions])[1].signal);
    expect(passed).toEqual([signal, signal, undefined]);
    expect(limiter.calls[2]).toEqual(["bob", {}]);
  });

  test("rejects where its function makes no signal, and does not wait", async () => {
    const limiter = new Recorder();
    const wrapped = wrapWith(limiter, () => 1, {
      key: "k",
      signal: () => new AbortController() as unknown as AbortSignal,
    });
    await expect(wrapped()).rejects.toThrow(
      "signal: an AbortController is not allowed; expected an AbortSignal; pass controller.signal",
    );
    expect(limiter.calls).toEqual([]);
  });

  test("whose signal aborts in line rejects with its reason, gives back and does not run", async () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 1, period: "10s" }),
      store: new MemoryStore({ clock }),
    });
    let runs = 0;
    const end = new AbortController();
    const wrapped = limiter.wrap(() => (runs += 1), { key: "k", signal: end.signal });
    expect(await wrapped()).toBe(1);
    const waiting = wrapped();
    await new Promise((resolve) => setImmediate(resolve));
    end.abort(new Error("shutting down"));
    await expect(waiting).rejects.toThrow("shutting down");
    await expect(wrapped()).rejects.toThrow("shutting down");
    expect(runs).toBe(1);
    // No call is in line: the next start is one period after the first.
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 10_000 });
  });

  test("is not called where acquire rejects, and rejects itself with what fn throws", async () => {
    const limiter = new Recorder();
    let runs = 0;
    const wrapped = wrapWith(
      limiter,
      () => {
        runs += 1;
        throw new RangeError("from fn");
      },
      { key: "k", maxWait: Number.POSITIVE_INFINITY, cost: 2 },
    );
    await expect(wrapped()).rejects.toThrow("from fn");
    limiter.refuses = true;
    await expect(wrapped()).rejects.toThrow(MaxWaitExceededError);
    expect(runs).toBe(1);
  });

  test.each([
    ["key", {}],
    ["key", { key: "" }],
    ["cost", { key: "k", cost: -1 }],
    ["cost", { key: "k", cost: "1" }],
    ["maxWait", { key: "k", maxWait: "soon" }],
    ["signal", { key: "k", signal: 1 }],
    ["signal", { key: "k", signal: new AbortController() }],
    ["turbo", { key: "k", turbo: 1 }],
  ])("refuses a bad %s at once: %j", (option, options) => {
    const wrap = () => wrapWith(new Recorder(), () => 1, options as WrapOptions<[]>);
    expect(wrap).toThrow(expect.objectContaining({ name: "InvalidOptionError", option }) as Error);
  });
});

/** As compiled code applies it: the test runner's compiler does not know the syntax. */
describe("@limited, applied by hand", () => {
  const context = { kind: "method", name: "greet", static: false, private: false };
  type Greet = (this: Api, user: string, greeting: string) => Promise<string>;
  type Context = ClassMethodDecoratorContext<Api, Greet>;

  class Api {
    readonly name = "api";

    async greet(user: string, greeting: string): Promise<string> {
      return `${this.name}: ${greeting} ${user}`;
    }
  }

  test("waits before each call of a method, for all instances", async () => {
    const limiter = new Recorder();
    const decorate = limited({ limiter, key: (user: string) => user, cost: 3, maxWait: 50 });
    const greet = Object.getOwnPropertyDescriptor(Api.prototype, "greet")?.value as Greet;
    Api.prototype.greet = decorate<Api, [string, string], string>(greet, context as Context);
    expect(await new Api().greet("ann", "hello")).toBe("api: hello ann");
    expect(await new Api().greet("bob", "bye")).toBe("api: bye bob");
    expect(limiter.calls).toEqual([
      ["ann", { cost: 3, maxWait: 50 }],
      ["bob", { cost: 3, maxWait: 50 }],
    ]);
  });

  test("passes a signal on", async () => {
    const limiter = new Recorder();
    const { signal } = new AbortController();
    const decorate = limited({ limiter, key: "k", signal: (_user: string) => signal });
    await decorate<Api, [string, string], string>(async () => "hi", context as Context).call(
      new Api(),
      "ann",
      "hello",
    );
    expect(limiter.calls).toEqual([["k", { signal }]]);
  });

  test("decorates nothing but methods, and needs a limiter", () => {
    const decorate = limited({ limiter: new Recorder(), key: "k" });
    for (const other of [{ kind: "getter" }, { kind: "class" }, "legacy", undefined]) {
      expect(() => decorate(async () => 1, other as never)).toThrow(InvalidOptionError);
    }
    expect(() => limited({ limiter: {} as Acquirer, key: "k" })).toThrow("limiter");
  });
});

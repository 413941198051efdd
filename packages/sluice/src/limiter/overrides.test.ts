/** Overrides of single keys: what they do to calls, and that they are kept within bounds. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { settle } from "../../test/support/watch.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type Clock,
  consumeAtomic,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type OverrideTerms,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  tokenBucket,
} from "../index.js";
import type { OverrideStore, OverrideWrite, StoredOverride } from "../stores/override-store.js";
import { ManualClock } from "../testing/index.js";

const two = fixedWindow({ name: "two", limit: 2, window: "1h" });
const nine = fixedWindow({ name: "two", limit: 9, window: "1h" });
const daily = fixedWindow({ name: "daily", limit: 50, window: "1d" });

function inMemory(policy: RateLimiterOptions["policy"] = two): {
  limiter: RateLimiter;
  clock: ManualClock;
} {
  const clock = new ManualClock();
  return { limiter: new RateLimiter({ policy, store: new MemoryStore({ clock }) }), clock };
}

describe("an override", () => {
  test("is another policy for its key alone, and units in use stay", async () => {
    const { limiter } = inMemory();
    await limiter.consume("k", { cost: 2 });
    await limiter.override("k", nine, { comment: "ticket 7" });
    expect(await limiter.consume("k")).toMatchObject({ limit: 9, remaining: 6, override: "k" });
    expect(await limiter.consume("l")).toMatchObject({ limit: 2 });
    expect(await limiter.consume("l")).not.toHaveProperty("override");
    expect((await limiter.policies("k"))[0]).toEqual(nine);
    await limiter.override("k", undefined);
    expect(await limiter.consume("k")).toMatchObject({ allowed: false, limit: 2 });
  });

  test("that exempts a key spares it penalties and settlements too", async () => {
    const { limiter } = inMemory(nine);
    const taken = await limiter.consume("k");
    await limiter.override("k", "exempt");
    expect(await limiter.penalize("k", 5)).toMatchObject({ allowed: true, source: "override" });
    await limiter.settle("k", { reserved: 1, actual: 4, of: taken });
    await limiter.override("k", undefined);
    expect((await limiter.peek("k")).remaining).toBe(8);
    await limiter.override("k", "deny");
    await limiter.penalize("k", 5);
    await limiter.override("k", undefined);
    expect((await limiter.peek("k")).remaining).toBe(3);
  });

  test("takes the place of the policy of its name, or of the only one", async () => {
    const { limiter } = inMemory([two, daily]);
    await limiter.override("k", nine);
    expect((await limiter.consume("k")).policies?.map(({ limit }) => limit)).toEqual([9, 50]);
    const other = tokenBucket({ name: "other", limit: 1, period: "1h" });
    await expect(limiter.override("k", other)).rejects.toThrow(
      "a policy of this limiter: two, daily",
    );
    const { limiter: one } = inMemory();
    await one.override("k", other);
    expect(await one.consume("k")).toMatchObject({ policy: "two", limit: 1 });
  });

  test("of a policy that the key does not have any more changes nothing", async () => {
    const { limiter } = inMemory((key) => (key === "k" ? [two, daily] : two));
    await limiter.override("k", tokenBucket({ name: "other", limit: 1, period: "1h" }));
    const decision = await limiter.consume("k");
    expect(decision.policies?.map(({ policy }) => policy)).toEqual(["two", "daily"]);
    expect(decision).not.toHaveProperty("override");
  });

  test("denies, or exempts and charges nothing, by every way", async () => {
    const { limiter, clock } = inMemory();
    await limiter.override("bad", "deny");
    await limiter.override("good", "exempt");
    expect(await limiter.consume("bad")).toMatchObject({
      allowed: false,
      reason: "blocked",
      source: "override",
    });
    expect(await limiter.peek("bad")).toMatchObject({ allowed: false });
    expect(await limiter.reserve("bad")).toMatchObject({ allowed: false, reason: "blocked" });
    await expect(limiter.acquire("bad", { maxWait: "1m" })).rejects.toThrow("maxWait");
    for (let i = 0; i < 9; i++) expect((await limiter.consume("good")).allowed).toBe(true);
    expect(await limiter.consumeUpTo("good", { cost: 40 })).toMatchObject({ granted: 40 });
    const took = await limiter.consume("good");
    expect((await limiter.refund("good", 1, { of: took })).refunded).toBe(0);
    const atomic = (...keys: string[]): ReturnType<typeof consumeAtomic> =>
      consumeAtomic(keys.map((key) => ({ limiter, key })));
    expect((await atomic("bad", "k")).allowed).toBe(false);
    expect((await atomic("good", "k")).allowed).toBe(true);
    expect(
      (await limiter.consumeMany([{ key: "good" }, { key: "bad" }])).map(({ allowed }) => allowed),
    ).toEqual([true, false]);
    await limiter.override("good", undefined);
    expect((await limiter.peek("good")).remaining).toBe(2);
    await limiter.override("bad", "deny", { until: clock.nowUs() / 1e3 + 5000 });
    expect(await limiter.consume("bad")).toMatchObject({ retryAfterMs: 5000 });
    clock.advance(5000);
    expect(await limiter.consume("bad")).toMatchObject({ allowed: true, source: "store" });
    expect(
      limiter.stats().decisions.filter(({ source }) => source === "override").length,
    ).toBeGreaterThan(1);
  });

  test("is known to consumeSync from the first on, and no more once the last is gone", () => {
    const { limiter } = inMemory();
    const memory = limiter as RateLimiter<MemoryStore>;
    memory.consumeSync("k");
    void limiter.override("k", "deny");
    expect(memory.consumeSync("k").reason).toBe("blocked");
    expect(memory.consumeSync("l").source).toBe("store");
    void limiter.override("k", undefined);
    expect(memory.consumeSync("k")).toMatchObject({ reason: "ok", remaining: 0 });
  });

  test("outlasts a change of policy, and goes with its slot", async () => {
    const { limiter } = inMemory();
    await limiter.override("k", "deny", { slot: "acme" });
    limiter.setPolicy(nine);
    expect((await limiter.consume("k", { slot: "acme" })).allowed).toBe(false);
    expect((await limiter.consume("k")).allowed).toBe(true);
  });

  test("is listed by id, with its end and comment", async () => {
    const { limiter, clock } = inMemory();
    const until = new Date(clock.nowUs() / 1e3 + 1000);
    await limiter.override("a", nine, { until, comment: "trial", by: "ana" });
    await limiter.override("b", "exempt");
    expect(await limiter.overrides()).toEqual([
      { id: "a", override: nine, until, comment: "trial", by: "ana" },
      { id: "b", override: "exempt", until: undefined, comment: undefined, by: undefined },
    ]);
    clock.advance(1000);
    expect((await limiter.overrides()).map(({ id }) => id)).toEqual(["b"]);
  });

  test.each([
    ["override", "ban", {}],
    ["override", null, {}],
    ["override.limit", { algorithm: "gcra", limit: -1, period: 1 }, {}],
    ["until", "deny", { until: "tomorrow" }],
    ["until", "deny", { until: new Date(Number.NaN) }],
    ["comment", "deny", { comment: 5 }],
    ["comment", "deny", { comment: "x".repeat(501) }],
    ["by", "deny", { by: "x".repeat(201) }],
    ["by", undefined, { by: 5 }],
    ["reason", "deny", { reason: "x" }],
  ])("is refused with the option %s, for %o and %o", async (option, override, options) => {
    const { limiter } = inMemory();
    const refused = limiter.override("k", override as never, options as never);
    await expect(refused).rejects.toThrow(InvalidOptionError);
    await expect(refused).rejects.toMatchObject({ option });
    expect(await limiter.overrides()).toEqual([]);
  });

  test("is one of 10,000 at most, of which those whose time is over do not count", async () => {
    const { limiter, clock } = inMemory();
    const until = clock.nowUs() / 1e3 + 1000;
    for (let i = 0; i < 10_000; i++) await limiter.override(`k${i}`, "deny", { until });
    await expect(limiter.override("more", "deny")).rejects.toThrow("at most 10000 overrides");
    await limiter.override("k5", "exempt", { until });
    clock.advance(1000);
    await limiter.override("more", "deny");
    expect(await limiter.overrides()).toHaveLength(1);
  });
});

/** What a limiter tells of its overrides, in short: kind, id, limits before and after, who and why. */
function told(limiter: RateLimiter): unknown[][] {
  const heard: unknown[][] = [];
  const shown = (terms: OverrideTerms | undefined): unknown =>
    typeof terms?.override === "object" ? limitIn(terms.override) : terms?.override;
  limiter.events.on("override", ({ change, id, before, after, by, comment, limiter: name }) => {
    expect(name).toBe("sluice");
    heard.push([change, id, shown(before), shown(after), by, comment]);
  });
  return heard;
}

function limitIn(policy: Policy): unknown {
  return "limit" in policy ? policy.limit : undefined;
}

describe("listeners hear of overrides", () => {
  test("that are set, changed, removed and over, with who and why", async () => {
    const { limiter, clock } = inMemory();
    const heard = told(limiter);
    const until = clock.nowUs() / 1e3 + 1000;
    await limiter.override("k", "deny", { by: "ana", comment: "abuse" });
    await limiter.override("k", nine, { by: "ben", until });
    await limiter.override("k", undefined, { by: "cy", comment: "paid" });
    await limiter.override("k", undefined, { by: "cy" });
    expect(heard.splice(0)).toEqual([
      ["set", "k", undefined, "deny", "ana", "abuse"],
      ["changed", "k", "deny", 9, "ben", undefined],
      ["removed", "k", 9, undefined, "cy", "paid"],
    ]);
    await limiter.override("a", "deny", { until });
    await limiter.override("b", "exempt", { until: until + 1000 });
    await limiter.override("c", "deny");
    heard.splice(0);
    // No call uses any of them.
    clock.advance(1000);
    await settle();
    expect(heard).toEqual([["ended", "a", "deny", undefined, undefined, undefined]]);
    expect(limiter.stats().overrides).toBe(2);
    clock.advance(1000);
    await settle();
    expect(heard.map(([change, id]) => [change, id])).toEqual([
      ["ended", "a"],
      ["ended", "b"],
    ]);
  });

  test("also where the first of two to end was removed, and where one is asked for in time", async () => {
    const { limiter, clock } = inMemory();
    const until = clock.nowUs() / 1e3 + 1000;
    await limiter.override("a", "deny", { until });
    await limiter.override("b", "deny", { until: until + 1000 });
    await limiter.override("a", undefined);
    const heard = told(limiter);
    clock.advance(1000);
    await settle();
    expect(heard).toEqual([]);
    clock.advance(1000);
    await settle();
    expect(heard.map(([change, id]) => [change, id])).toEqual([["ended", "b"]]);
    expect((await limiter.consume("b")).source).toBe("store");
    await limiter.close();
  });
});

test("an alarm that goes off too early is set again", async () => {
  const manual = new ManualClock();
  const sleeps: number[] = [];
  const clock: Clock = {
    nowUs: () => manual.nowUs(),
    sleep: (ms, signal) => {
      sleeps.push(ms);
      return manual.sleep(sleeps.length === 1 ? ms - 1 : ms, signal);
    },
  };
  await using limiter = new RateLimiter({ policy: two, store: new MemoryStore({ clock }) });
  await limiter.override("k", "deny", { until: clock.nowUs() / 1e3 + 1000 });
  const heard = told(limiter);
  manual.advance(999);
  await settle();
  expect(heard).toEqual([]);
  manual.advance(1);
  await settle();
  expect(heard.map(([change]) => change)).toEqual(["ended"]);
  expect(sleeps).toEqual([1000, 1]);
});

/** Keeps overrides as Redis does, and may fail. */
class Table implements OverrideStore {
  texts = new Map<string, StoredOverride>();
  version = 0;
  readonly asked: (readonly string[])[] = [];
  hint: (() => void) | undefined;
  reads = 0;
  error: Error | undefined;
  answer: Promise<void> = Promise.resolve();

  watch(_: string, hint: () => void): { end(): void } {
    this.hint = hint;
    return { end: () => (this.hint = undefined) };
  }

  async write(_: string, { id, text, untilMs, note }: OverrideWrite): Promise<boolean> {
    if (this.error !== undefined) throw this.error;
    this.texts.delete(id);
    if (text !== undefined) this.texts.set(id, { text, untilMs });
    else if (note !== undefined) {
      this.texts.set(id, { text: note, untilMs: Date.now() + 60_000, isRemoved: true });
    }
    this.version += 1;
    return true;
  }

  async read(
    _: string,
    known: string,
    ended: readonly string[] = [],
  ): Promise<Awaited<ReturnType<OverrideStore["read"]>>> {
    this.reads += 1;
    if (ended.length > 0) this.asked.push(ended);
    for (const id of ended) this.texts.delete(id);
    await this.answer;
    if (this.error !== undefined) throw this.error;
    const version = this.version === 0 ? "" : String(this.version);
    return {
      version,
      nowMs: Date.now(),
      texts: version === known ? undefined : new Map(this.texts),
    };
  }
}

class TableStore extends OutsideStore {
  readonly overrides = new Table();
}

describe("overrides of a store outside the process", () => {
  const limiterOf = (store: TableStore, more: Partial<RateLimiterOptions> = {}): RateLimiter => {
    const limiter = new RateLimiter({
      policy: two,
      store,
      overrides: true,
      identity: "plain",
      ...more,
    });
    onTestFinished(() => limiter.close());
    return limiter;
  };

  test("are loaded before the first call is answered", async () => {
    const store = new TableStore();
    await limiterOf(store).override("k", "deny");
    expect(await limiterOf(store).consume("k")).toMatchObject({ reason: "blocked", override: "k" });
  });

  test("hold while the store is away, which is told once, and what was known last is kept", async () => {
    const store = new TableStore();
    const limiter = limiterOf(store, { onStoreFailure: "throw" });
    const failed = vi.fn();
    limiter.events.on("failure", failed);
    await limiter.override("k", "deny");
    store.behaviour = "fails";
    store.overrides.error = new Error("away");
    expect((await limiter.consume("k")).reason).toBe("blocked");
    await expect(limiter.overrides()).rejects.toThrow("away");
    await expect(limiter.override("l", "deny")).rejects.toThrow("away");
    store.overrides.error = undefined;
    store.overrides.version = 0;
    store.overrides.texts.clear();
    // Lost, not ended.
    expect(await limiter.overrides()).toHaveLength(1);
  });

  test("do not hold up calls for longer than the deadline where they cannot be read", async () => {
    const store = new TableStore();
    store.overrides.answer = new Promise(() => {});
    expect(await limiterOf(store, { timeout: "5ms" }).consume("k")).toMatchObject({
      allowed: true,
    });
    const failing = new TableStore();
    failing.overrides.error = new Error("away");
    const limiter = limiterOf(failing);
    const failed = vi.fn();
    limiter.events.on("failure", failed);
    expect((await limiter.consume("k")).allowed).toBe(true);
    expect(failed).toHaveBeenCalledWith({ error: failing.overrides.error, key: "", cost: 0 });
  });

  test("of which one cannot be read are the others", async () => {
    const store = new TableStore();
    store.overrides.version = 1;
    store.overrides.texts.set("a", { text: "{", untilMs: undefined });
    store.overrides.texts.set("b", { text: '{"override":"deny"}', untilMs: undefined });
    store.overrides.texts.set("c", { text: '{"override":"later"}', untilMs: undefined });
    const limiter = limiterOf(store);
    const failed = vi.fn();
    limiter.events.on("failure", failed);
    expect((await limiter.overrides()).map(({ id }) => id)).toEqual(["b"]);
    expect(failed).toHaveBeenCalledTimes(2);
  });

  test("are known after a hint, without a poll, with who and why", async () => {
    const store = new TableStore();
    const [one, other] = [limiterOf(store), limiterOf(store)];
    expect((await other.consume("k")).allowed).toBe(true);
    const heard = told(other);
    const { hint } = store.overrides;
    await one.override("k", "deny", { by: "ana", comment: "abuse" });
    hint?.();
    hint?.();
    await settle();
    expect((await other.consume("k")).reason).toBe("blocked");
    await one.override("k", undefined, { by: "ben", comment: "paid" });
    await one.override("never", undefined, { by: "ben" });
    hint?.();
    await settle();
    expect(heard).toEqual([
      ["set", "k", undefined, "deny", "ana", "abuse"],
      ["removed", "k", "deny", undefined, "ben", "paid"],
    ]);
    expect((await other.overrides()).length).toBe(0);
    expect((await other.consume("k")).allowed).toBe(true);
  });

  test("are told by who sets the first one, and not by who finds them there", async () => {
    const store = new TableStore();
    const one = limiterOf(store);
    const heard = told(one);
    await one.override("k", "deny");
    expect(heard.map(([change]) => change)).toEqual(["set"]);
    const other = limiterOf(store);
    const later = told(other);
    await other.consume("k");
    await other.override("l", nine);
    expect(later.map(([change, id]) => [change, id])).toEqual([["set", "l"]]);
  });

  test("leave the store when they are over, 100 with each question", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const store = new TableStore();
    const limiter = limiterOf(store);
    const heard = told(limiter);
    const until = Date.now() + 1500;
    for (let i = 0; i < 250; i++) {
      store.overrides.texts.set(`k${i}`, { text: '{"override":"deny"}', untilMs: until });
    }
    await limiter.override("last", "deny");
    expect(limiter.stats().overrides).toBe(251);
    await vi.advanceTimersByTimeAsync(1500);
    expect(heard.filter(([change]) => change === "ended")).toHaveLength(250);
    expect(limiter.stats().overrides).toBe(1);
    await vi.advanceTimersByTimeAsync(5000);
    expect(store.overrides.asked.map(({ length }) => length)).toEqual([100, 100, 50]);
    expect([...store.overrides.texts.keys()]).toEqual(["last"]);
  });

  test("need the option, and a store that keeps them", async () => {
    const store = new OutsideStore();
    await expect(new RateLimiter({ policy: two, store }).override("k", "deny")).rejects.toThrow(
      "overrides: true",
    );
    expect(() => new RateLimiter({ policy: two, store, overrides: true })).toThrow(
      InvalidOptionError,
    );
  });
});

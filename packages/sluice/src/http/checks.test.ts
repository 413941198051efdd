/** Set-ups that are probably mistakes. */
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { call, callWith, enter, gateOf } from "../../test/support/gates.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import { MemoryStore, RateLimiter, tokenBucket } from "../index.js";
import type { HttpCall } from "./call.js";

const policy = tokenBucket({ limit: 1000, period: "1s" });
const limiter = new RateLimiter({ policy });
const outside = new RateLimiter({ policy, store: new OutsideStore() });
const forwarded = { "x-forwarded-for": "1.1.1.1" };

let warn: MockInstance<typeof process.emitWarning>;
beforeEach(() => {
  warn = vi.spyOn(process, "emitWarning").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** The codes of the warnings since the test began. */
const codes = (): string[] =>
  warn.mock.calls.map(([message, about]) => {
    expect(message).toMatch(/\. See docs\/http\.md#checks$/);
    expect(about).toMatchObject({ type: "SluiceWarning" });
    return (about as { code: string }).code;
  });

const trusting = (whom: "everybody" | "nobody" | "some", fields = {}): HttpCall =>
  callWith(fields, { trust: () => whom });

describe("trust", () => {
  test.each<[HttpCall, string[]]>([
    [trusting("everybody"), ["SLUICE_HTTP_PERMISSIVE_TRUST_PROXY"]],
    [trusting("everybody", forwarded), ["SLUICE_HTTP_PERMISSIVE_TRUST_PROXY"]],
    [trusting("nobody", forwarded), ["SLUICE_HTTP_UNTRUSTED_FORWARDED_FOR"]],
    [trusting("nobody"), []],
    [trusting("some", forwarded), []],
    [callWith(forwarded), []],
  ])("%#: is looked at, and warned of once", async (asked, expected) => {
    const gate = gateOf({ limiter, key: "k" });
    for (let i = 0; i < 3; i++) await enter(gate, asked);
    expect(codes()).toEqual(expected);
  });

  test.each([
    [undefined, "address: clientAddress({ trust: 1 })"],
    ["proxies = 1", "proxies = 1"],
  ])("is to be set in the framework's own words: %s", async (trustSetting, words) => {
    for (const whom of ["everybody", "nobody"] as const) {
      const asked = callWith(forwarded, { trust: () => whom, trustSetting });
      await enter(gateOf({ limiter, key: "k" }), asked);
      expect(warn.mock.lastCall?.[0]).toContain(`Say which proxies to trust: ${words}`);
    }
  });

  test("is not looked at where addresses are the user's own", async () => {
    const gate = gateOf({ limiter, key: "k" }, { address: () => "1.1.1.1" });
    await enter(gate, trusting("everybody"));
    expect(codes()).toEqual([]);
  });

  test("is looked at while the first requests come", async () => {
    const gate = gateOf({ limiter, key: "k" });
    for (let i = 0; i < 100; i++) await enter(gate);
    await enter(gate, trusting("everybody"));
    expect(codes()).toEqual([]);
  });
});

describe("limiters", () => {
  test("made for each request are warned of once", async () => {
    const gate = gateOf(() => ({ limiter: new RateLimiter({ policy }), key: "k" }));
    for (let i = 0; i < 150; i++) await enter(gate);
    expect(codes()).toEqual(["SLUICE_HTTP_LIMITER_IN_HANDLER"]);
  });

  test("made for each request beside one that stays too", async () => {
    const gate = gateOf(() => [
      { limiter, key: "k" },
      { limiter: new RateLimiter({ policy }), key: "k", show: false },
    ]);
    for (let i = 0; i < 30; i++) await enter(gate);
    expect(codes()).toEqual(["SLUICE_HTTP_LIMITER_IN_HANDLER"]);
  });

  test("that are many, but come again, are none of it", async () => {
    const plans = Array.from({ length: 60 }, () => new RateLimiter({ policy }));
    let i = 0;
    const gate = gateOf(() => ({ limiter: plans[(i += 1) % 15] as RateLimiter, key: "k" }));
    const wide = gateOf(() =>
      plans.map((each) => ({ limiter: each, key: "k", show: false })).slice(0, 3),
    );
    for (let request = 0; request < 120; request++) {
      await enter(gate);
      await enter(wide);
    }
    expect(codes()).toEqual([]);
  });
});

describe("memory", () => {
  test.each([
    ["a worker of a cluster", { isWorker: true }, undefined],
    ["the second process of PM2", { isWorker: false }, "1"],
  ])("in %s is not all that counts", async (_, cluster, number) => {
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(cluster);
    vi.stubEnv("NODE_APP_INSTANCE", number);
    await enter(gateOf({ limiter, key: "k" }));
    await enter(gateOf({ limiter: outside, key: "k" }));
    expect(codes()).toEqual(["SLUICE_HTTP_MEMORY_IN_CLUSTER"]);
  });

  test.each([undefined, "0", ""])("in the only process, numbered %j, is", async (number) => {
    vi.stubEnv("NODE_APP_INSTANCE", number);
    await enter(
      gateOf({ limiter: new RateLimiter({ policy, store: new MemoryStore() }), key: "k" }),
    );
    expect(codes()).toEqual([]);
  });
});

test("nothing is said where there is nobody to say it to", async () => {
  vi.stubGlobal("process", undefined);
  try {
    const gate = gateOf({ limiter, key: "k" });
    const raw = {};
    await gate.enter(raw, trusting("everybody"));
    expect((await gate.enter(raw, call)).fields).toEqual([]);
  } finally {
    vi.unstubAllGlobals();
  }
});

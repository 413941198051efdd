import { describe, expect, test } from "vitest";
import { Breaker, checkBreaker } from "./breaker.js";

const SETTINGS = { failures: 3, probeEveryMs: 100 };

/** A breaker that its last failure opened at `nowMs`. */
function opened(nowMs = 0): Breaker {
  const breaker = new Breaker(SETTINGS);
  for (let i = 0; i < SETTINGS.failures; i++) breaker.failed(false, nowMs);
  return breaker;
}

describe("a breaker", () => {
  test("lets everything pass until so many failures in a row", () => {
    const breaker = new Breaker(SETTINGS);
    breaker.failed(false, 0);
    breaker.failed(false, 0);
    breaker.succeeded(false);
    breaker.failed(false, 0);
    breaker.failed(false, 0);
    expect(breaker.admit(0)).toBe("pass");
    breaker.failed(false, 0);
    expect(breaker.admit(0)).toBe("refuse");
  });

  test("lets one call through as the probe, an interval after it opened", () => {
    const breaker = opened(7);
    expect([breaker.admit(106.9), breaker.admit(107), breaker.admit(107)]).toEqual([
      "refuse",
      "probe",
      "refuse",
    ]);
  });

  test("closes when the probe succeeds, and counts from none again", () => {
    const breaker = opened();
    breaker.admit(100);
    breaker.succeeded(true);
    breaker.failed(false, 101);
    breaker.failed(false, 101);
    expect(breaker.admit(101)).toBe("pass");
  });

  test("stays open when the probe fails, and probes an interval after that one's start", () => {
    const breaker = opened();
    expect(breaker.admit(130)).toBe("probe");
    breaker.failed(true, 190);
    expect([breaker.admit(229), breaker.admit(230)]).toEqual(["refuse", "probe"]);
  });

  test("has one probe under way at most, however long it takes", () => {
    const breaker = opened();
    expect([breaker.admit(100), breaker.admit(500)]).toEqual(["probe", "refuse"]);
    breaker.failed(true, 600);
    expect(breaker.admit(600)).toBe("probe");
  });

  test("probes again after a probe that told nothing", () => {
    const breaker = opened();
    breaker.admit(100);
    breaker.dropped(true);
    expect([breaker.admit(199), breaker.admit(200)]).toEqual(["refuse", "probe"]);
  });

  test("takes no notice, while open, of what was under way before", () => {
    const breaker = opened();
    breaker.succeeded(false);
    breaker.dropped(false);
    expect(breaker.admit(50)).toBe("refuse");
    breaker.failed(false, 60);
    expect(breaker.admit(100)).toBe("probe");
    breaker.failed(false, 110);
    breaker.dropped(false);
    expect(breaker.admit(300)).toBe("refuse");
  });
});

describe("the option", () => {
  test("is 5 failures and a probe a second by default, and off when false", () => {
    expect(checkBreaker(undefined)).toEqual({ failures: 5, probeEveryMs: 1000 });
    expect(checkBreaker({})).toEqual({ failures: 5, probeEveryMs: 1000 });
    expect(checkBreaker({ failures: 1, probeEvery: "1.5s" })).toEqual({
      failures: 1,
      probeEveryMs: 1500,
    });
    expect(checkBreaker(false)).toBeUndefined();
  });
});

import { describe, expect, test } from "vitest";
import { Breaker, checkBreaker } from "./breaker.js";

const SETTINGS = { failures: 3, probeEveryMs: 150 };

/** A breaker that opened at `nowMs`. */
function opened(nowMs = 0): Breaker {
  const breaker = new Breaker(SETTINGS);
  breaker.failed(SETTINGS.failures, nowMs);
  return breaker;
}

describe("a breaker", () => {
  test("lets everything pass until so much speaks against the store, and says when it opens", () => {
    const breaker = new Breaker(SETTINGS);
    expect([breaker.failed(2, 0), breaker.admit(0), breaker.isOpen]).toEqual([
      false,
      "pass",
      false,
    ]);
    expect([breaker.failed(3, 0), breaker.admit(0), breaker.isOpen]).toEqual([
      true,
      "refuse",
      true,
    ]);
    expect(breaker.failed(4, 0)).toBe(false);
  });

  test("lets one call through as the probe, 50 ms after it opened", () => {
    const breaker = opened(7);
    expect([breaker.admit(56.9), breaker.admit(57), breaker.admit(57)]).toEqual([
      "refuse",
      "probe",
      "refuse",
    ]);
  });

  test("sooner where probes are to go more often", () => {
    const breaker = new Breaker({ failures: 1, probeEveryMs: 3 });
    breaker.failed(1, 0);
    expect([breaker.admit(2), breaker.admit(3)]).toEqual(["refuse", "probe"]);
    breaker.probeEnded();
    expect([breaker.admit(5), breaker.admit(6)]).toEqual(["refuse", "probe"]);
  });

  test("probes again when that failed, each time twice as long after, to `probeEvery` at most", () => {
    const breaker = opened();
    const probesMs: number[] = [];
    for (let nowMs = 0; nowMs < 800; nowMs++) {
      if (breaker.admit(nowMs) !== "probe") continue;
      probesMs.push(nowMs);
      breaker.probeEnded();
    }
    expect(probesMs).toEqual([50, 150, 300, 450, 600, 750]);
  });

  test("has one probe under way at most, however long it takes", () => {
    const breaker = opened();
    expect(breaker.isProbing).toBe(false);
    expect([breaker.admit(50), breaker.admit(500)]).toEqual(["probe", "refuse"]);
    expect(breaker.isProbing).toBe(true);
    breaker.probeEnded();
    expect(breaker.isProbing).toBe(false);
    expect(breaker.admit(600)).toBe("probe");
  });

  test("gives the turn of a probe that never left to the next call", () => {
    const breaker = opened();
    expect(breaker.admit(60)).toBe("probe");
    breaker.passTurn(70);
    expect(breaker.admit(70)).toBe("probe");
  });

  test("goes by when it opened, whatever fails after", () => {
    const breaker = opened();
    breaker.failed(9, 40);
    expect([breaker.admit(49), breaker.admit(50)]).toEqual(["refuse", "probe"]);
  });
});

describe("the option", () => {
  test("is 5 failures and a probe a second by default, and off when false", () => {
    expect(checkBreaker("breaker", undefined)).toEqual({ failures: 5, probeEveryMs: 1000 });
    expect(checkBreaker("breaker", {})).toEqual({ failures: 5, probeEveryMs: 1000 });
    expect(checkBreaker("breaker", { failures: 1, probeEvery: "1.5s" })).toEqual({
      failures: 1,
      probeEveryMs: 1500,
    });
    expect(checkBreaker("breaker", false)).toBeUndefined();
  });
});

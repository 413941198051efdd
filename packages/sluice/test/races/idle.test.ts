import { describe, expect, test } from "vitest";
import { idlenessOf, type Occupation } from "./idle.js";

/** One permit that is taken for 20 ms, again and again, with 1 ms between. */
function busy(fromUs: number, toUs: number): Occupation[] {
  const taken: Occupation[] = [];
  for (let at = fromUs; at < toUs; at += 21e3) taken.push({ fromUs: at, toUs: at + 20e3 });
  return taken;
}

describe("the idleness of permits", () => {
  test("is none where each is taken in the moment in which it was left", () => {
    const turns = [0, 1, 2, 3].map((n) => ({ fromUs: n * 10, toUs: n * 10 + 20 }));
    expect(idlenessOf(turns, 2, 40)).toEqual({ longestUs: 0, totalUs: 0 });
  });

  test("does not count what was before all were taken for the first time", () => {
    const turns = [
      { fromUs: 0, toUs: 100 },
      { fromUs: 70, toUs: 100 },
    ];
    expect(idlenessOf(turns, 2, 100)).toEqual({ longestUs: 0, totalUs: 0 });
  });

  test("finds that one permit is lost, however busy the other is", () => {
    const lost = { fromUs: 0, toUs: 20e3 };
    const { longestUs, totalUs } = idlenessOf([lost, ...busy(0, 30e6)], 2, 30e6);
    expect(longestUs).toBe(30e6 - 20e3);
    expect(totalUs).toBeGreaterThan(30e6 - 20e3);
  });

  test("finds that both are lost, and for how long a permit was away that comes back", () => {
    const turns = [
      { fromUs: 0, toUs: 20e3 },
      { fromUs: 1, toUs: 20e3 },
      { fromUs: 5e6, toUs: 6e6 },
      { fromUs: 5.5e6, toUs: 6e6 },
    ];
    expect(idlenessOf(turns, 2, 6e6)).toEqual({
      longestUs: 5.5e6 - 20e3,
      totalUs: 2 * (5e6 - 20e3) + 0.5e6,
    });
  });

  test("lasts until the end where grants cease", () => {
    const turns = [
      { fromUs: 0, toUs: 10 },
      { fromUs: 0, toUs: 20 },
    ];
    expect(idlenessOf(turns, 2, 100)).toEqual({ longestUs: 90, totalUs: 90 + 80 });
  });
});

import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { plot, type PlotPoint } from "./plot.js";
import { terminalOf } from "./terminal.js";

const write = (): void => {};
const PLAIN = terminalOf({ write }, {});
const COLOUR = terminalOf({ write, isTTY: true, columns: 80 }, {});
const DUMB = terminalOf({ write, isTTY: true, columns: 80 }, { TERM: "dumb" });

/** A call each 10 ms for `count` calls; the first ten and then each tenth are allowed. */
function calls(count: number): PlotPoint[] {
  return Array.from({ length: count }, (_, index) => ({
    atUs: 1_800_000_000_000_000 + index * 10_000,
    allowed: index < 10 || index % 10 === 0,
  }));
}

describe("the plot", () => {
  test("without colours gives allowed and denied a chart each", () => {
    expect(plot(calls(200), PLAIN)).toMatchInlineSnapshot(`
      "    29 allowed, per 30 ms
        4 ┤
          │███
        2 ┤████
          │████  █   █  █  █   █  █  █   █  █  █   █  █  █   █  █  █   █  █
        0 └───────────────────────────────────────────────────────────────────
          171 denied, per 30 ms
        4 ┤
          │    ██ ███ ██ ██ ███ ██ ██ ███ ██ ██ ███ ██ ██ ███ ██ ██ ███ ██ ██
        2 ┤    ███████████████████████████████████████████████████████████████
          │   ████████████████████████████████████████████████████████████████
        0 └┬────────────────┬───────────────┬────────────────┬────────────────
           0 s              0.5 s           1 s              1.5 s            2 s
      "
    `);
  });

  test("without Unicode makes do with ASCII", () => {
    const text = plot(calls(200), DUMB);
    expect(text).toMatch(/^[\n -~]*$/);
    expect(text.split("\n")).toHaveLength(plot(calls(200), PLAIN).split("\n").length);
    expect(text).toMatchInlineSnapshot(`
      "    29 allowed, per 30 ms
        4 +
          |###
        2 +####
          |####  #   #  #  #   #  #  #   #  #  #   #  #  #   #  #  #   #  #
        0 +-------------------------------------------------------------------
          171 denied, per 30 ms
        4 +
          |    ## ### ## ## ### ## ## ### ## ## ### ## ## ### ## ## ### ## ##
        2 +    ###############################################################
          |   ################################################################
        0 ++----------------+---------------+----------------+----------------
           0 s              0.5 s           1 s              1.5 s            2 s
      "
    `);
  });

  test("with colours stacks denied on allowed", () => {
    const text = plot(calls(200), COLOUR);
    expect(text).toContain("\u001b[36m█");
    expect(text).toContain("\u001b[31m");
    expect(stripVTControlCharacters(text)).toMatchInlineSnapshot(`
      "    calls per 30 ms   ■ 29 allowed   ■ 171 denied
        4 ┤
          │
          │██████████████████████████████████████████████████████████████████
          │██████████████████████████████████████████████████████████████████
        2 ┤███████████████████████████████████████████████████████████████████
          │███████████████████████████████████████████████████████████████████
          │███████████████████████████████████████████████████████████████████
          │███████████████████████████████████████████████████████████████████
        0 └┬────────────────┬───────────────┬────────────────┬────────────────
           0 s              0.5 s           1 s              1.5 s            2 s
      "
    `);
  });

  test("never passes the width of the terminal", () => {
    for (const terminal of [PLAIN, COLOUR, DUMB]) {
      for (const count of [1, 2, 3, 10, 99, 1234]) {
        const lines = stripVTControlCharacters(plot(calls(count), terminal)).split("\n");
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
      }
    }
  });

  test("shows a single denied call among thousands allowed", () => {
    const points = Array.from({ length: 5000 }, (_, index) => ({
      atUs: index * 100,
      allowed: index !== 2500,
    }));
    expect(plot(points, COLOUR)).toContain("\u001b[36m\u001b[41m▇\u001b[49m\u001b[39m");
    expect(plot(points, PLAIN)).toContain("1 denied");
  });

  test("shows decisions of one instant in one column", () => {
    const points = [true, false].map((allowed) => ({ atUs: 5, allowed }));
    expect(plot(points, PLAIN)).toContain("1 allowed, per 1 µs");
  });

  test("of nothing is nothing", () => {
    expect(plot([], PLAIN)).toBe("");
  });
});

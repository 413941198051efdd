/** Sources and pages are in plain English: words of a dialect of our own, and fragments, stay out. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { flat, type Source, sourcesIn } from "./sources.js";

/** What to write in place of each. */
const BANNED: readonly (readonly [banned: RegExp, instead: string])[] = [
  [/\bseat/i, "debit, or permit"],
  [/\btold of\b/i, "notified, reported, listed"],
  [/\b(?:left|leaves) alone\b/i, "not asked, not changed, paused"],
  [/\bso many at once\b/i, "at most N at a time"],
  [/\bof a call that\b/i, "a sentence: who does what, because of which call"],
  [/\bin vain\b/i, "without success, or what happened"],
  [/\bas ever\b/i, "as usual"],
];

function bannedIn(sources: readonly Source[]): readonly string[] {
  return sources.flatMap(({ path, text }) =>
    BANNED.flatMap(([banned, instead]) => {
      const [found] = banned.exec(flat(text)) ?? [];
      return found === undefined ? [] : [`${path} says "${found}"; say ${instead}`];
    }),
  );
}

test("no source has a banned word", () => {
  expect(bannedIn(sourcesIn("packages/sluice/src", [".ts", ".lua", ".md"]))).toEqual([]);
  expect(bannedIn(sourcesIn("packages/cli/src", [".ts", ".md"]))).toEqual([]);
});

test("no page has a banned word", () => {
  const readme = { path: "README.md", text: readFileSync("README.md", "utf8") };
  expect(bannedIn([readme, ...sourcesIn("docs", [".md"])])).toEqual([]);
});

test.each([
  ["const Seats = 1;", "Seat"],
  ["/** Who is told of it. */", "told of"],
  ["/**\n * A store that is left\n * alone. */", "left alone"],
  ["  // It leaves\n  // alone what is new.", "leaves alone"],
  ["-- So many\n-- at once.", "So many at once"],
  ['throw new Error("the key of a call that failed");', "of a call that"],
  ["/** Waits in\n    vain. */", "in vain"],
  ["// Goes on as\n// ever.", "as ever"],
])("in %j the banned words are seen", (text, found) => {
  expect(bannedIn([{ path: "a", text }])).toEqual([expect.stringContaining(`a says "${found}";`)]);
});

test("words that contain a banned one are not", () => {
  expect(bannedIn([{ path: "a", text: "// nauseated; retold often; within vaine" }])).toEqual([]);
});

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

/** Word for word from another language. Records of decisions and the names of tests keep theirs. */
const TRANSLATED: typeof BANNED = [
  [/\banew\b(?!, by id)/i, "again"],
  [/\bwhere there is none\b/i, "if there is none"],
  [/\b(?:if|where) so told\b|\bif told so\b/i, "if asked to"],
  [/\btold apart\b/i, "distinguished"],
  [/\bwhat it is told\b|\bcan be told\b/i, "its options, its answers"],
  [/\bstands twice\b/i, "appears twice"],
  [/\bby what came of it\b/i, "by outcome"],
  [/\blives? and dies?\b/i, "exists only in"],
];

const keepsTheirs = (path: string): boolean => /^decisions\/|\.test\.ts$/.test(path);

function bannedIn(sources: readonly Source[]): readonly string[] {
  return sources.flatMap(({ path, text }) =>
    (keepsTheirs(path) ? BANNED : [...BANNED, ...TRANSLATED]).flatMap(([banned, instead]) => {
      const [found] = banned.exec(flat(text)) ?? [];
      return found === undefined ? [] : [`${path} says "${found}"; say ${instead}`];
    }),
  );
}

test("no source has a banned word", () => {
  expect(bannedIn(sourcesIn("packages/sluice/src", [".ts", ".lua", ".md"]))).toEqual([]);
  expect(bannedIn(sourcesIn("packages/cli/src", [".ts", ".md"]))).toEqual([]);
});

test("no source around the packages has one either", () => {
  for (const folder of ["dashboard/src", "scripts", "bench", "examples"]) {
    const sources = sourcesIn(folder, [".ts", ".tsx", ".mjs", ".lua", ".md"]);
    expect(sources.length, folder).toBeGreaterThan(0);
    expect(
      bannedIn(sources.map(({ path, text }) => ({ path: `${folder}/${path}`, text }))),
    ).toEqual([]);
  }
});

test("no page has a banned word", () => {
  const pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map((path) => ({
    path,
    text: readFileSync(path, "utf8"),
  }));
  expect(bannedIn([...pages, ...sourcesIn("docs", [".md"])])).toEqual([]);
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
  ["// Begins anew.", "anew"],
  ["/** Undefined where there\n * is none. */", "where there is none"],
  ["/** Past the capacity if so told. */", "if so told"],
  ["/** Clients are told apart by it. */", "told apart"],
  ["/** What a store can be told. */", "can be told"],
  ['throw new Error("a name stands twice");', "stands twice"],
  ['help: "Units, by what came of it."', "by what came of it"],
  ["// It lives and dies with it.", "lives and dies"],
])("in %j the banned words are seen", (text, found) => {
  expect(bannedIn([{ path: "a", text }])).toEqual([expect.stringContaining(`a says "${found}";`)]);
});

test("words that contain a banned one are not", () => {
  expect(bannedIn([{ path: "a", text: "// nauseated; retold often; within vaine" }])).toEqual([]);
});

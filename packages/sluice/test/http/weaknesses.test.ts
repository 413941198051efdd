/** What frameworks keep adapters from is on a page, word for word as the adapters' subjects declare it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { subjects } from "./subjects/index.js";

const SECTION = "## What frameworks keep adapters from\n";

test("docs/http.md has every declared weakness, and no other", () => {
  const rows = subjects.flatMap(({ name, weaknesses = {} }) =>
    Object.entries(weaknesses).map(([weakness, why]) => `| ${name} | \`${weakness}\` | ${why} |`),
  );
  const [, section = ""] = readFileSync("docs/http.md", "utf8").split(SECTION);
  const [own = ""] = section.split("\n## ");
  const shown = own.split("\n").filter((line) => line.startsWith("| "));
  expect(shown).toEqual(["| adapter | weakness | why |", ...rows]);
});

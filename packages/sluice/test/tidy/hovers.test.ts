/** What users pass and get shows in an editor what it is: every member has its docstring. */
import { expect, test } from "vitest";
import { isTest, sourcesIn } from "./sources.js";

const TYPES =
  /^export interface (\w*(?:Options|Hooks|Request)|Decision|PolicyVerdict|EventMap|SemaphoreUsage)\b[^{]*\{\n([^]*?)^\}/gm;
/** Of the first level. */
const MEMBER = /^ {2}(?:readonly )?\w+\??[:(<]/;
/** What names the types that users see. */
const ENTRY = /(?:index|outgoing\/fetch|outgoing\/undici)\.ts$/;

test("every member that users pass or read has a docstring", () => {
  const sources = sourcesIn("packages/sluice/src/", [".ts"]).filter(
    // The shapes of other libraries are theirs.
    (source) => !isTest(source) && !source.path.endsWith("-types.ts"),
  );
  const shown = new Set(
    sources.filter(({ path }) => ENTRY.test(path)).flatMap(({ text }) => text.match(/\w+/g) ?? []),
  );
  const types = sources.flatMap(({ path, text }) =>
    [...text.matchAll(TYPES)].map(([, name = "", members = ""]) => ({ path, name, members })),
  );
  expect(types.length).toBeGreaterThan(20);
  const bare = types
    .filter(({ name }) => shown.has(name))
    .flatMap(({ path, name, members }) =>
      members
        .split("\n")
        .filter((line, i, lines) => MEMBER.test(line) && lines[i - 1]?.endsWith("*/") !== true)
        .map((line) => `${path}: ${name}: ${line.trim()}`),
    );
  expect(bare).toEqual([]);
});

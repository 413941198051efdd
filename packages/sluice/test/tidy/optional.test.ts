/** Callers who pass options on have `undefined` where they were given none: no option may refuse that. */
import { expect, test } from "vitest";
import { isTest, sourcesIn } from "./sources.js";

const OPTIONS = /^export (?:interface|type) (\w*(?:Options|Hooks|Request|Input))\b[^]*?^\}/gm;
const EXACT = /^ {2}(?:readonly )?(\w+)\?: (?![^;]*\| undefined)[^;{(]+;/gm;
/** What names the types that users see. */
const ENTRY = /(?:index|outgoing\/fetch|outgoing\/undici)\.ts$/;

test("every option that users may pass may be undefined", () => {
  const sources = sourcesIn("packages/sluice/src/", [".ts"]).filter(
    // The shapes of other libraries are theirs.
    (source) => !isTest(source) && !source.path.endsWith("-types.ts"),
  );
  const shown = new Set(
    sources.filter(({ path }) => ENTRY.test(path)).flatMap(({ text }) => text.match(/\w+/g) ?? []),
  );
  const exact = sources.flatMap(({ path, text }) =>
    [...text.matchAll(OPTIONS)]
      .filter(([, name = ""]) => shown.has(name))
      .flatMap(([type]) => [...type.matchAll(EXACT)].map(([, option]) => `${path}: ${option}`)),
  );
  expect(exact).toEqual([]);
});

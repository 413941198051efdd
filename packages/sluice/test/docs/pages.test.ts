import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { packedPages, packedText, shownPictures } from "../../../../scripts/pages-to-pack.mjs";
import { checkTypes, markdownSnippets, runSnippet } from "../support/snippets.js";

const pages = [...pagesIn("."), ...pagesIn("docs", true), ...pagesIn("packages/sluice/src", true)];
const snippets = pages.filter((page) => page !== "README.md").flatMap(markdownSnippets);

for (const snippet of snippets) {
  test(`${snippet.name} runs and prints what it says`, async () => {
    await runSnippet(snippet);
  });
}

test("the code on the pages has the right types", async () => {
  await checkTypes(snippets);
});

test("the limits of a login route are as few lines as its recipe says", () => {
  const [, behind = ""] = readFileSync("docs/recipes.md", "utf8").split("are these nine lines");
  const [, code = ""] = /^```ts continued\n(.*?)^```/ms.exec(behind) ?? [];
  const lines = code.split("\n").filter((line) => line !== "");
  expect(lines).toHaveLength(9);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(125);
});

test("every link within the repository leads somewhere", () => {
  const broken = pages.flatMap((page) =>
    linksOf(page)
      .filter((link) => !leadsSomewhere(page, link))
      .map((link) => `${page}: ${link}`),
  );
  expect(broken).toEqual([]);
});

test("the list of pages has every page", () => {
  const listed = new Set(linksOf("docs/README.md").map((link) => join("docs", link)));
  const forgotten = packedPages().filter((page) => /^docs\/(?!README)/.test(page));
  expect(forgotten.filter((page) => !listed.has(page))).toEqual([]);
});

test("no link of a packed page leads out of the package", () => {
  const packed = packedPages();
  const dead = packed.flatMap((page) =>
    linksIn(packedText(page, readFileSync(page, "utf8")))
      .map((link) => join(dirname(page), link.split("#")[0] ?? ""))
      .filter((path) => path !== dirname(page))
      .filter((path) => !/^(?:docs(?:\/.*)?|(?:README|CHANGELOG|SECURITY)\.md|LICENSE)$/.test(path))
      .map((path) => `${page}: ${path}`),
  );
  expect(dead).toEqual([]);
  expect(packed).toContain("docs/decisions/0001-expiry-is-state.md");
  expect(packedText("docs/redis.md", "[a](../bench/README.md#b), [c](api.md)")).toBe(
    "a, [c](api.md)",
  );
});

test("a picture is packed if a page shows it, and a link to another is its words", () => {
  const shown = shownPictures();
  expect(shown).toContain("docs/images/dashboard-first.png");
  expect(shown).not.toContain("docs/images/dashboard-390-dark.png");
  expect(packedText("docs/dashboard.md", "![a](images/a.png), [b](images/b.png)")).toBe(
    "![a](images/a.png), b",
  );
  const left = packedPages().flatMap((page) =>
    linksIn(packedText(page, readFileSync(page, "utf8")))
      .map((link) => join(dirname(page), link))
      .filter((path) => path.endsWith(".png") && !shown.has(path)),
  );
  expect(left).toEqual([]);
});

function pagesIn(folder: string, recursive = false): string[] {
  const files = readdirSync(folder, { recursive, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".md")).map((file) => join(folder, file));
}

function linksOf(page: string): string[] {
  return linksIn(readFileSync(page, "utf8"));
}

function linksIn(text: string): string[] {
  const prose = text.replaceAll(/^```.*?^```$/gms, "");
  return [...prose.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, link = ""]) => link);
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : join(dirname(page), path);
  if (!existsSync(target)) return false;
  return anchor === undefined || anchorsOf(target).includes(anchor);
}

/** As GitHub makes them from headings. */
function anchorsOf(page: string): string[] {
  return [...readFileSync(page, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

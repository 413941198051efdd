// Figures of the documentation: `node scripts/docs-figures.mjs [PAGE…]` prints words, sentences and how easy each page
// reads (Flesch: 206.835 − 1.015 words a sentence − 84.6 syllables a word; 60 is plain English, 30 is a paper), then
// dead links and the blocks of code by what becomes of them. Code and tables of names have no sentences, and are left out.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { argv } from "node:process";

const MOST_READ = [
  "README.md",
  ...["api", "redis", "http", "policies", "semaphore"].map((page) => `docs/${page}.md`),
];
const pages = [
  "README.md",
  ...readdirSync("docs", { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join("docs", file))
    .toSorted(),
];
const FENCE = /^ *```(?<info>[^\n]*)\n.*?^ *```$/gms;

/** @param {string} page */
const read = (page) => readFileSync(page, "utf8");

/**
 * The sentences of a page: paragraphs, items of lists, and cells of six words or more.
 * @param {string} text
 */
function sentencesOf(text) {
  return text
    .replaceAll(FENCE, "\n\n")
    .replaceAll(/^(#.*|\|[-| :]+\|)$/gm, "\n")
    .replaceAll(/^\|.*\|$/gm, (row) =>
      row
        .split(/(?<!\\)\|/)
        .filter((cell) => cell.trim().split(/\s+/).length > 5)
        .join("\n\n"),
    )
    .replaceAll(/^ *(?:[-*]|\d+\.) /gm, "\n\n")
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/`[^`]*`/g, "code")
    .split(/\n\s*\n|(?<=[.!?:])["')*]*\s+(?=[\p{Lu}"(*\d]|code)/u)
    .map((sentence) => sentence.match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu) ?? [])
    .filter((words) => words.length > 1);
}

/** @param {string} word */
function syllablesOf(word) {
  const plain = word.toLowerCase().replace(/(?:[^laeiouy]es|ed|[^laeiouy]e)$/, "");
  return Math.max(1, plain.match(/[aeiouy]+/g)?.length ?? 1);
}

/** @param {string} page */
function figuresOf(page) {
  const sentences = sentencesOf(read(page));
  const words = sentences.flat();
  const syllables = words.reduce((sum, word) => sum + syllablesOf(word), 0);
  const perSentence = words.length / sentences.length;
  return {
    words: read(page).replaceAll(FENCE, "").match(/\S+/g)?.length ?? 0,
    sentences: sentences.length,
    "words a sentence": Number(perSentence.toFixed(1)),
    "longer than 30": sentences.filter(({ length }) => length > 30).length,
    flesch: Number((206.835 - 1.015 * perSentence - 84.6 * (syllables / words.length)).toFixed(1)),
  };
}

/** @param {string} page */
function anchorsOf(page) {
  return [
    ...read(page)
      .replaceAll(FENCE, "")
      .matchAll(/^#+ (.+)$/gm),
  ].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** @param {string} page */
function linksOf(page) {
  return [
    ...read(page)
      .replaceAll(FENCE, "")
      .matchAll(/\]\((?!https?:)([^)\s]+)\)/g),
  ].map(([, link = ""]) => {
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : join(dirname(page), path);
    const isDead =
      !existsSync(target) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
    const isOutside = !/^(?:docs|README\.md|CHANGELOG\.md|SECURITY\.md|LICENSE)/.test(target);
    return { link: `${page}: ${link}`, isDead, isOutside };
  });
}

const asked = argv.slice(2);
console.table(
  Object.fromEntries((asked.length > 0 ? asked : MOST_READ).map((page) => [page, figuresOf(page)])),
);
const all = pages.map((page) => figuresOf(page));
console.log(
  `${pages.length} pages, ${all.reduce((sum, { words }) => sum + words, 0)} words without code, ` +
    `${all.reduce((sum, page) => sum + page["longer than 30"], 0)} sentences of more than 30 words`,
);
const links = pages.flatMap(linksOf);
const named = (/** @type {readonly { link: string }[]} */ some) =>
  `${some.length}${some.map(({ link }) => `\n  ${link}`).join("")}`;
console.log(`${links.length} links; dead: ${named(links.filter(({ isDead }) => isDead))}`);
console.log(`links out of what is packed: ${named(links.filter(({ isOutside }) => isOutside))}`);
const kinds = new Map();
for (const { groups } of pages.flatMap((page) => [...read(page).matchAll(FENCE)])) {
  const kind = groups?.["info"]?.split(" ")[0] ?? "";
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
}
console.log("blocks of code:", Object.fromEntries([...kinds].toSorted(([, a], [, b]) => b - a)));

// What a package shows beside its code is kept at the repository's root: `copy` puts it into the package that is packed
// here, just before that, and `remove` takes it out again. The library has all pages; the program has its own README, and
// the library beside it. Links that lead out of what is packed become their text. So do links to pictures: only those that
// a page shows are packed, since each weighs as much as half of the code.
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";
import { argv, cwd } from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs"];
/** Those of each package, by its folder. */
const PAGES_OF = /** @type {Readonly<Record<string, readonly string[]>>} */ ({
  sluice: PAGES,
  cli: ["CHANGELOG.md", "SECURITY.md", "LICENSE"],
});

/**
 * A page as it is packed.
 * @param {string} page its path from the root
 * @param {string} text
 */
export function packedText(page, text) {
  return text.replaceAll(
    /(?<!!)\[([^\]]*)\]\((?!https?:)([^)#\s]+)[^)]*\)/g,
    (/** @type {string} */ link, /** @type {string} */ words, /** @type {string} */ path) => {
      const [first] = normalize(join(dirname(page), path)).split("/");
      return PAGES.includes(first ?? "") && !isPicture(path) ? link : words;
    },
  );
}

/** @param {string} path */
function isPicture(path) {
  return path.endsWith(".png");
}

/** The paths of the pictures that packed pages show, from the root. */
export function shownPictures() {
  const shown = packedPages().flatMap((page) =>
    [...readFileSync(join(root, page), "utf8").matchAll(/!\[[^\]]*\]\(([^)\s]+)/g)].map(
      ([, path]) => normalize(join(dirname(page), path ?? "")),
    ),
  );
  return new Set(shown);
}

/** The paths of all packed pages, from the root. */
export function packedPages() {
  return PAGES.flatMap((page) =>
    lstatSync(join(root, page)).isDirectory()
      ? readdirSync(join(root, page), { recursive: true, encoding: "utf8" }).map((file) =>
          join(page, file),
        )
      : [page],
  ).filter((page) => page.endsWith(".md"));
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const target = cwd();
  const pages = PAGES_OF[basename(target)];
  if (pages === undefined) throw new Error(`run it in the folder of a package, not in ${target}`);
  const shown = shownPictures();
  const filter = (/** @type {string} */ path) =>
    !isPicture(path) || shown.has(relative(root, path));
  for (const page of pages) {
    rmSync(join(target, page), { recursive: true, force: true });
    if (argv[2] === "copy") {
      cpSync(join(root, page), join(target, page), { recursive: true, filter });
    }
  }
  if (argv[2] === "copy") {
    for (const page of packedPages().filter((each) => pages.includes(each.split("/")[0] ?? ""))) {
      writeFileSync(join(target, page), packedText(page, readFileSync(join(root, page), "utf8")));
    }
  }
}

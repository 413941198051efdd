// What the package shows beside its code is kept at the repository's root: `copy` puts it into the package just
// before it is packed, and `remove` takes it out again. Links that lead out of what is packed become their text.
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "packages", "sluice");
const PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs"];

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
      return PAGES.includes(first ?? "") ? link : words;
    },
  );
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
  for (const page of PAGES) {
    rmSync(join(target, page), { recursive: true, force: true });
    if (argv[2] === "copy") cpSync(join(root, page), join(target, page), { recursive: true });
  }
  if (argv[2] === "copy") {
    for (const page of packedPages()) {
      writeFileSync(join(target, page), packedText(page, readFileSync(join(root, page), "utf8")));
    }
  }
}

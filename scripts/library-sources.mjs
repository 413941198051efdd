// The library's entry points, as its package.json exports them, and the source of each: in this repository whatever
// imports `sluice` or `sluice/NAME` is checked and tested against the sources, never against a build that may be older.
// Vitest and the tests take them from here; run as a program it writes them for the compiler into tsconfig.sources.json.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { writeIfChanged } from "./write-if-changed.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const library = "packages/sluice";

/**
 * The sources of what the library exports, from the repository's root, by the name that is imported: "sluice",
 * "sluice/redis".
 * @returns {Readonly<Record<string, string>>}
 */
export function librarySources() {
  return sourcesOf(library);
}

/** The same of the program: "@sluice/cli/dashboard". */
export function programSources() {
  return sourcesOf("packages/cli");
}

/**
 * @param {string} folder
 * @returns {Readonly<Record<string, string>>}
 */
function sourcesOf(folder) {
  const text = readFileSync(join(root, folder, "package.json"), "utf8");
  const { exports, name } =
    /** @type {{ name: string, exports: Record<string, string | { default: string }> }} */ (
      JSON.parse(text)
    );
  return Object.fromEntries(
    Object.entries(exports).flatMap(([subpath, target]) => {
      // A string is a file that is exported unchanged, such as a JSON Schema.
      if (typeof target === "string") return [];
      const source = target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts");
      return [[`${name}${subpath.slice(1)}`, `${folder}/${source}`]];
    }),
  );
}

/** For Vite: each name as a whole, since an alias otherwise also matches the beginning of longer ones. */
export function librarySourceAliases() {
  return Object.entries(librarySources()).map(([name, source]) => ({
    find: new RegExp(`^${name}$`),
    replacement: join(root, source),
  }));
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const paths = Object.fromEntries(
    Object.entries(librarySources()).map(([name, source]) => [name, [`./${source}`]]),
  );
  const file = join(root, "tsconfig.sources.json");
  writeIfChanged(file, `${JSON.stringify({ compilerOptions: { paths } }, null, 2)}\n`);
}

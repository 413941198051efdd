// What users can import, a line for each export and member. `api-surface.txt` holds it as it was at the last release: this
// prints what is new, changed or gone since, for who decides on a version; with --write it rewrites the file.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { librarySources, programSources } from "./library-sources.mjs";
import { documentedIn, Sources } from "./public-surface.mjs";
import { writeIfChanged } from "./write-if-changed.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const FILE = join(root, "packages/sluice/api-surface.txt");

/**
 * The lines of all entry points, in order. A type that several entry points export is listed with the first.
 * @param {Sources} sources
 * @param {Readonly<Record<string, string>>} entries
 */
export function surfaceLines(sources, entries) {
  const seen = new Set();
  return Object.entries(entries).flatMap(([entry, file]) =>
    [...sources.exportsOf(file)]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([name, id]) => {
        const key = `${id.file}#${id.name}`;
        if (seen.has(key)) return [];
        seen.add(key);
        const renamed = name === id.name ? "" : ` as ${name}`;
        return documentedIn(sources, id).map(
          (each) => `${entry} ${each.name}${renamed}: ${each.text}`,
        );
      }),
  );
}

/**
 * Lines that are in one and not in the other: "- " gone, "+ " new.
 * @param {readonly string[]} before
 * @param {readonly string[]} now
 */
export function surfaceDiff(before, now) {
  const [had, has] = [new Set(before), new Set(now)];
  return [
    ...before.filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !had.has(line)).map((line) => `+ ${line}`),
  ];
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const sources = new Sources((file) => readFileSync(join(root, file), "utf8"));
  const now = surfaceLines(sources, { ...librarySources(), ...programSources() });
  if (argv.includes("--write")) writeIfChanged(FILE, `${now.join("\n")}\n`);
  else {
    const diff = surfaceDiff(readFileSync(FILE, "utf8").trimEnd().split("\n"), now);
    console.log(diff.length === 0 ? "nothing has changed since the last release" : diff.join("\n"));
  }
}

// What the package shows beside its code is kept at the repository's root: `copy` puts it into the package just
// before it is packed, and `remove` takes it out again.
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "packages", "sluice");
const PAGES = ["README.md", "CHANGELOG.md", "LICENSE", "docs"];

for (const page of PAGES) {
  rmSync(join(target, page), { recursive: true, force: true });
  if (process.argv[2] === "copy") cpSync(join(root, page), join(target, page), { recursive: true });
}

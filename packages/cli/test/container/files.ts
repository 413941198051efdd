/** Files of the repository, by their paths from its root. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export function fromRoot(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

export function textOf(path: string): string {
  return readFileSync(fromRoot(path), "utf8");
}

// Writes what is generated. A file that says so already stays as it is: others may be reading it.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/**
 * @param {string | URL} file
 * @param {string} text
 */
export function writeIfChanged(file, text) {
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  writeFileSync(file, text);
}

/** The example crawler keeps within what its site allows, and gets every page all the same. */
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildPackage } from "../support/built.js";
import { runNode } from "../support/processes.js";

test("the crawler gets 40 pages, at most 5 at once, in spite of refusals", async () => {
  const built = await buildPackage([]);
  try {
    // As users have it: the package under its name, the example beside it.
    const home = mkdtempSync(join(built.directory, "crawler-"));
    const installed = join(built.directory, "node_modules", "sluice");
    mkdirSync(installed);
    cpSync("package.json", join(installed, "package.json"));
    symlinkSync(join(built.directory, "dist"), join(installed, "dist"), "dir");
    cpSync("examples/crawler", home, { recursive: true });
    const { code, stdout, stderr } = await runNode(join(home, "main.mjs"));
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^crawled 40 pages in /);
    const [, peak, refused] = /at most (\d+) at once; (\d+) refused/.exec(stdout) ?? [];
    expect(Number(peak)).toBeLessThanOrEqual(5);
    expect(Number(refused)).toBeGreaterThan(0);
  } finally {
    built.remove();
  }
});

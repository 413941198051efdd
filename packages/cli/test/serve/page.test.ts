/** docs/service.md has the settings and reasons that there are. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PROBLEMS } from "../../src/serve/http/problem.js";
import { settingsTable } from "../../src/serve/settings.js";

const path = fileURLToPath(new URL("../../../../docs/service.md", import.meta.url));

test("the table of settings is that of the program", () => {
  const page = readFileSync(path, "utf8");
  const [table = ""] = /\| flag \| variable [^]*?\n(?=\n)/.exec(page) ?? [];
  expect(table.trimEnd()).toBe(settingsTable());
});

test("each reason of a problem is explained", () => {
  const page = readFileSync(path, "utf8");
  for (const reason of Object.keys(PROBLEMS)) expect(page).toContain(`\`${reason}\``);
});

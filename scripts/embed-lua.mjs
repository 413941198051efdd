// Embeds the Lua scripts in the JavaScript, so that the published package reads nothing from disk
// and survives bundlers. Comments and indentation are left out: they would travel to the server.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const sourceDir = fileURLToPath(new URL("../packages/sluice/src/", import.meta.url));
const target = join(sourceDir, "lua", "generated.ts");

/**
 * @param {string} source
 * @param {string} path named in the error
 */
function strip(source, path) {
  const lines = source.split("\n").map((line) => line.trim());
  if (lines.some((line) => /^--\[=*\[/.test(line))) {
    throw new Error(
      `${path}: write comments with "--" on each line; block comments are not stripped`,
    );
  }
  return lines.filter((line) => line !== "" && !line.startsWith("--")).join("\n");
}

mkdirSync(dirname(target), { recursive: true });

const entries = readdirSync(sourceDir, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".lua"))
  .map((path) => path.split(sep).join("/"))
  .toSorted()
  .map((path) => {
    const lua = strip(readFileSync(join(sourceDir, path), "utf8"), path);
    return `  ${JSON.stringify(path.slice(0, -".lua".length))}: ${JSON.stringify(lua)},\n`;
  });

writeFileSync(
  target,
  `// Generated from packages/sluice/src/**/*.lua by scripts/embed-lua.mjs. Edit those and run \`npm run generate\`.
export const luaSources = {
${entries.join("")}} as const satisfies Record<string, string>;
`,
);

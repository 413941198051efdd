// Collects the tools.ts of every algorithm's folder: what the audit, the command line and the tests need of an algorithm is
// beside its kernel, and its one line in algorithms/list.ts need not be repeated for each of them.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeIfChanged } from "./write-if-changed.mjs";

const folder = fileURLToPath(new URL("../packages/sluice/src/algorithms/", import.meta.url));

const algorithms = readdirSync(folder)
  .filter((name) => existsSync(join(folder, name, "tools.ts")))
  .map((name) => ({
    path: `./${name}/tools.js`,
    // token-bucket: tokenBucketTools
    tools: `${name.replaceAll(/-(\w)/g, (_, letter) => String(letter).toUpperCase())}Tools`,
  }));

writeIfChanged(
  join(folder, "generated.ts"),
  `// Generated from packages/sluice/src/algorithms/*/tools.ts by scripts/collect-tools.mjs: run \`npm run generate\`.
${algorithms.map(({ path, tools }) => `import { ${tools} } from "${path}";\n`).join("")}
export const algorithmTools = [${algorithms.map(({ tools }) => tools).join(", ")}];
`,
);

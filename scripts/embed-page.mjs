// Builds the dashboard's page with Vite into one HTML file, and writes it as a module of the program, with the
// Content-Security-Policy that lets its one script and its one style run, by their hashes, and nothing else.
//
// Many commands call this, so it is done only when something that the page is made of has changed: the module says from
// what it was built.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { writeIfChanged } from "./write-if-changed.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "dashboard");
const target = join(root, "packages/cli/src/dashboard/page.generated.ts");

/** Of the page, and of the page zipped. */
const MOST_BYTES = 90_000;
const MOST_ZIPPED = 30_000;

/** @param {string} text */
const sha256 = (text) => createHash("sha256").update(text).digest("base64");

/** A hash of all that the page is made of, but what is installed, which package.json pins. */
function inputsHash() {
  const names = readdirSync(join(source, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(?:tsx?|css)$/.test(name) && !/\.test\.tsx?$/.test(name))
    .map((name) => join(source, "src", name))
    .sort();
  const files = [
    fileURLToPath(import.meta.url),
    join(source, "package.json"),
    join(source, "index.html"),
    ...names,
  ];
  const texts = files.map((file) => [file.slice(root.length), readFileSync(file, "utf8")]);
  return sha256(JSON.stringify(texts));
}

async function buildPage() {
  const { build } = await import("vite");
  const { viteSingleFile } = await import("vite-plugin-singlefile");
  const built = await build({
    root: source,
    configFile: false,
    logLevel: "error",
    plugins: [viteSingleFile()],
    // No polyfill of modulepreload: it fetches, and there is one file.
    build: {
      write: false,
      target: "es2022",
      cssTarget: ["chrome123", "firefox128", "safari17.5"],
      modulePreload: false,
    },
  });
  const output = "output" in built ? built.output : [];
  const html = output.find(({ fileName }) => fileName === "index.html");
  if (html?.type !== "asset" || output.length !== 1) {
    throw new Error(
      `the page must be one file, not ${output.map((file) => file.fileName).join(", ")}`,
    );
  }
  const page = String(html.source);
  const sizes = [Buffer.byteLength(page), gzipSync(page, { level: 9 }).length];
  if ((sizes[0] ?? 0) > MOST_BYTES || (sizes[1] ?? 0) > MOST_ZIPPED) {
    throw new Error(`the page has ${sizes[0]} bytes, ${sizes[1]} zipped: too many`);
  }
  return page;
}

/**
 * The policy under which a page runs what is in it, and nothing else.
 * @param {string} html
 */
function policyOf(html) {
  const hashes = (/** @type {string} */ tag) => {
    const texts = [...html.matchAll(new RegExp(`<${tag}[^>]*>(.*?)</${tag}>`, "gs"))];
    if (texts.length !== 1) throw new Error(`the page must have one <${tag}>, not ${texts.length}`);
    return texts.map(([, text]) => `'sha256-${sha256(text ?? "")}'`).join(" ");
  };
  return [
    "default-src 'none'",
    `script-src ${hashes("script")}`,
    `style-src ${hashes("style")}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

const from = `// From ${inputsHash()}\n`;
if (!existsSync(target) || !readFileSync(target, "utf8").includes(from)) {
  const html = await buildPage();
  writeIfChanged(
    target,
    `/** The dashboard's page: built from dashboard/ by scripts/embed-page.mjs. Run \`npm run generate\`. */
${from}export const PAGE: string = ${JSON.stringify(html)};
/** The policy that it is to be served with. */
export const CSP: string = ${JSON.stringify(policyOf(html))};
`,
  );
}

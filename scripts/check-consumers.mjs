// Installs the packed tarball as a user would and runs the programs of test/consumers with it:
// every runtime we name, both module systems, a single file, Jest, the type checkers and resolutions
// people use, and the oldest Redis clients.
// A runtime that cannot be obtained is a failure, never a skip.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startRedis } from "./redis-server.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const esbuild = join(root, "node_modules/.bin/esbuild");
const scratch = mkdtempSync(join(tmpdir(), "sluice-consumers-"));
const FRAMEWORKS = {
  lowest: [
    "express@4.16.0",
    "@types/express@4.17.0",
    "fastify@5.0.0",
    "koa@2.13.0",
    "@types/koa@2.13.0",
    "hono@4.0.0",
  ],
  newest: [
    "express@5.3.0",
    "@types/express@5.0.6",
    "fastify@5.12.8",
    "koa@3.3.0",
    "@types/koa@3.0.3",
    "hono@4.13.19",
  ],
};
const resolutions = [
  ["--module", "nodenext"],
  ["--module", "node16"],
  ["--module", "esnext", "--moduleResolution", "bundler"],
];
const compilers = ["5.9.3", "7.0.2"];
// The lowest versions that the peer ranges allow; the newest are what the repository itself runs on.
const clients = ["redis@4.6.0", "ioredis@5.4.1"];
let passed = 0;
let failed = 0;

/**
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 */
function run([file = "", ...args], env = {}, cwd = scratch) {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 300_000,
  });
  if (status === 0) return stdout;
  throw new Error(
    `${[file, ...args].join(" ")}\n${stdout}${stderr}`.trim(),
    error && { cause: error },
  );
}

/**
 * @param {string} name
 * @param {() => unknown} body
 */
function check(name, body) {
  try {
    body();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}`);
    console.error(error);
  }
}

/** @param {string} spec an npm package that carries a runtime's binary, as in node@22 */
function fromRegistry(spec) {
  const [name = ""] = spec.split("@");
  const launch = ["npx", "--yes", `--package=${spec}`, "--", name];
  let version = "";
  try {
    version = run([...launch, "--version"]);
  } catch (cause) {
    throw new Error(`${spec} could not be obtained from the npm registry`, { cause });
  }
  return { launch, version: version.split("\n")[0] };
}

/**
 * @param {string} spec
 * @param {string[]} args before the program
 * @param {string[]} programs
 * @param {Record<string, string>} env
 */
function checkRuntime(spec, args, programs, env) {
  check(`${spec}: obtained`, () => {
    const { launch, version } = fromRegistry(spec);
    for (const program of programs) {
      check(`${spec} (${version}): ${program}`, () => run([...launch, ...args, program], env));
    }
  });
}

/**
 * Type-checks strictly, declarations and all, and compiles into `out`.
 * @param {string} version
 * @param {string[]} resolution
 * @param {string} program
 */
function compile(version, resolution, program) {
  const tsc = ["npx", "--yes", `--package=typescript@${version}`, "--", "tsc"];
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"];
  const emit = ["--target", "es2022", "--lib", "es2022,esnext.disposable", "--outDir", "out"];
  run([...tsc, ...strict, ...emit, ...resolution, "--types", "node", program]);
}

/**
 * The store with one client installed and no other, by its own types too.
 * @param {string} spec
 * @param {Record<string, string>} env
 */
function checkClient(spec, env) {
  const [name = ""] = spec.split("@");
  check(`${spec}: installed beside the package`, () => {
    run(["npm", "uninstall", "redis", "ioredis"]);
    run(["npm", "install", spec]);
    check(`${spec}: redis.mjs`, () => run([process.execPath, "redis.mjs"], env));
    for (const version of compilers) {
      check(`${spec}: typescript ${version}`, () => {
        compile(version, ["--module", "nodenext"], `with-${name}.ts`);
        run([process.execPath, `out/with-${name}.js`], env);
      });
    }
  });
}

/**
 * One small file that holds the library and a client, run where nothing is installed.
 * @param {Record<string, string>} env
 */
function checkSingleFile(env) {
  const elsewhere = mkdtempSync(join(tmpdir(), "sluice-single-"));
  const banner =
    'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
  try {
    for (const [format, file, js] of [
      ["cjs", "one.cjs", ""],
      ["esm", "one.mjs", banner],
    ]) {
      check(`a single file, minified: ${file}`, () => {
        const flags = ["--bundle", "--platform=node", "--minify", "--log-level=warning"];
        const output = [`--format=${format}`, `--outfile=${join(elsewhere, file ?? "")}`];
        run([esbuild, "single.mjs", ...flags, ...output, `--banner:js=${js}`]);
        run([process.execPath, file ?? ""], env, elsewhere);
      });
    }
  } finally {
    rmSync(elsewhere, { recursive: true, force: true });
  }
}

/** As docs/runtimes.md says to run it. */
function checkJest() {
  check("jest 30: installed", () => {
    run(["npm", "install", "--no-save", "jest@30.5.2"]);
    for (const program of ["modules.test.mjs", "commonjs.test.cjs"]) {
      check(`jest 30: ${program}`, () => {
        const match = ["--testMatch", `**/${program}`];
        run(["npx", "--no", "--", "jest", ...match], { NODE_OPTIONS: "--experimental-vm-modules" });
      });
    }
  });
}

/**
 * The adapters of all frameworks, by each framework's own types, at versions that its page names.
 * @param {string} name
 * @param {string[]} frameworks
 */
function checkFrameworks(name, frameworks) {
  check(`${name} frameworks: installed beside the package`, () => {
    // Types of Express and Koa are packages of their own; engines of a newer Node are only wished for.
    run(["npm", "install", "--no-audit", "--no-fund", ...frameworks]);
    for (const version of compilers) {
      check(`${name} frameworks: typescript ${version}`, () => {
        // Declarations of older frameworks are not all without errors of their own.
        const options = ["--module", "nodenext", "--skipLibCheck", "true"];
        compile(version, options, "with-frameworks.ts");
        run([process.execPath, "out/with-frameworks.js"]);
      });
    }
  });
}

/** @param {{ url: string }} redis */
function checkAll(redis) {
  const env = { REDIS_URL: redis.url };
  const nodePrograms = ["esm.mjs", "commonjs.cjs", "redis.mjs"];
  for (const program of nodePrograms) {
    check(`node ${process.version}: ${program}`, () => run([process.execPath, program], env));
  }
  checkRuntime("node@22", [], nodePrograms, env);
  checkRuntime("node@24", [], nodePrograms, env);
  checkRuntime("bun@1.4.5", [], ["esm.mjs"], env);
  checkRuntime("deno@2.9.6", ["run", "--allow-all"], ["esm.mjs"], env);

  for (const version of compilers) {
    for (const resolution of resolutions) {
      check(`typescript ${version}: ${resolution.join(" ")}`, () => {
        compile(version, resolution, "typed.ts");
        run([process.execPath, "out/typed.js"], env);
      });
    }
  }
  checkSingleFile(env);
  checkJest();
  for (const client of clients) checkClient(client, env);
  for (const [name, frameworks] of Object.entries(FRAMEWORKS)) checkFrameworks(name, frameworks);

  check("npx sluice --help", () => {
    const help = run(["npx", "--no", "--", "sluice", "--help"]);
    if (!help.includes("exercise")) throw new Error(`unexpected help:\n${help}`);
  });
}

const redis = await startRedis();
try {
  run(["npm", "pack", "--workspace", "sluice", "--pack-destination", scratch], {}, root);
  const tarball = readdirSync(scratch).find((file) => file.endsWith(".tgz"));
  cpSync(join(root, "packages/sluice/test/consumers"), scratch, { recursive: true });
  writeFileSync(join(scratch, "package.json"), '{ "private": true, "type": "module" }\n');
  run(["npm", "install", `./${tarball}`, "redis@6.3.1", "@types/node@20"]);
  checkAll(redis);
} finally {
  await redis.stop();
  rmSync(scratch, { recursive: true, force: true });
}

console.log(`consumers: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

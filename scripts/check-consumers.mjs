// Installs the packed tarballs of the library and the program as a user would and runs the programs of test/consumers with it:
// every runtime we name, both module systems, a single file, Jest, the type checkers and resolutions
// people use, and the oldest Redis clients.
// A runtime that cannot be obtained is a failure, never a skip.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startRedis } from "./redis-server.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const esbuild = join(root, "node_modules/.bin/esbuild");
const scratch = mkdtempSync(join(tmpdir(), "sluice-consumers-"));
/** What adapters are tried with: the page that says so, the package, its lowest version and its newest. */
const FRAMEWORKS = [
  ["express", "express", "4.16.0", "5.3.0"],
  ["fastify", "fastify", "5.0.0", "5.12.8"],
  ["koa", "koa", "2.16.1", "3.3.0"],
  ["hono", "hono", "4.2.0", "4.13.19"],
  ["web", "@hono/node-server", "1.4.0", "2.1.9"],
  ["nest", "@nestjs/core", "10.0.0", "12.5.1"],
  ["graphql", "graphql", "16.6.0", "16.15.0"],
  ["graphql", "graphql-yoga", "5.0.0", "5.24.1"],
  ["graphql", "@envelop/core", "5.0.0", "5.6.1"],
  ["graphql", "@apollo/server", "4.0.0", "5.5.1"],
];
/** What else they need: their own types, and parts. */
const BESIDE = {
  lowest: [
    "@types/express@4.17.0",
    "@types/koa@2.13.0",
    "@nestjs/common@10.0.0",
    "@nestjs/platform-express@10.0.0",
    "reflect-metadata@0.1.13",
    "rxjs@7.1.0",
  ],
  newest: [
    "@types/express@5.0.6",
    "@types/koa@3.0.3",
    "@nestjs/common@12.5.1",
    "@nestjs/platform-express@12.5.1",
    "reflect-metadata@0.2.2",
    "rxjs@7.8.2",
  ],
};
/** What docs/watch.md says that sluice/otel is tried with. */
const OTEL_VERSIONS = ["1.9.0", "1.10.0"];
const FRAMEWORK_PROGRAMS = ["with-frameworks", "with-web", "with-nest", "with-graphql"];
const resolutions = [
  ["--module", "nodenext"],
  ["--module", "node16"],
  ["--module", "esnext", "--moduleResolution", "bundler"],
];
const { version: VERSION } = /** @type {{ version: string }} */ (
  JSON.parse(readFileSync(join(root, "packages/sluice/package.json"), "utf8"))
);
/** By the names under which they are installed side by side. */
const compilers = ["typescript-5.9", "typescript-7.0"];
const COMPILERS = ["typescript-5.9@npm:typescript@5.9.3", "typescript-7.0@npm:typescript@7.0.2"];
// The lowest versions that the peer ranges allow; the newest are what the repository itself runs on.
const clients = ["redis@4.6.0", "ioredis@5.4.1"];
let passed = 0;
let failed = 0;
let last = performance.now();

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
  /** @param {string} how */
  const say = (how) => {
    const now = performance.now();
    console.log(how, `${((now - last) / 1000).toFixed(1).padStart(5)} s `, name);
    last = now;
  };
  try {
    body();
    passed += 1;
    say("ok   ");
  } catch (error) {
    failed += 1;
    say("FAIL ");
    console.error(error);
  }
}

/** @typedef {{ name: string, size: number, unpackedSize: number, entryCount: number }} Packed */

/**
 * What npm says of the tarballs that it made: a list, or by their names, as of npm 11.
 * @param {string} text behind what the packages' scripts print
 */
function packedIn(text) {
  const said = /** @type {Record<string, Packed>} */ (
    JSON.parse(text.slice(text.search(/^[[{]/m)))
  );
  return Object.values(said);
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
 * @param {string} compiler
 * @param {string[]} resolution
 * @param {string[]} programs
 */
function compile(compiler, resolution, programs, cwd = scratch) {
  const tsc = [process.execPath, `node_modules/${compiler}/bin/tsc`];
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"];
  const emit = ["--target", "es2022", "--lib", "es2022,esnext.disposable", "--outDir", "out"];
  run([...tsc, ...strict, ...emit, ...resolution, "--types", "node", ...programs], {}, cwd);
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
    install([spec]);
    check(`${spec}: redis.mjs`, () => run([process.execPath, "redis.mjs"], env));
    for (const compiler of compilers) {
      check(`${spec}: ${compiler}`, () => {
        compile(compiler, ["--module", "nodenext"], [`with-${name}.ts`]);
        run([process.execPath, `out/with-${name}.js`], env);
      });
    }
  });
}

/**
 * One small file that holds the library and a client, run in a folder without installed packages.
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
    install(["jest@30.5.2"], "--no-save");
    for (const program of ["modules.test.mjs", "commonjs.test.cjs"]) {
      check(`jest 30: ${program}`, () => {
        const match = ["--testMatch", `**/${program}`];
        run(["npx", "--no", "--", "jest", ...match], { NODE_OPTIONS: "--experimental-vm-modules" });
      });
    }
  });
}

/**
 * The adapters of all frameworks, by each framework's own types, in one directory.
 * @param {"lowest" | "newest"} which
 */
function checkFrameworks(which) {
  check(`${which} frameworks: installed beside the package`, () => {
    const named = FRAMEWORKS.map(([, name, lowest, newest]) =>
      [name, which === "lowest" ? lowest : newest].join("@"),
    );
    // Engines of a newer Node are only wished for.
    install([...named, ...BESIDE[which]]);
    for (const compiler of which === "lowest" ? compilers : compilers.slice(-1)) {
      check(`${which} frameworks: ${compiler}`, () => {
        // The declarations of some older frameworks have errors. Decorators are Nest's.
        const options = ["--module", "nodenext", "--skipLibCheck", "true"];
        const programs = FRAMEWORK_PROGRAMS.map((program) => `${program}.ts`);
        compile(compiler, [...options, "--experimentalDecorators"], programs);
      });
    }
    for (const program of FRAMEWORK_PROGRAMS) {
      check(`${which} frameworks: ${program}`, () => run([process.execPath, `out/${program}.js`]));
    }
  });
}

/**
 * sluice/otel, by the types and the objects of OpenTelemetry's API.
 * @param {string} version
 */
function checkOtel(version) {
  check(`@opentelemetry/api@${version}: installed beside the package`, () => {
    install([`@opentelemetry/api@${version}`]);
    for (const compiler of compilers) {
      check(`@opentelemetry/api@${version}: ${compiler}`, () => {
        compile(compiler, ["--module", "nodenext"], ["with-otel.ts"]);
        run([process.execPath, "out/with-otel.js"]);
      });
    }
  });
}

/** Pages name the versions that are tried here. */
function checkFrameworkPages() {
  check("pages of frameworks name the lowest and the newest version", () => {
    for (const [page, name, lowest, newest] of FRAMEWORKS) {
      const text = readFileSync(join(root, `docs/frameworks/${page}.md`), "utf8");
      const isNamed = text.replaceAll(/\s+/g, " ").includes(`${lowest} to ${newest}`);
      if (!isNamed) throw new Error(`${page}.md does not name ${name} ${lowest} to ${newest}`);
    }
  });
}

/**
 * @param {string[]} specs
 * @param {string[]} flags
 */
function install(specs, ...flags) {
  run(["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", ...flags, ...specs]);
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

  for (const compiler of compilers) {
    for (const resolution of resolutions) {
      check(`${compiler}: ${resolution.join(" ")}`, () => {
        compile(compiler, resolution, ["typed.ts"]);
        run([process.execPath, "out/typed.js"], env);
      });
    }
  }
  checkSingleFile(env);
  checkJest();
  for (const client of clients) checkClient(client, env);
  for (const version of OTEL_VERSIONS) checkOtel(version);
  checkFrameworkPages();
  checkFrameworks("lowest");
  checkFrameworks("newest");
}

/**
 * The dashboard for an app of one's own, beside the program that holds it: both module systems, and its types.
 * @param {string} project
 */
function checkDashboard(project) {
  const programs = ["dashboard.mjs", "dashboard.cjs", "with-dashboard.ts"];
  for (const program of programs) {
    cpSync(join(root, "packages/cli/test/consumers", program), join(project, program));
  }
  writeFileSync(join(project, "package.json"), manifestOf(project));
  for (const program of programs.slice(0, 2)) {
    check(`@sluice/cli/dashboard: ${program}`, () => run([process.execPath, program], {}, project));
  }
  check("@sluice/cli/dashboard: compilers installed", () => {
    const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--no-save"];
    run(["npm", "install", ...flags, "@types/node@20", ...COMPILERS], {}, project);
    for (const compiler of compilers) {
      check(`@sluice/cli/dashboard: ${compiler}`, () => {
        compile(compiler, ["--module", "nodenext"], ["with-dashboard.ts"], project);
        run([process.execPath, "out/with-dashboard.js"], {}, project);
      });
    }
  });
}

/**
 * Its package.json, as one of ECMAScript modules.
 * @param {string} project
 */
function manifestOf(project) {
  const text = readFileSync(join(project, "package.json"), "utf8");
  return JSON.stringify({ ...JSON.parse(text), type: "module" });
}

/**
 * The program, in a separate project: with its dependencies, and nothing else.
 * @param {{ library: string, program: string, url: string }} packed
 */
function checkProgram({ library, program, url }) {
  const elsewhere = mkdtempSync(join(tmpdir(), "sluice-program-"));
  /** @param {string[]} args */
  const sluice = (...args) => run(["npx", "--no", "--", "sluice", ...args], {}, elsewhere);
  /** @param {string} what @param {string[]} args @param {string} said */
  const says = (what, args, said) => {
    check(`@sluice/cli: ${what}`, () => {
      const output = sluice(...args);
      if (!output.includes(said)) throw new Error(`${said} is not in:\n${output}`);
    });
  };
  try {
    check("@sluice/cli: installed by itself", () => {
      writeFileSync(join(elsewhere, "package.json"), '{ "private": true }\n');
      const flags = ["--prefer-offline", "--no-audit", "--no-fund"];
      run(["npm", "install", ...flags, library, program], {}, elsewhere);
    });
    // An hour, so that a slow machine gets no unit back meanwhile.
    const limit = ["--limit", "10", "--period", "1h"];
    const load = ["exercise", "k", ...limit, "--calls", "50", "--delay", "0", "--log", "a.jsonl"];
    says("sluice --help", ["--help"], "exercise");
    says("sluice --version", ["--version"], VERSION);
    says("an exercise on Redis, with the client that it brings", [...load, "--redis", url], "40 (");
    says("an audit", ["audit", "a.jsonl"], "PASSED");
    says("a simulation", ["simulate", "a.jsonl", "--limit", "5", "--period", "1h"], "newly denied");
    check("@sluice/cli: a document in YAML, with the parser that it brings", () => {
      const policy = "policy: { algorithm: gcra, limit: 5, period: 1s }";
      writeFileSync(join(elsewhere, "p.yaml"), `rules:\n  - { name: a, key: [user], ${policy} }\n`);
      sluice("policies", "check", "p.yaml");
    });
    checkDashboard(elsewhere);
  } finally {
    rmSync(elsewhere, { recursive: true, force: true });
  }
}

const redis = await startRedis();
try {
  const workspaces = ["--workspace", "sluice", "--workspace", "@sluice/cli"];
  const packing = ["npm", "pack", ...workspaces, "--pack-destination", scratch, "--json"];
  for (const { name, size, unpackedSize, entryCount } of packedIn(run(packing, {}, root))) {
    const [packed, unpacked] = [size, unpackedSize].map(
      (bytes) => `${(bytes / 1e3).toFixed(1)} kB`,
    );
    console.log(`${name}: ${packed} packed, ${unpacked} unpacked, ${entryCount} files`);
  }
  const tarball = `sluice-${VERSION}.tgz`;
  const program = join(scratch, `sluice-cli-${VERSION}.tgz`);
  checkProgram({ library: join(scratch, tarball), program, url: redis.url });
  cpSync(join(root, "packages/sluice/test/consumers"), scratch, { recursive: true });
  writeFileSync(join(scratch, "package.json"), '{ "private": true, "type": "module" }\n');
  install([`./${tarball}`, "redis@6.3.1", "@types/node@20", ...COMPILERS]);
  checkAll(redis);
} finally {
  await redis.stop();
  rmSync(scratch, { recursive: true, force: true });
}

console.log(`consumers: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

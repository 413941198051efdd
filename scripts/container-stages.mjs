/**
 * `npm run check:container`: does in folders what the Dockerfile says, as an unprivileged user, if there is no engine to
 * build it: every COPY, RUN and ENV of both stages, the entry point, the health check, and the end at SIGTERM. What it
 * cannot try is the base image itself. Needs the registry, and some minutes.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const USER = 65_532;
const isRoot = process.getuid?.() === 0;
const asUser = isRoot ? { uid: USER, gid: USER } : {};

/** @typedef {{ readonly verb: string, readonly words: string }} Instruction */

/** @returns {readonly Instruction[]} */
function instructions() {
  const text = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  const lines = text
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n/g, " ")
    .split("\n");
  return lines.flatMap((line) => {
    const [, verb, words] = /^([A-Z]+) +(.+)$/.exec(line) ?? [];
    return verb === undefined || words === undefined ? [] : [{ verb, words }];
  });
}

/** A stage: the folder that is its root, its variables, and what its image would start. */
class Stage {
  root = mkdtempSync(join(home, "stage-"));
  /** @type {Record<string, string>} */
  env = { PATH: String(process.env["PATH"]), HOME: home, npm_config_cache: join(home, "npm") };
  folder = "/";
  /** @type {string[]} */
  entry = [];
  /** @type {string[]} */
  health = [];

  constructor() {
    if (isRoot) chownSync(this.root, USER, USER);
  }

  /** @param {string} path */
  at(path) {
    return join(this.root, path.startsWith("/") ? path : join(this.folder, path));
  }

  /** @param {string} from @param {string} to */
  copy(from, to) {
    mkdirSync(dirname(to), { recursive: true });
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    if (isRoot) execFileSync("chown", ["-R", `${USER}:${USER}`, this.root]);
  }
}

/** The user has no settings of npm. */
const registry = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
const home = mkdtempSync(join(tmpdir(), "sluice-container-"));
if (isRoot) chownSync(home, USER, USER);

/** @param {string} words */
const listIn = (words) => /** @type {string[]} */ (JSON.parse(words)).map(ownNode);
const ownNode = (/** @type {string} */ word) =>
  word === "/nodejs/bin/node" ? process.execPath : word;

/** @returns {Stage} the last one */
function build() {
  const context = join(home, "context");
  mkdirSync(context);
  execFileSync("sh", ["-c", `git archive HEAD | tar -x -C '${context}'`], { cwd: ROOT });
  /** @type {Map<string, Stage>} */
  const stages = new Map();
  let stage = new Stage();
  for (const { verb, words } of instructions()) {
    console.log(`${verb} ${words.slice(0, 100)}`);
    if (verb === "FROM") {
      stage = new Stage();
      stages.set(/ AS (\w+)$/.exec(words)?.[1] ?? "", stage);
    } else if (verb === "WORKDIR") {
      stage.folder = words;
      mkdirSync(stage.at("."), { recursive: true });
      if (isRoot) chownSync(stage.at("."), USER, USER);
    } else if (verb === "ENV") {
      const [name = "", value = ""] = words.split("=");
      stage.env[name] = value;
    } else if (verb === "COPY") copy(stage, words, context, stages);
    else if (verb === "RUN") {
      const done = spawnSync("sh", ["-c", words], {
        ...asUser,
        cwd: stage.at("."),
        env: {
          ...process.env,
          ...stage.env,
          npm_config_registry: registry,
          npm_config_loglevel: "error",
        },
        stdio: ["ignore", "ignore", "inherit"],
      });
      if (done.status !== 0) throw new Error(`RUN ended with ${done.status}`);
    } else if (verb === "ENTRYPOINT" || verb === "CMD") stage.entry.push(...listIn(words));
    else if (verb === "HEALTHCHECK") stage.health = listIn(words.slice(words.indexOf("CMD ") + 4));
  }
  return stage;
}

/** @param {Stage} stage @param {string} words @param {string} context @param {Map<string, Stage>} stages */
function copy(stage, words, context, stages) {
  const parts = words.split(/ +/);
  const from = stages.get(/^--from=(\w+)$/.exec(parts[0] ?? "")?.[1] ?? " ");
  if (from !== undefined) parts.shift();
  const to = parts.pop() ?? "";
  for (const part of parts) {
    const source = from === undefined ? join(context, part) : from.at(part);
    stage.copy(source, stage.at(to.endsWith("/") ? join(to, basename(part)) : to));
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  return String(port);
}

/** @param {boolean} is @param {string} what */
function check(is, what) {
  console.log(`${is ? "ok    " : "FAILED"} ${what}`);
  if (!is) process.exitCode = 1;
}

/** @param {Stage} stage */
async function run(stage) {
  const port = await freePort();
  const policies = join(home, "policies.json");
  const policy = { algorithm: "token-bucket", limit: 1, period: "1h" };
  writeFileSync(policies, JSON.stringify({ rules: [{ name: "api", key: ["user"], policy }] }));
  const own = {
    SLUICE_LISTEN: `127.0.0.1:${port}`,
    SLUICE_POLICIES: policies,
    SLUICE_DRAIN_DELAY: "0",
  };
  const options = { ...asUser, cwd: stage.at("."), env: { ...stage.env, ...own } };
  const [node = "", ...words] = stage.entry;
  const service = spawn(node, words, { ...options, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(service, "exit");
  for await (const line of createInterface({ input: service.stdout })) {
    if (line.includes('"ready"')) break;
  }
  const [command = "", ...script] = stage.health.map((word) => word.replaceAll("8088", port));
  const isHealthy = () => spawnSync(command, script, { ...options, stdio: "ignore" }).status === 0;
  check(isHealthy(), "the health check says that it is healthy");
  const ask = async () => {
    const body = JSON.stringify({ rule: "api", key: "ann" });
    const headers = { "Content-Type": "application/json" };
    const url = `http://127.0.0.1:${port}/v1/consume`;
    return (await fetch(url, { method: "POST", headers, body })).status;
  };
  const statuses = [await ask(), await ask()];
  check(statuses.join() === "200,429", `it decides: ${statuses.join(", ")}`);
  service.kill("SIGTERM");
  const [code] = /** @type {[number | null]} */ (await ended);
  check(code === 0, `it ends at SIGTERM with ${code}`);
  check(!isHealthy(), "the health check says that it is gone");
  const size = execFileSync("du", ["-sm", stage.at(".")], { encoding: "utf8" }).split("\t")[0];
  console.log(`${size} MB beside the base image`);
}

try {
  await run(build());
} finally {
  rmSync(home, { recursive: true, force: true });
}

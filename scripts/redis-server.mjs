// Finds, installs if that is allowed, and starts real Redis servers for the tests and the bench.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureProgram, isExecutable, onPath } from "./install.mjs";

/**
 * @typedef {object} RedisProcess
 * @property {number} port loopback TCP port
 * @property {string} url
 * @property {number} pid
 * @property {() => Promise<void>} stop ends this server only and removes its directory; idempotent
 */

/**
 * @typedef {object} RedisOptions
 * @property {readonly string[]} [args] come last on the server's command line
 * @property {number} [port] this one, if another server had it before; default: any that is free
 * @property {string} [config] a configuration file, which the server may rewrite: Sentinel asks for one
 * @property {boolean} [whileLoading] do not wait until the server has loaded its data
 */

/** Path of a Redis or Valkey server: `SLUICE_REDIS_SERVER`, else the first one on PATH. */
export function findRedisServer() {
  const configured = process.env.SLUICE_REDIS_SERVER;
  if (configured) {
    const file = configured.includes("/") ? configured : onPath(configured);
    if (file === undefined || !isExecutable(file)) {
      throw new Error(`SLUICE_REDIS_SERVER is not an executable: ${configured}`);
    }
    return file;
  }
  return onPath("redis-server") ?? onPath("valkey-server");
}

/** Path of a server, installed if there is none and that is allowed. */
export function ensureRedisServer() {
  return ensureProgram({
    what: "a real Redis (redis-server or valkey-server 6.2 or newer, on PATH or in SLUICE_REDIS_SERVER)",
    find: findRedisServer,
    // Fedora 41 and RHEL 10 replaced redis by valkey.
    packages: { apt: "redis-server", apk: "redis", dnf: "redis|valkey", brew: "redis" },
  });
}

/** @param {number} port */
async function isFree(port) {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

const FIRST_PORT = 10_000;
const SHARES = 10;
const PORTS_A_SHARE = 1000;

/** Ports that servers of this process had: one that was killed may be started again on its own. */
const given = new Set();

/**
 * Ports stay below the range that outgoing connections draw from, also after adding 10,000 for the bus of a cluster node.
 * Each worker of vitest has its own share, because the others cannot know which port it keeps for a server that is down for
 * a while. `SLUICE_PORTS` says how many shares others have that run beside this vitest.
 */
async function freePort() {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0);
  const share = (worker + Number(process.env.SLUICE_PORTS ?? 0)) % SHARES;
  for (;;) {
    const port = FIRST_PORT + share * PORTS_A_SHARE + Math.floor(Math.random() * PORTS_A_SHARE);
    if (given.has(port)) continue;
    if ((await isFree(port)) && (await isFree(port + 10_000))) {
      given.add(port);
      return port;
    }
  }
}

/**
 * @param {number} port
 * @param {RegExp} ready
 */
async function answersPing(port, ready) {
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(1000, () => socket.destroy(new Error("no answer")));
  try {
    await once(socket, "connect");
    socket.write("PING\r\n");
    const reply = String(await once(socket, "data"));
    return ready.test(reply);
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * Ends the server when this process ends in any way, SIGKILL included: the pipe closes with it.
 * @param {number} pid
 * @param {string} dir
 */
function spawnWatchdog(pid, dir) {
  const watchdog = spawn("sh", ["-c", 'read _; kill -9 "$0"; rm -rf "$1"', String(pid), dir], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}

/**
 * @param {string} server
 * @param {RedisOptions} options
 * @returns {Promise<RedisProcess | { failure: string }>}
 */
async function startOnce(server, { args = [], port: fixedPort, config, whileLoading = false }) {
  const port = fixedPort ?? (await freePort());
  const dir = mkdtempSync(join(tmpdir(), "sluice-redis-"));
  const base = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir];
  const file = join(dir, "server.conf");
  if (config !== undefined) writeFileSync(file, config);
  const child = spawn(
    server,
    [...(config === undefined ? [] : [file]), ...base, "--save", "", "--appendonly", "no", ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const { pid } = child;
  let log = "";
  const keepTail = (/** @type {Buffer} */ chunk) => {
    log = (log + String(chunk)).slice(-4000);
  };
  child.stdout.on("data", keepTail);
  child.stderr.on("data", keepTail);
  await once(child, "spawn");
  if (pid === undefined) throw new Error(`${server} has no process id`);
  const exited = once(child, "close");
  const watchdog = spawnWatchdog(pid, dir);
  // The id may be another process's once this one has ended.
  child.once("exit", () => watchdog.kill("SIGKILL"));

  const running = () => child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    child.kill("SIGTERM");
    const killLater = setTimeout(() => child.kill("SIGKILL"), 2000);
    await exited;
    clearTimeout(killLater);
    rmSync(dir, { recursive: true, force: true });
  };

  const ready = whileLoading ? /^(?:\+PONG|-NOAUTH|-LOADING)/ : /^(?:\+PONG|-NOAUTH)/;
  const deadline = performance.now() + 10_000;
  while (running() && performance.now() < deadline) {
    if (await answersPing(port, ready)) {
      return { port, url: `redis://127.0.0.1:${port}`, pid, stop };
    }
    await sleep(10);
  }
  await stop();
  return { failure: log };
}

/**
 * Starts a server on a loopback port, with nothing saved to disk, and waits until it answers.
 * @param {RedisOptions} [options]
 * @returns {Promise<RedisProcess>}
 */
export async function startRedis(options = {}) {
  const server = ensureRedisServer();
  let failure = "";
  // Another process may take the port between the look and the start.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const result = await startOnce(server, options);
    if (!("failure" in result)) return result;
    failure = result.failure;
  }
  throw new Error(`${server} did not start:\n${failure}`);
}

// Runs what depends on the server on newer ones than the system has: `npm run test:servers`.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

const tests = "packages/sluice/test";
const FILES = [
  "conformance/stores.test.ts",
  "redis/acl.test.ts",
  "redis/failures.test.ts",
  "redis/scripts.test.ts",
  "semaphore/redis.test.ts",
].map((file) => `${tests}/${file}`);

const unpack = fileURLToPath(new URL("newer-servers.sh", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const servers = execFileSync("bash", [unpack], { encoding: "utf8", stdio: ["ignore", "pipe", 2] });
const env = { ...process.env, SLUICE_RUNS: process.env.SLUICE_RUNS ?? "0.1" };

/** Of one run, which takes ports that no other does: three workers' and those of the server that all of them share. */
const SHARES = 4;

/**
 * Runs the tests on one server, prints what they said when they are over, and tells whether they passed.
 * @param {string} server
 * @param {number} index
 */
async function passes(server, index) {
  const args = [vitest, "run", "--project", "redis", "--project", "stress", ...FILES];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...env, SLUICE_REDIS_SERVER: server, SLUICE_PORTS: String(index * SHARES) },
  });
  /** @type {Buffer[]} */
  const output = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (/** @type {Buffer} */ part) => output.push(part));
  }
  const [status] = /** @type {[number | null]} */ (await once(child, "close"));
  process.stdout.write(`\nOn ${basename(server)}:\n${Buffer.concat(output).toString()}`);
  return status === 0;
}

// All at once: most files are done soon, and the longest then has a core to itself.
const results = await Promise.all(servers.trim().split("\n").map(passes));
process.exitCode = results.every(Boolean) ? 0 : 1;

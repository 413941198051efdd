// Runs what depends on the server on newer ones than the system has: `npm run test:servers`.
import { execFileSync, spawnSync } from "node:child_process";
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

let failed = 0;
for (const server of servers.trim().split("\n")) {
  process.stdout.write(`\nOn ${basename(server)}:\n`);
  const args = [vitest, "run", "--project", "redis", "--project", "stress", ...FILES];
  const { status } = spawnSync(process.execPath, args, {
    stdio: "inherit",
    env: { ...env, SLUICE_REDIS_SERVER: server },
  });
  if (status !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;

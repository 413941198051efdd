/**
 * What a RemoteStore takes on loopback beside the same limiter on Redis on loopback: calls/s and p99 at 1, 64 and 256 in
 * flight, in turns. `node bench/remote.mjs [ROUNDS]`, about fifteen seconds a round; the service is the program's own.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { RateLimiter, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";
import { RemoteStore } from "sluice/remote";
import { withServer } from "./server.mjs";
import { quantile, ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";

const IN_FLIGHT = [1, 64, 256];
const KEYS = 10_000;
const WARM_MS = 800;
const MS = 700;

const program = fileURLToPath(new URL("remote-service.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
const policies = join(folder, "policies.json");
writeFileSync(policies, JSON.stringify({ rules: [] }));

/**
 * A service of the program, and its address.
 * @param {string} [redis]
 */
async function startService(redis) {
  const settings = { policies, listen: "127.0.0.1:0", drainDelay: "0", redis };
  const child = spawn(process.execPath, [program, JSON.stringify(settings)]);
  let text = "";
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (/** @type {string} */ chunk) => {
        text += chunk;
        const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(text) ?? [];
        if (found !== undefined) resolve(found);
      });
    }
    child.on("exit", () => reject(new Error(text)));
  });
  return { url, stop: () => child.kill() };
}

/**
 * Calls/s and the 99th percentile of their times in µs, in closed loops of `inFlight` calls.
 * @param {RateLimiter} limiter
 * @param {number} inFlight
 */
async function loop(limiter, inFlight) {
  /** @type {number[]} */
  const times = [];
  const beganMs = performance.now();
  const warmUntilMs = beganMs + WARM_MS;
  const untilMs = warmUntilMs + MS;
  let next = 0;
  const work = async () => {
    for (let nowMs = performance.now(); nowMs < untilMs; ) {
      next = (next + 7919) % KEYS;
      await limiter.consume(`user:${next}`);
      const endMs = performance.now();
      if (nowMs >= warmUntilMs) times.push((endMs - nowMs) * 1e3);
      nowMs = endMs;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  const seconds = (performance.now() - warmUntilMs) / 1e3;
  times.sort((a, b) => a - b);
  return { callsPerSecond: times.length / seconds, p99Us: quantile(times, 0.99) };
}

/** @param {string} redisUrl */
async function measure(redisUrl) {
  const inMemory = await startService();
  const onRedis = await startService(redisUrl);
  const client = new Redis(redisUrl);
  const stores = {
    RedisStore: new RedisStore({ client }),
    "RemoteStore, service on Redis": new RemoteStore({ url: onRedis.url }),
    "RemoteStore, service in memory": new RemoteStore({ url: inMemory.url }),
  };
  const policy = tokenBucket({ limit: 1e6, period: "1s" });
  const common = { policy, timeout: "30s", onStoreFailure: /** @type {const} */ ("throw") };
  /** @type {Map<string, { calls: number[], p99: number[] }>} */
  const found = new Map();
  const rounds = Number(process.argv[2] ?? 3);
  for (let round = 0; round < rounds; round++) {
    for (const inFlight of IN_FLIGHT) {
      for (const [name, store] of Object.entries(stores)) {
        const limiter = new RateLimiter({ ...common, store });
        const { callsPerSecond, p99Us } = await loop(limiter, inFlight);
        await limiter.close();
        const at = `${name} ${inFlight}`;
        const { calls, p99 } = found.get(at) ?? { calls: [], p99: [] };
        found.set(at, { calls: [...calls, callsPerSecond], p99: [...p99, p99Us] });
      }
    }
  }
  for (const store of Object.values(stores)) await store.close();
  client.disconnect();
  inMemory.stop();
  onRedis.stop();
  return { found, names: Object.keys(stores) };
}

const { server, result } = await withServer(({ url }) => measure(url));
rmSync(folder, { recursive: true });
const rows = IN_FLIGHT.flatMap((inFlight) =>
  result.names.map((name) => {
    const none = { calls: [], p99: [] };
    const { calls, p99 } = result.found.get(`${name} ${inFlight}`) ?? none;
    const base = result.found.get(`RedisStore ${inFlight}`) ?? none;
    return [
      String(inFlight),
      name,
      wholeSpread(spread(calls)),
      factorSpread(ratios(calls, base.calls)),
      wholeSpread(spread(p99)),
      factorSpread(ratios(p99, base.p99)),
    ];
  }),
);
console.log(`${server}, loopback\n`);
console.log(
  table(["in flight", "store", "calls/s", "of RedisStore's", "p99 µs", "of RedisStore's"], rows),
);

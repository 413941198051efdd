// What one process of the service decides, what a key takes of its memory, and what it asks of Redis, as the tables of
// docs/service-capacity.md: `npm run bench:capacity`, which lets bench/service.mjs print the last of them, in three minutes.
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";
import { startRedis } from "../scripts/redis-server.mjs";

const ROUNDS = 5;
const RUN_MS = 1000;
const WARM_UP_MS = 4000;
const IN_FLIGHT = 64;
const CLIENTS = 10_000;
const KEYS = 200_000;

const RULES = {
  rules: [
    {
      name: "api",
      key: ["address"],
      policy: { algorithm: "token-bucket", limit: 1e6, period: "1m" },
    },
  ],
};

const NAMES = {
  bare: "the bare server",
  memory: "the service, in memory",
  redis: "the service, on Redis",
};

/** @param {readonly number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** In a separate process: a server that reports its port and, on request, its CPU time. */
async function serve(/** @type {string} */ kind, /** @type {string} */ redis) {
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuUs: user + system });
  });
  if (kind === "bare") {
    const fields = { "RateLimit-Policy": '"api";q=1000000;w=60', RateLimit: '"api";r=999999;t=60' };
    const server = createServer((incoming, outgoing) => {
      incoming.resume();
      outgoing.writeHead(200, { ...fields, "Cache-Control": "no-store", "Content-Length": 0 });
      outgoing.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    process.send?.({ address: `http://127.0.0.1:${port}` });
    return;
  }
  const program = new URL("../packages/cli/dist/serve/run-service.js", import.meta.url).href;
  const { runService } =
    /** @type {{ runService: (flags: object, process: object) => Promise<void> }} */ (
      await import(program)
    );
  const policies = join(tmpdir(), `sluice-capacity-${process.pid}.json`);
  writeFileSync(policies, JSON.stringify(RULES));
  const write = (/** @type {string} */ line) => {
    const { address } = /** @type {{ address?: string }} */ (JSON.parse(line));
    if (address !== undefined) process.send?.({ address });
  };
  const env = { SLUICE_LISTEN: "127.0.0.1:0", SLUICE_REDIS_URL: redis };
  await runService({ policies }, { env, write, ended: new AbortController().signal });
}

/** @param {import("node:child_process").ChildProcess} child @returns {Promise<{ address?: string, cpuUs?: number }>} */
function messageOf(child) {
  return new Promise((resolve) => {
    child.once("message", (message) => {
      resolve(/** @type {{ address?: string, cpuUs?: number }} */ (message));
    });
  });
}

/** @param {string} kind @param {string} [redis] */
async function started(kind, redis = "") {
  const child = fork(fileURLToPath(import.meta.url), [kind, redis]);
  const { address = "" } = await messageOf(child);
  const cpuUs = async () => {
    child.send("cpu");
    const { cpuUs: used = Number.NaN } = await messageOf(child);
    return used;
  };
  return { kind, address: new URL(address), cpuUs, stop: () => child.kill("SIGKILL") };
}

/** @param {URL} address @param {Agent} agent @param {number} client @returns {Promise<void>} */
function askOnce({ hostname, port }, agent, client) {
  return new Promise((resolve, reject) => {
    const from = `10.${client >> 16}.${(client >> 8) & 255}.${client & 255}`;
    const headers = { "X-Forwarded-For": from, "X-Forwarded-Uri": "/items" };
    const asked = request({ host: hostname, port, path: "/v1/authz", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", resolve);
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** One run: requests a second, their 99th percentile, and time on a processor for each. */
async function run(/** @type {Awaited<ReturnType<typeof started>>} */ server, lengthMs = RUN_MS) {
  const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });
  const took = /** @type {number[]} */ ([]);
  const cpuUs = await server.cpuUs();
  const beganMs = performance.now();
  const ask = async (/** @type {number} */ first) => {
    for (let i = first; performance.now() - beganMs < lengthMs; i += IN_FLIGHT) {
      const askedMs = performance.now();
      await askOnce(server.address, agent, i % CLIENTS);
      took.push(performance.now() - askedMs);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, i) => ask(i)));
  const seconds = (performance.now() - beganMs) / 1000;
  const usedUs = (await server.cpuUs()) - cpuUs;
  agent.destroy();
  took.sort((a, b) => a - b);
  const p99Ms = took[Math.floor(took.length * 0.99)] ?? Number.NaN;
  return { rate: took.length / seconds, cpuUs: usedUs / took.length, p99Ms };
}

async function perProcess(/** @type {string} */ redis) {
  const servers = [await started("bare"), await started("memory"), await started("redis", redis)];
  const runs = servers.map(() => /** @type {Awaited<ReturnType<typeof run>>[]} */ ([]));
  for (const server of servers) await run(server, WARM_UP_MS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, server] of servers.entries()) runs[i]?.push(await run(server));
  }
  for (const server of servers) server.stop();
  const [bare = []] = runs;
  console.log(
    "\n| requests to | requests a second | CPU time of each | p99 latency |\n|---|---|---|---|",
  );
  for (const [i, { kind }] of servers.entries()) {
    const own = runs[i] ?? [];
    const of = (/** @type {"rate" | "cpuUs" | "p99Ms"} */ what) =>
      median(own.map((result, round) => result[what] / (bare[round]?.[what] ?? Number.NaN)));
    const ratios = [of("rate").toFixed(2), of("cpuUs").toFixed(1), of("p99Ms").toFixed(1)];
    const shown = i === 0 ? [1, 1, 1] : ratios;
    console.log(`| ${NAMES[/** @type {keyof typeof NAMES} */ (kind)]} | ${shown.join(" | ")} |`);
  }
}

async function perKey() {
  const policy = tokenBucket({ name: "api", limit: 100, period: "1h" });
  const store = new MemoryStore();
  const limiter = new RateLimiter({ policy, store });
  for (let i = 0; i < KEYS; i++) limiter.consumeSync(`address:10.0.${i >> 8}.${i & 255}`);
  const { keys, bytes } = store.stats();
  console.log(`\nA key of a token bucket takes ${(bytes / keys).toFixed(0)} bytes.`);
  await limiter.close();
  await store.close();
}

async function perTrip(/** @type {string} */ url) {
  const policy = tokenBucket({ name: "api", limit: 1e6, period: "1h" });
  console.log("\n| in flight | decisions a round trip |\n|---|---|");
  for (const inFlight of [1, 8, 64, 512]) {
    const store = new RedisStore({ url });
    const limiter = new RateLimiter({ policy, store, timeout: "30s", namespace: `c${inFlight}` });
    const calls = inFlight * 20;
    const ask = async (/** @type {number} */ first) => {
      for (let i = first; i < calls; i += inFlight) await limiter.consume(`key:${i}`);
    };
    await Promise.all(Array.from({ length: inFlight }, (_, i) => ask(i)));
    const trips = store.stats().tripMs.ok.count;
    console.log(`| ${inFlight} | ${Math.round(calls / trips)} |`);
    await limiter.close();
    await store.close();
  }
}

async function main() {
  const redis = await startRedis();
  try {
    await perProcess(redis.url);
    await perKey();
    await perTrip(redis.url);
  } finally {
    await redis.stop();
  }
}

const [kind, redis = ""] = process.argv.slice(2);
await (kind === undefined ? main() : serve(kind, redis));

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createClient } from "redis";
import { expect, inject, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";

async function ping(url: string): Promise<string> {
  const client = createClient({ url, socket: { reconnectStrategy: false } });
  client.on("error", () => {});
  await client.connect();
  try {
    return await client.ping();
  } finally {
    client.destroy();
  }
}

test("all test files share one server", async () => {
  expect(await ping(inject("redisUrl"))).toBe("PONG");
});

test("a server of one's own takes arguments and is gone after stop", async () => {
  const redis = await startRedis({ args: ["--databases", "3"] });
  onTestFinished(redis.stop);
  expect(await ping(`${redis.url}/2`)).toBe("PONG");
  await expect(ping(`${redis.url}/3`)).rejects.toThrow(/out of range/);
  await redis.stop();
  await expect(ping(redis.url)).rejects.toThrow(/ECONNREFUSED/);
});

test("no other worker takes the port of a server that is down for a while", async () => {
  const share = Number(process.env["VITEST_POOL_ID"]);
  const servers = await Promise.all(Array.from({ length: 5 }, () => startRedis()));
  onTestFinished(async () => void (await Promise.all(servers.map(({ stop }) => stop()))));
  for (const { port } of servers) expect(Math.floor(port / 1000)).toBe(10 + (share % 10));
  expect(share).toBeGreaterThan(0);
  // That of all workers is in none of their shares.
  expect(new URL(inject("redisUrl")).port).toMatch(/^10\d\d\d$/);
});

test("stop also ends a server that is suspended", async () => {
  const redis = await startRedis();
  process.kill(redis.pid, "SIGSTOP");
  await redis.stop();
  await expect(ping(redis.url)).rejects.toThrow(/ECONNREFUSED/);
});

test("a server that cannot start says why", async () => {
  await expect(startRedis({ args: ["--no-such-option", "1"] })).rejects.toThrow(/no-such-option/);
});

test("a server ends with its parent, however that ends", async () => {
  const harness = fileURLToPath(new URL("../../../../scripts/redis-server.mjs", import.meta.url));
  const program = `const { startRedis } = await import(${JSON.stringify(harness)});
    console.log((await startRedis()).url);`;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", program]);
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const url = String(line).trim();
  expect(await ping(url)).toBe("PONG");

  parent.kill("SIGKILL");
  await once(parent, "close");
  await expect.poll(async () => ping(url).catch(String)).toMatch(/ECONNREFUSED/);
});

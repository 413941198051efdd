/** A process that closes what it uses ends by itself, whatever was under way. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startNode } from "../support/processes.js";
import { startVictim } from "../support/servers.js";

const program = fileURLToPath(new URL("support/closes.mjs", import.meta.url));

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["redis", "@redis", "ioredis"]);
});
afterAll(() => {
  built.remove();
});

test.each([
  ["redis", "in line", "store alone"],
  ["ioredis", "in line", "each"],
  ["connect", "in line", "store alone"],
  ["redis", "outage", "each"],
  ["ioredis", "outage", "store alone"],
  ["connect", "outage", "each"],
  ["redis", "under way", "store alone"],
  ["ioredis", "under way", "each"],
])("with %s, %s, closing %s", async (...args) => {
  const server = await startVictim();
  try {
    const { child, ended } = startNode([program, built.directory, server.url, ...args]);
    child.stdout?.on("data", (text: string) => {
      if (text.includes("away?")) void server.kill().then(() => child.kill("SIGUSR2"));
    });
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const outcomes = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as string[];
    const begun = args[1] === "under way" ? [] : ["done", "done"];
    expect(outcomes).toEqual([...begun, "CLOSED", "CLOSED"]);
  } finally {
    await server.stop();
  }
});

/** How many files a call passes: what a reader has to open to follow it. And how a store in memory keeps what it looks up. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startNode } from "../support/processes.js";

const program = fileURLToPath(new URL("path.mjs", import.meta.url));
const kept = fileURLToPath(new URL("kept.mjs", import.meta.url));

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage([]);
});
afterAll(() => {
  built.remove();
});

async function modulesOf(kind: "redis" | "memory"): Promise<readonly string[]> {
  return JSON.parse(await printedBy([program, built.directory, kind])) as string[];
}

async function printedBy(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await startNode(args).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

// Two have nothing to open for who follows a decision: whether somebody listens, and the histogram of round trips.
test("one lone consume on Redis runs functions of 18 modules, in docs/architecture.md's picture", async () => {
  expect(await modulesOf("redis")).toEqual([
    "core/clock.js",
    "core/histogram.js",
    "core/identity.js",
    "core/key.js",
    "events/events.js",
    "limiter/decisions.js",
    "limiter/limiter-class.js",
    "limiter/pipeline.js",
    "limiter/request-asker.js",
    "limiter/shortcuts/deny-cache.js",
    "limiter/shortcuts/shortcuts.js",
    "resilience/deadlines.js",
    "resilience/guarded-store.js",
    "stores/redis/batcher.js",
    "stores/redis/clients/ioredis.js",
    "stores/redis/lone-calls.js",
    "stores/redis/redis-store.js",
    "stores/redis/scripts.js",
  ]);
});

test("one consumeSync in memory runs functions of 12 modules", async () => {
  expect(await modulesOf("memory")).toEqual([
    "algorithms/bucket/fast.js",
    "algorithms/decide.js",
    "core/clock.js",
    "core/identity.js",
    "core/key.js",
    "events/events.js",
    "limiter/decisions.js",
    "limiter/limiter-class.js",
    "limiter/pipeline.js",
    "stores/memory/arena.js",
    "stores/memory/memory-store.js",
    "stores/memory/retention.js",
  ]);
});

// V8 looks up a view of another text more slowly than the rest of a consume takes.
test("a store in memory keeps ids as flat texts, and none as a view", async () => {
  // A few are literals of the program.
  expect(Number(await printedBy([kept, built.directory]))).toBeGreaterThanOrEqual(1000);
});

import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { librarySourceAliases } from "./scripts/library-sources.mjs";

const sluice = "packages/sluice/test";
const cli = "packages/cli/test";

/** Processes by the dozen, clusters, faults, measurements: minutes, and deadlines that are real. */
const stress = [
  `${sluice}/{examples,faults,prometheus,races}/**/*.test.ts`,
  `${sluice}/{conformance,http}/cluster.test.ts`,
  `${sluice}/http/outage.test.ts`,
  `${cli}/stress/**/*.test.ts`,
  `${sluice}/redis/{acl,client-versions,cluster,connect,cross-slot,live-cluster,outage,prefetch,url}.test.ts`,
  `${sluice}/semaphore/{cost,outage}.test.ts`,
];

const unit = ["{packages/*,dashboard}/src/**/*.test.ts", "packages/*/test/**/*.test.ts"];

/** On real servers. */
const redis = [
  `${sluice}/{conformance,docs,path,redis,semaphore}/**/*.test.ts`,
  `${sluice}/http/redis.test.ts`,
  `${cli}/redis/**/*.test.ts`,
  `${sluice}/support/redis-server.test.ts`,
];

/**
 * Files of unit tests share processes, and with them the modules that they import, which is half of what they take. A file
 * has a process to itself if it replaces modules or globals, or has the garbage collector called; and so have those that
 * load frameworks and clients of HTTP, for these put globals of their own in place: Hono's server its Response.
 */
const ALONE = /\bvi\.(mock|resetModules|stubGlobal)\(|\bsetFlagsFromString\(/;
const folders = [
  "dashboard/src",
  "packages/sluice/src",
  "packages/sluice/test",
  "packages/cli/src",
  "packages/cli/test",
];
const callers = folders
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  )
  .filter((file) => file.endsWith(".test.ts") && ALONE.test(readFileSync(file, "utf8")));
const alone = [...callers, `${sluice}/{http,outgoing}/**/*.test.ts`];

const globalSetup = `${sluice}/support/global-setup.ts`;

/** Ends a test that hangs, and none that is slow: that depends on the machine, and on how much it is asked to repeat. */
const HANGS_MS = 10 * 60_000 * Math.max(1, Number(process.env["SLUICE_RUNS"] ?? 1));

export default defineConfig({
  resolve: { alias: librarySourceAliases() },
  test: {
    setupFiles: `${sluice}/support/leaks.ts`,
    pool: "forks",
    testTimeout: HANGS_MS,
    hookTimeout: HANGS_MS,
    // A poll that fails is a test that hangs: a busy machine must not decide which.
    expect: { poll: { timeout: 300_000 } },
    coverage: {
      include: ["packages/*/src/**/*.ts"],
      exclude: ["packages/*/src/**/*.test.ts", "packages/*/src/**/*generated.ts"],
    },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: unit,
          exclude: [...redis, ...stress, ...alone],
          isolate: false,
          maxWorkers: 3,
        },
      },
      {
        extends: true,
        test: { name: "alone", include: alone, exclude: [...redis, ...stress], maxWorkers: 3 },
      },
      {
        extends: true,
        test: {
          name: "redis",
          include: redis,
          exclude: stress,
          globalSetup,
          maxWorkers: 3,
        },
      },
      {
        extends: true,
        test: {
          name: "stress",
          include: stress,
          globalSetup,
          // They start servers and processes of their own, and mostly wait: for kills, leases and deadlines. They come
          // last, with the machine to themselves.
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

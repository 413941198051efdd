/** `npm run bench`: see README.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { FLOOR, REFERENCE } from "./contenders/index.mjs";
import { measureMemory, showMemory } from "./memory.mjs";
import { measureRedis, showRedis } from "./redis.mjs";
import { whole } from "./table.mjs";
import { KEYS, LIMIT, PERIOD_MS } from "./workload.mjs";

const USAGE = `npm run bench -- [--quick] [--only memory|redis] [--rounds N] [--json FILE]`;

const FULL = { rounds: 5, ms: 400 };
const QUICK = { rounds: 2, ms: 200 };
/** No new round after this; the one under way ends. */
const BUDGET_MS = 210_000;

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      rounds: { type: "string" },
      json: { type: "string" },
    },
  });
  const { quick, only, json } = values;
  const defaults = quick ? QUICK : FULL;
  const rounds = Number(values.rounds ?? defaults.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds: a whole number from 1");
  if (only !== undefined && only !== "memory" && only !== "redis") {
    throw new Error("--only: memory or redis");
  }
  return { only, json, rounds, ms: defaults.ms };
}

function readOptionsOrExit() {
  try {
    return readOptions();
  } catch (error) {
    console.error(`${String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

/** Names of packages with their versions, as bench/package.json pins them. */
function versions() {
  const text = readFileSync(new URL("package.json", import.meta.url), "utf8");
  const { dependencies } = /** @type {{ dependencies: Record<string, string> }} */ (
    JSON.parse(text)
  );
  return Object.entries(dependencies).map(([name, version]) => `${name} ${version}`);
}

/** Rounds that everybody finished. */
function fewest(/** @type {readonly { rounds: number }[]} */ rows) {
  return Math.min(...rows.map((row) => row.rounds));
}

const { only, json, rounds, ms } = readOptionsOrExit();
const beganMs = performance.now();
const schedule = {
  rounds,
  ms,
  endsAtMs: beganMs + BUDGET_MS,
  say: (/** @type {string} */ line) => void process.stderr.write(`${line}\n`),
};

const memory = only === "redis" ? undefined : await measureMemory(schedule);
const redis = only === "memory" ? undefined : await measureRedis(schedule);

const machine = {
  cores: availableParallelism(),
  cpu: cpus()[0]?.model ?? "unknown",
  node: process.version,
  server: redis?.server,
  packages: versions(),
};
const rows = [...(memory ?? []), ...(redis?.rows ?? [])];
const allowed = Math.min(...rows.map((row) => row.allowed));
const done = [
  ...(memory === undefined ? [] : [`${fewest(memory)} in memory`]),
  ...(redis === undefined ? [] : [`${fewest(redis.rows)} in Redis`]),
];
const { cores, cpu, node, server, packages } = machine;
console.log(
  [
    `${[`${cores} cores`, cpu, `Node ${node}`, ...(server === undefined ? [] : [server])].join(", ")}; ${packages.join(", ")}.`,
    `${whole(KEYS)} keys, uniformly random, ${whole(LIMIT)} calls per ${PERIOD_MS / 1e3} s a key. Every reply checked; at least ${(Math.floor(allowed * 1e4) / 1e2).toFixed(2)}% of anybody's calls allowed.`,
    `Medians [and ranges] of interleaved rounds, ${done.join(" and ")}; ratios are taken round by round. Reference: ${REFERENCE}. Floor: ${FLOOR}.`,
    ...(memory === undefined ? [] : ["", showMemory(memory)]),
    ...(redis === undefined ? [] : ["", showRedis(redis.rows)]),
  ].join("\n"),
);
if (json !== undefined) {
  const result = {
    machine,
    workload: { keys: KEYS, limit: LIMIT, periodMs: PERIOD_MS, ms },
    memory,
    redis: redis?.rows,
  };
  writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
}
schedule.say(`${Math.round((performance.now() - beganMs) / 1e3)} s`);

/** `npm run bench`: see README.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { checkRows, compare, isSlower, ROWS, showComparison } from "./against.mjs";
import { measureCold, showCold } from "./cold.mjs";
import { FLOOR, REFERENCE } from "./contenders/index.mjs";
import { measureFlood, showFlood } from "./flood.mjs";
import { showGoals } from "./goals.mjs";
import { measureHot, showHot } from "./hot.mjs";
import { measureQuick, showQuick } from "./quick.mjs";
import { measureMemory, showMemory } from "./memory.mjs";
import { measureMixed, showMixed } from "./mixed.mjs";
import { measureRedis, showRedis } from "./redis.mjs";
import { describe } from "./result.mjs";
import { measureSemaphore, showSemaphore } from "./semaphore.mjs";
import { measureSets, showSets } from "./sets.mjs";
import { measureWork, showWork } from "./work.mjs";
import { KEYS, LIMIT, PERIOD_MS } from "./workload.mjs";

/** @typedef {import("./result.mjs").Result} Result */

/** How to measure each section, and for how long new rounds may begin. */
const SECTIONS = {
  memory: { measure: measureMemory, budgetMs: 45_000 },
  redis: { measure: measureRedis, budgetMs: 190_000 },
  cold: { measure: measureCold, budgetMs: 30_000 },
  hot: { measure: measureHot, budgetMs: 40_000 },
  mixed: { measure: measureMixed, budgetMs: 45_000 },
  flood: { measure: measureFlood, budgetMs: 45_000 },
  sets: { measure: measureSets, budgetMs: 100_000 },
  work: { measure: measureWork, budgetMs: 120_000 },
  semaphore: { measure: measureSemaphore, budgetMs: 120_000 },
};
const NAMES = Object.keys(SECTIONS);

const USAGE = `npm run bench -- --quick             what users look at first, in two minutes
npm run bench -- [--quick] [--only ${NAMES.join("|")}]... [--rounds N] [--json FILE]
npm run bench -- --from FILE     the tables of an earlier run again
npm run bench -- --against COMMIT [--quick] [--pairs N] [--rows ${ROWS.join(",")}] [--json FILE]`;

const FULL = { rounds: 5, ms: 400, pairs: 15 };
const QUICK = { rounds: 1, ms: 150, pairs: 3 };

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      json: { type: "string" },
      from: { type: "string" },
      against: { type: "string" },
      pairs: { type: "string" },
      rows: { type: "string", multiple: true, default: [] },
    },
  });
  const { quick, only = NAMES, json, from, against } = values;
  const isFirst =
    quick && [values.only, values.rounds, from, against].every((it) => it === undefined);
  const defaults = quick ? QUICK : FULL;
  const rounds = Number(values.rounds ?? defaults.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds: a whole number from 1");
  const pairs = Number(values.pairs ?? defaults.pairs);
  if (!Number.isInteger(pairs) || pairs < 1) throw new Error("--pairs: a whole number from 1");
  const asked = values.rows.flatMap((list) => list.split(","));
  checkRows(asked);
  if (!only.every((name) => NAMES.includes(name))) throw new Error(`--only: ${NAMES.join(", ")}`);
  const { ms } = defaults;
  // Who names a number of rounds gets them, however long they take.
  const isBounded = values.rounds === undefined;
  return {
    only,
    json,
    from,
    against,
    pairs,
    asked,
    rounds,
    ms,
    isQuick: quick,
    isFirst,
    isBounded,
  };
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

/** @param {Result} result */
function show(result) {
  const { memory, cold, redis, hot, mixed, flood, sets, work, semaphore } = result.sections;
  return [
    `${describe(result)} Reference: ${REFERENCE}. Floor: ${FLOOR}.`,
    showGoals({
      memory,
      cold: cold?.rows,
      redis: redis?.rows,
      hot: hot?.rows,
      mixed: mixed?.rows,
      flood: flood?.rows,
      sets: sets?.rows,
      semaphore: semaphore?.rows,
    }),
    memory && showMemory(memory),
    redis && showRedis(redis.rows),
    cold && showCold(cold.rows),
    hot && showHot(hot.rows),
    mixed && showMixed(mixed.rows),
    flood && showFlood(flood.rows),
    sets && showSets(sets.rows),
    work && showWork(work),
    semaphore && showSemaphore(semaphore),
  ]
    .filter((part) => part !== undefined)
    .join("\n\n");
}

const { only, json, from, against, pairs, asked, rounds, ms, isQuick, isFirst, isBounded } =
  readOptionsOrExit();
const beganMs = performance.now();
const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);

async function measureAll() {
  const machine = {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    node: process.version,
    packages: versions(),
  };
  const sections = /** @type {Result["sections"] & Record<string, unknown>} */ ({});
  for (const [name, { measure, budgetMs }] of Object.entries(SECTIONS)) {
    if (!only.includes(name)) continue;
    sections[name] = await measure({
      rounds,
      ms,
      isQuick,
      endsAtMs: isBounded ? performance.now() + budgetMs : Number.POSITIVE_INFINITY,
      say: (line) => say(`${name}: ${line}`),
    });
  }
  return { machine, workload: { keys: KEYS, limit: LIMIT, periodMs: PERIOD_MS, ms }, sections };
}

async function measureOrRead() {
  if (against !== undefined) {
    const comparison = await compare({ commit: against, pairs, asked, ms, say });
    if (comparison.compared.some(isSlower)) process.exitCode = 1;
    return { result: comparison, text: showComparison(comparison) };
  }
  if (isFirst) {
    const machine = `${availableParallelism()} cores, ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`;
    const quick = await measureQuick(machine, (line) => say(`quick: ${line}`));
    return { result: quick, text: showQuick(quick) };
  }
  const result =
    from === undefined
      ? await measureAll()
      : /** @type {Result} */ (JSON.parse(readFileSync(from, "utf8")));
  return { result, text: show(result) };
}

const { result, text } = await measureOrRead();
console.log(text);
if (json !== undefined) writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
say(`${Math.round((performance.now() - beganMs) / 1e3)} s`);

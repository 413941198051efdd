/**
 * CPU time a call of builds and of peers, which take turns: what others do on the machine changes it least. Each has a process
 * of its own, since what V8 makes of two builds in one process differs by more than they do.
 *
 *     npm run build && node bench/cpu.mjs tree HEAD~3                        # the working tree against a commit
 *     node bench/cpu.mjs tree rate-limiter-flexible --rows 1,memory          # against a peer
 *     node bench/cpu.mjs tree /tmp/tried --rows 1                            # a directory with package.json and dist
 *     node bench/cpu.mjs tree HEAD~3 HEAD~3 --rows 256 --turns 60            # two of the same: what chance does
 *
 * In a turn each makes some thousand calls, in an order that changes from turn to turn. The table has the lower quartile of
 * the turns for each, and the median of each turn's ratio to the first with its interval of 95%.
 */
import { parseArgs } from "node:util";
import { startAnswering } from "./fork.mjs";
import { TURN } from "./measure-cpu.mjs";
import { withServer } from "./server.mjs";
import { medianInterval, quantile } from "./statistics.mjs";
import { buildNamed } from "./subjects.mjs";
import { table } from "./table.mjs";
import { AMPLE, USUAL } from "./workload.mjs";

/** @typedef {import("./measure-cpu.mjs").Subject} Subject */
/** @typedef {import("./measure-cpu.mjs").Spent} Spent */

const DEFAULT_TURNS = 40;
const LONGEST_MS = 240_000;
const IN_MEMORY = {
  keys: 100_000,
  inFlight: 0,
  quota: USUAL,
  calls: 50_000,
  warmCalls: 200_000,
};
/** Keys that the processor's caches hold. */
const IN_CACHE = { ...IN_MEMORY, keys: 500, quota: { ...USUAL, limit: 10_000_000 } };
/** Calls of a turn: enough that a command's share of a turn is none, and few enough for tens of turns in a minute. */
const ROWS = /** @satisfies {Record<string, import("./measure-cpu.mjs").Load>} */ ({
  1: { keys: 1000, inFlight: 1, quota: AMPLE, calls: 1000, warmCalls: 20_000 },
  64: { keys: 20_000, inFlight: 64, quota: USUAL, calls: 4000, warmCalls: 40_000 },
  256: { keys: 20_000, inFlight: 256, quota: USUAL, calls: 6000, warmCalls: 40_000 },
  hot: { keys: 1, inFlight: 256, quota: AMPLE, calls: 10_000, warmCalls: 40_000 },
  "sets-1": {
    keys: 1000,
    inFlight: 1,
    quota: { ...AMPLE, policies: 2 },
    calls: 1000,
    warmCalls: 20_000,
  },
  "sets-256": {
    keys: 10_000,
    inFlight: 256,
    quota: { ...AMPLE, policies: 2 },
    calls: 5000,
    warmCalls: 60_000,
  },
  memory: { ...IN_MEMORY },
  "memory-500": { ...IN_CACHE },
  // Some engines keep a long text in another way than a short one.
  "memory-500-long": { ...IN_CACHE, keyName: "tenant-7:address" },
  "memory-sync": { ...IN_MEMORY, sync: true },
  "memory-500-sync": { ...IN_CACHE, sync: true },
});
const NAMES = /** @type {(keyof typeof ROWS)[]} */ (Object.keys(ROWS));

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: "string", default: "256" },
    turns: { type: "string", default: String(DEFAULT_TURNS) },
    client: { type: "string", default: "ioredis" },
  },
});
const rows = options.rows.split(",").map((asked) => {
  const name = NAMES.find((each) => String(each) === asked);
  if (name === undefined) throw new Error(`--rows ${asked}: of ${NAMES.join(", ")}`);
  return name;
});
const turns = Number(options.turns);
/** @type {import("./clients.mjs").ClientKind} */
const client = options.client === "redis" ? "redis" : "ioredis";
/** @type {Subject[]} */
const subjects = (positionals.length === 0 ? ["tree"] : positionals).map((name) => ({
  name,
  build: buildNamed(name),
}));

/** @param {number} row @param {Spent[][]} found of each subject, by turn */
function cellsOf(row, found) {
  const [first = []] = found;
  return found.map((own, i) => {
    const cells = [`${rows[row]}: ${subjects[i]?.name}`];
    for (const of of /** @type {const} */ (["clientUs", "serverUs", "commandUs"])) {
      const mine = own.map((turn) => turn[of]).sort((a, b) => a - b);
      const timesFirst = own.map((turn, t) => turn[of] / (first[t]?.[of] ?? Number.NaN));
      const { low, high } = medianInterval(timesFirst) ?? { low: Number.NaN, high: Number.NaN };
      const median = quantile(
        [...timesFirst].sort((a, b) => a - b),
        0.5,
      );
      const ratio = i === 0 ? "" : `${median.toFixed(3)} [${low.toFixed(3)}–${high.toFixed(3)}]`;
      cells.push(quantile(mine, 0.25).toFixed(2), ratio);
    }
    return cells;
  });
}

/**
 * @param {string} url
 * @param {import("./measure-cpu.mjs").Load} load
 * @returns {Promise<Spent[][]>} of each subject, by turn
 */
async function measure(url, load) {
  /** @type {import("./fork.mjs").Answering[]} */
  const processes = [];
  try {
    for (const [i, subject] of subjects.entries()) {
      /** @type {Extract<import("./worker.mjs").Job, { kind: "cpu" }>} */
      const job = { kind: "cpu", contender: "sluice", client, url, subject, keyName: `${i}`, load };
      processes.push(await startAnswering(job, subject.build, LONGEST_MS));
    }
    /** @type {Spent[][]} */
    const spent = subjects.map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      for (let i = 0; i < subjects.length; i++) {
        const who = turnOf(turn, i);
        spent[who]?.push(/** @type {Spent} */ (await processes[who]?.ask(TURN)));
      }
    }
    return spent;
  } finally {
    for (const each of processes) each.end();
  }
}

/** None always comes after the same one, or after itself. @param {number} turn @param {number} i */
function turnOf(turn, i) {
  const many = subjects.length;
  return (turn + (Math.floor(turn / many) % 2 === 0 ? i : -i) + 2 * many) % many;
}

const { server, result } = await withServer(async ({ url, admin }) => {
  const cells = [];
  for (const [i, row] of rows.entries()) {
    await admin.flushall();
    process.stderr.write(`${row}\n`);
    cells.push(...cellsOf(i, await measure(url, ROWS[row])));
  }
  return cells;
});
console.log(
  `CPU time, µs a call, through ${client}, ${server}, Node ${process.version}, ${turns} turns.\n`,
);
console.log(table(["", "client", "× first", "server", "× first", "commands", "× first"], result));

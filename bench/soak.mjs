/** `npm run soak`: minutes of full load through Redis, and whether memory stays level. See README.md. */
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { startRedis } from "../scripts/redis-server.mjs";
import { CLIENTS, openClient } from "./clients.mjs";
import { collect } from "./loops.mjs";
import { makeTraffic } from "./soak-traffic.mjs";
import { trend } from "./statistics.mjs";
import { table, whole } from "./table.mjs";

/** @typedef {import("./soak-traffic.mjs").Counts} Counts */
/**
 * @typedef {object} Sample
 * @property {number} atS since the beginning
 * @property {number} heapBytes after full collections, with buffers outside the heap
 * @property {number} rssBytes
 * @property {number} delayP99Ms of the event loop since the sample before
 * @property {number} delayMaxMs
 * @property {number} callsPerSecond since the sample before
 * @property {number} handles that keep the process alive
 * @property {number} redisKeys
 */

const USAGE = `npm run soak -- [--minutes 10] [--client ${CLIENTS.join("|")}] [--in-flight 256] [--every 10] [--json FILE]
             [--leak BYTES]     keeps so much of each call on purpose, to see the verdict fail`;
const MIB = 2 ** 20;
/** What a run may add for certain: code compiled late, pools at their largest. */
const TOLERATED_BYTES = MIB;
/** Of the samples: tables, pools and compiled code reach their size in these. */
const WARM_UP = 0.2;
const MIN_SAMPLES = 5;
/** How long and how often the server is stopped: deadlines pass, and it comes back. */
const STALL_MS = 600;
const STALL_EVERY_MS = 60_000;
const FIRST_STALL_MS = 5000;
const GRACE_MS = 3000;

function readOptions() {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      client: { type: "string", default: "ioredis" },
      "in-flight": { type: "string", default: "256" },
      every: { type: "string", default: "10" },
      leak: { type: "string", default: "0" },
      json: { type: "string" },
    },
  });
  const positive = (/** @type {string} */ name, /** @type {string} */ text) => {
    const value = Number(text);
    if (!(value > 0)) throw new Error(`--${name}: a number above 0`);
    return value;
  };
  const client = CLIENTS.find((kind) => kind === values.client);
  if (client === undefined) throw new Error(`--client: ${CLIENTS.join(" or ")}`);
  const everyMs = positive("every", values.every) * 1e3;
  const ms = positive("minutes", values.minutes) * 60e3;
  if (ms * (1 - WARM_UP) < everyMs * MIN_SAMPLES) {
    throw new Error("--minutes: too short for its samples; see --every");
  }
  const inFlight = Math.ceil(positive("in-flight", values["in-flight"]));
  return { ms, client, inFlight, everyMs, leak: Number(values.leak), json: values.json };
}

function readOptionsOrExit() {
  try {
    return readOptions();
  } catch (error) {
    console.error(`${String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

/** What keeps this process alive, but for its own input and output. */
function openHandles() {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => !/^(CloseReq|PipeWrap|TTYWrap)$/.test(kind));
}

const { ms, client: kind, inFlight, everyMs, leak, json } = readOptionsOrExit();
/** @type {unknown[]} */
const failures = [];
process.on("unhandledRejection", (reason) => failures.push(reason));

/** @type {Sample[]} */
const samples = [];
const counts = await soak();
const handles = await handlesLeft();
const judgement = judge();
report();
// A handle that is left would keep a failed run from ending.
process.exit(judgement.isFlat && handles.length === 0 && failures.length === 0 ? 0 : 1);

/** @returns {Promise<Counts>} */
async function soak() {
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  const client = await openClient(kind, redis.url);
  // Connections that stall for a while are the subject of this run.
  client.raw.on("error", () => {});
  const traffic = makeTraffic(client, inFlight, leak);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();

  const beganMs = performance.now();
  const stop = new AbortController();
  const working = traffic.run(stop.signal);
  const stalling = stall(redis.pid, stop.signal);
  let { calls } = traffic.counts;
  let sampledMs = beganMs;
  console.log(header());
  for (let atMs = everyMs; atMs <= ms; atMs += everyMs) {
    await sleep(Math.max(0, beganMs + atMs - performance.now()));
    const nowMs = performance.now();
    const callsPerSecond = ((traffic.counts.calls - calls) / (nowMs - sampledMs)) * 1e3;
    const [delayP99Ms, delayMaxMs] = [delay.percentile(99) / 1e6, delay.max / 1e6];
    await collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    const sample = {
      atS: (nowMs - beganMs) / 1e3,
      heapBytes: heapUsed + external,
      rssBytes: rss,
      delayP99Ms,
      delayMaxMs,
      callsPerSecond,
      handles: openHandles().length,
      redisKeys: await admin.dbsize(),
    };
    samples.push(sample);
    console.log(line(sample));
    // The collections above are not the load's doing.
    await turn();
    delay.reset();
    calls = traffic.counts.calls;
    sampledMs = performance.now();
  }
  stop.abort();
  await Promise.all([working, stalling]);
  delay.disable();
  await traffic.close();
  await client.close();
  await admin.quit();
  await redis.stop();
  return traffic.counts;
}

/**
 * @param {number} pid
 * @param {AbortSignal} signal
 */
async function stall(pid, signal) {
  for (let waitMs = FIRST_STALL_MS; !signal.aborted; waitMs = STALL_EVERY_MS) {
    await sleep(waitMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    process.kill(pid, "SIGSTOP");
    await sleep(STALL_MS);
    process.kill(pid, "SIGCONT");
  }
}

async function handlesLeft() {
  const endMs = performance.now() + GRACE_MS;
  while (openHandles().length > 0 && performance.now() < endMs) await turn();
  return openHandles();
}

/** Growing is what a line through the heap's samples says for certain: its slope less two standard errors. */
function judge() {
  const kept = samples.slice(Math.max(1, Math.floor(samples.length * WARM_UP)));
  const { slope, error } = trend(kept.map(({ atS, heapBytes }) => [atS, heapBytes]));
  const spanS = (kept.at(-1)?.atS ?? 0) - (kept[0]?.atS ?? 0);
  const grown = (slope - 2 * error) * spanS;
  const perMinute = (/** @type {number} */ bytes) => `${((bytes * 60) / 1024).toFixed(1)} KiB`;
  const isFlat = grown <= TOLERATED_BYTES;
  return {
    isFlat,
    text: `heap ${isFlat ? "flat" : "GROWING"}: ${perMinute(slope)} ± ${perMinute(2 * error)} a minute over ${whole(spanS)} s after warming up; certain growth ${(Math.max(0, grown) / MIB).toFixed(2)} MiB, tolerated ${TOLERATED_BYTES / MIB} MiB`,
  };
}

function header() {
  return "   at s   heap MiB    RSS MiB   loop p99 ms   loop max ms     calls/s   handles   keys in Redis";
}

/** @param {Sample} sample */
function line(sample) {
  const cells = [
    [sample.atS.toFixed(0), 7],
    [(sample.heapBytes / MIB).toFixed(2), 11],
    [(sample.rssBytes / MIB).toFixed(1), 11],
    [sample.delayP99Ms.toFixed(1), 14],
    [sample.delayMaxMs.toFixed(1), 14],
    [whole(sample.callsPerSecond), 12],
    [String(sample.handles), 10],
    [whole(sample.redisKeys), 16],
  ];
  return cells.map(([text, width]) => String(text).padStart(Number(width))).join("");
}

function report() {
  const delays = samples.map(({ delayP99Ms }) => delayP99Ms).sort((a, b) => a - b);
  const { calls, ...outcomes } = counts;
  const rows = Object.entries(outcomes)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => [outcome, whole(count), `${((count / calls) * 100).toFixed(2)}%`]);
  console.log(
    [
      "",
      table([`of ${whole(calls)} calls through ${kind}`, "", ""], rows),
      "",
      judgement.text,
      `event-loop delay p99, median of the samples: ${delays[Math.floor(delays.length / 2)]?.toFixed(1)} ms`,
      `open handles at the end: ${handles.length === 0 ? "none" : handles.join(", ")}`,
      ...failures.map((failure) => `unhandled: ${String(failure)}`),
    ].join("\n"),
  );
  if (json === undefined) return;
  writeFileSync(json, `${JSON.stringify({ samples, counts, ...judgement }, null, 2)}\n`);
}

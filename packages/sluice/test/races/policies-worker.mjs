// A process that follows a published document and asks it without pause. Argument: a Job as JSON. It calls until its standard
// input ends; then it writes its log, and prints what it saw as one line of JSON. Before that it prints a line for whatever
// came about for the first time: "begun", "reload <outcome>", "local", and "by <version>" when it decides by that alone.
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as inNextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";

/**
 * @typedef {object} Job
 * @property {string} dist the compiled library
 * @property {string} url of the server
 * @property {string} name of the document
 * @property {string} file for the log
 * @property {boolean} hears whether it subscribes to hints
 * @property {string} [every] how often it looks
 * @property {string} [timeout] how long it waits for the store
 * @property {number} [aheadMs] how far its own wall clock is wrong
 */

const job = /** @type {Job} */ (JSON.parse(process.argv[2] ?? ""));
if (job.aheadMs !== undefined) {
  const RealDate = Date;
  const { aheadMs } = job;
  globalThis.Date = /** @type {typeof Date} */ (
    class extends RealDate {
      /** @override */
      static now() {
        return RealDate.now() + aheadMs;
      }
    }
  );
}
/** @param {string} path */
const from = (path) => import(pathToFileURL(`${job.dist}/${path}`).href);
const { headerLine, keyId, recordLine } = /** @type {typeof import("../../src/audit/index.js")} */ (
  await from("audit/index.js")
);
const { tokenBucket } = /** @type {typeof import("../../src/index.js")} */ (await from("index.js"));
const { PolicySet, PublishedPolicies } =
  /** @type {typeof import("../../src/policies/index.js")} */ (await from("policies/index.js"));
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await from("stores/redis/index.js")
);

const store = new RedisStore({ url: job.url, ...(job.hears ? {} : { subscriber: false }) });
let longestTripMs = 0;
store.events.on("roundTrip", ({ durationMs }) => {
  longestTripMs = Math.max(longestTripMs, durationMs);
});
const rules = await PolicySet.open({
  source: new PublishedPolicies({ store, name: job.name }),
  store,
  namespace: job.name,
  denyCache: false,
  timeout: job.timeout ?? "60s",
  patience: "60s",
  every: job.every,
});
const said = new Set();
/** @param {string} line */
function say(line) {
  if (said.has(line)) return;
  said.add(line);
  process.stdout.write(`${line}\n`);
}

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
/** @type {{ readonly version: unknown; readonly atUs: number }[]} */
const switches = [];
rules.events.on("rules", ({ after, atUs }) => void switches.push({ version: after, atUs }));
/** @type {string[]} */
const reloads = [];
rules.events.on("reload", ({ outcome }) => {
  reloads.push(outcome);
  say(`reload ${outcome}`);
});

const end = new AbortController();
process.stdin.on("end", () => end.abort());
process.stdin.resume();
const lines = [headerLine([tokenBucket({ name: "api", limit: 200, period: "1s" })])];
let begun = 0;
let answered = 0;
/** @type {Record<string, number>} */
const sources = {};
/** @type {{ readonly version: unknown; readonly atUs: number }[]} */
const decided = [];
/** What each of them decided by at last. @type {unknown[]} */
const lastOf = [0, 0, 0, 0];

/** @param {number} worker */
async function work(worker) {
  while (!end.signal.aborted) {
    begun += 1;
    const user = `u${begun % 3}`;
    const decision = await rules.consume({ entries: { user } });
    answered += 1;
    sources[decision.source] = (sources[decision.source] ?? 0) + 1;
    if (decision.source === "store") {
      lines.push(recordLine({ key: keyId(`user=${user}`), cost: 1 }, decision));
      decided.push({ version: decision.version, atUs: decision.decidedAtUs });
      lastOf[worker] = decision.version;
      if (lastOf.every((each) => each === decision.version)) say(`by ${String(decision.version)}`);
    }
    if (answered >= 20) say("begun");
    if (decision.source === "local") say("local");
    await inNextTurn();
  }
}
await Promise.all(lastOf.map((_, worker) => work(worker)));
const { stale, version } = rules.status();
writeFileSync(job.file, lines.join(""));
const perVersion = new Map(
  decided.map(({ version: each }) => [each, { firstUs: Infinity, lastUs: 0 }]),
);
for (const { version: each, atUs } of decided) {
  const span = perVersion.get(each);
  if (span === undefined) continue;
  span.firstUs = Math.min(span.firstUs, atUs);
  span.lastUs = Math.max(span.lastUs, atUs);
}
process.stdout.write(
  `${JSON.stringify({
    begun,
    answered,
    sources,
    switches,
    reloads,
    stale,
    version,
    spans: [...perVersion],
    loopDelayMs: delay.max / 1e6,
    longestTripMs,
  })}\n`,
);
await rules.close();
await store.close();

// How fast `sluice simulate` replays logs, and in how much memory, by the built program: a million attempts of 50,000 keys in a
// heap of 64 MB, since of no more than one key is there a state at a time; and as many requests to a set of rules, whose keys
// are all there at once, under two documents. `npm run bench:simulate`, or with another number of attempts behind it.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, execPath, stderr } from "node:process";
import { fileURLToPath } from "node:url";

const ATTEMPTS = Number(argv[2] ?? 1_000_000);
const KEYS = 50_000;
const START_US = 1_767_225_600_000_000;
const cli = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));
/** Prints the most memory that the program ever had, when it ends. */
const PEAK = `process.on("exit", () => process.stderr.write(\`peak \${process.resourceUsage().maxRSS}\`))`;

const POLICY = { algorithm: "token-bucket", limit: 30, period: "1m" };
const ANSWER = `"allowed":true,"reason":"ok","source":"store","limiter":"edge"`;

/** A line of an attempt. @param {number} atUs @param {number} key */
const attempt = (atUs, key) =>
  `{"atUs":${atUs},"key":"key-${key}","cost":1,"granted":1,"remaining":9,"retryAfterMs":0,"resetAfterMs":1,"rule":1,"policy":"api",${ANSWER}}\n`;

/** A line of a request to a set of rules. @param {number} atUs @param {number} key */
const request = (atUs, key) =>
  `{"atUs":${atUs},"asked":[{"entries":{"path":"/v1/items"},"ids":{"user":"${String(key).padStart(22, "k")}"},"met":{"api":1}}],${ANSWER}}\n`;

/** @param {string} file @param {boolean} ofSet @param {(atUs: number, key: number) => string} lineOf */
function writeLog(file, ofSet, lineOf) {
  const log = openSync(file, "w");
  writeSync(log, `{"sluice":1,"attempts":{"session":"s","part":1,"sample":1}}\n`);
  const policy = { ...POLICY, name: "api" };
  writeSync(
    log,
    `${JSON.stringify({ rule: 1, limiter: "edge", policy, ...(ofSet && { set: true }) })}\n`,
  );
  for (let i = 0; i < ATTEMPTS; ) {
    let text = "";
    for (const end = Math.min(ATTEMPTS, i + 1000); i < end; i++) {
      text += lineOf(START_US + Math.floor(i / KEYS) * 3e6 + (i % KEYS), i % KEYS);
    }
    writeSync(log, text);
  }
  writeSync(log, '{"end":"s"}\n');
  closeSync(log);
}

/** @param {string} name @param {string} file @param {readonly string[]} options @param {number} heapMb */
function replay(name, file, options, heapMb) {
  const flags = [`--max-old-space-size=${heapMb}`, "--import", `data:text/javascript,${PEAK}`];
  const began = performance.now();
  const args = [...flags, cli, "simulate", file, ...options, "--json"];
  const run = spawnSync(execPath, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
  if (run.status !== 0) throw new Error(run.stderr);
  const seconds = (performance.now() - began) / 1e3;
  const report = /** @type {{ durationMs: number, all: { newlyDenied: number } }} */ (
    JSON.parse(run.stdout)
  );
  const perSecond = (ATTEMPTS / report.durationMs) * 1e3;
  const peakMb = Number(/peak (\d+)/.exec(run.stderr)?.[1]) / 1024;
  console.log(
    `${name}: ${Math.round(perSecond)} attempts/s replayed, ${seconds.toFixed(1)} s with reading, ` +
      `${peakMb.toFixed(0)} MB at most in a heap of ${heapMb} MB, ${report.all.newlyDenied} newly denied`,
  );
}

const directory = mkdtempSync(join(tmpdir(), "sluice-simulate-"));
try {
  console.log(`${ATTEMPTS} attempts of ${KEYS} keys`);
  const keyed = join(directory, "attempts.jsonl");
  writeLog(keyed, false, attempt);
  for (const algorithm of ["token-bucket", "sliding-log"]) {
    replay(algorithm, keyed, ["--policy", `${algorithm}:name=api,limit=10,period=1m`], 64);
  }
  const asked = join(directory, "requests.jsonl");
  writeLog(asked, true, request);
  const document = join(directory, "policies.json");
  const rule = { match: { path: "/v1/*" }, key: ["user"], policy: { ...POLICY, limit: 10 } };
  for (const names of [["api"], ["api", "site"]]) {
    writeFileSync(document, JSON.stringify({ rules: names.map((name) => ({ name, ...rule })) }));
    const name = `requests to ${names.length === 1 ? "one rule" : "two rules"}`;
    replay(name, asked, ["--policies", document], 256);
  }
} catch (error) {
  stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

// How fast `sluice simulate` replays a log, and in how much memory: a million attempts of 50,000 keys, by the built program
// in a heap of 64 MB: of no more than one key is there a state at a time. `npm run bench:simulate`, or with another number of
// attempts behind it.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, execPath, stderr } from "node:process";
import { fileURLToPath } from "node:url";

const ATTEMPTS = Number(argv[2] ?? 1_000_000);
const KEYS = 50_000;
const HEAP_MB = 64;
const START_US = 1_767_225_600_000_000;
const cli = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));
/** Prints the most memory that the program ever had, when it ends. */
const PEAK = `process.on("exit", () => process.stderr.write(\`peak \${process.resourceUsage().maxRSS}\`))`;

const POLICIES = [
  "token-bucket:name=api,limit=10,period=1m",
  "sliding-log:name=api,limit=10,period=1m",
];

/** @param {string} file */
function writeLog(file) {
  const policy = { algorithm: "token-bucket", name: "api", limit: 30, period: "1m" };
  const log = openSync(file, "w");
  writeSync(log, `{"sluice":1,"attempts":{"session":"s","part":1,"sample":1}}\n`);
  writeSync(log, `${JSON.stringify({ rule: 1, limiter: "edge", policy })}\n`);
  for (let i = 0; i < ATTEMPTS; ) {
    let text = "";
    for (const end = Math.min(ATTEMPTS, i + 1000); i < end; i++) {
      const atUs = START_US + Math.floor(i / KEYS) * 3e6 + (i % KEYS);
      text += `{"atUs":${atUs},"key":"key-${i % KEYS}","cost":1,"allowed":true,"granted":1,"remaining":9,"retryAfterMs":0,"resetAfterMs":1,"reason":"ok","source":"store","rule":1,"limiter":"edge","policy":"api"}\n`;
    }
    writeSync(log, text);
  }
  writeSync(log, '{"end":"s"}\n');
  closeSync(log);
}

const directory = mkdtempSync(join(tmpdir(), "sluice-simulate-"));
try {
  const file = join(directory, "attempts.jsonl");
  writeLog(file);
  console.log(`${ATTEMPTS} attempts of ${KEYS} keys, in a heap of ${HEAP_MB} MB`);
  const flags = [`--max-old-space-size=${HEAP_MB}`, "--import", `data:text/javascript,${PEAK}`];
  for (const policy of POLICIES) {
    const began = performance.now();
    const args = [...flags, cli, "simulate", file, "--policy", policy, "--json"];
    const run = spawnSync(execPath, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
    if (run.status !== 0) throw new Error(run.stderr);
    const seconds = (performance.now() - began) / 1e3;
    const report = /** @type {{ durationMs: number, all: { newlyDenied: number } }} */ (
      JSON.parse(run.stdout)
    );
    const perSecond = (ATTEMPTS / report.durationMs) * 1e3;
    const peakMb = Number(/peak (\d+)/.exec(run.stderr)?.[1]) / 1024;
    console.log(
      `${policy.split(":")[0]}: ${Math.round(perSecond)} attempts/s replayed, ${seconds.toFixed(1)} s with reading, ` +
        `${peakMb.toFixed(0)} MB at most, ${report.all.newlyDenied} newly denied`,
    );
  }
} catch (error) {
  stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

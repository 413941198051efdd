// What the dashboard costs a process: nanoseconds a decision, and the share of a core, with none, with one that is not open
// in a browser, and with five browsers that poll it each second. Variants take turns, so that what else the machine does
// meets all.
//
// It takes the seconds × rounds × 4, and about as long again for the decisions; stderr has a line for each round.
//
//   node bench/dashboard.mjs [seconds each, default 5] [rounds, default 3]
import { argv, stderr } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { dashboard } from "@sluice/cli/dashboard";
import { PolicySet } from "sluice/policies";

const seconds = Number(argv[2] ?? 5);
const rounds = Number(argv[3] ?? 3);
const DECISIONS = 50_000;
const POLLERS = 5;

const policy = /** @type {const} */ ({ algorithm: "token-bucket", limit: 100, period: "1s" });
const source = {
  rules: Array.from({ length: 20 }, (_, i) => ({
    name: `rule-${i}`,
    match: { rule: String(i) },
    key: ["user"],
    policy,
  })),
};

/** @param {readonly number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

const VARIANTS = /** @type {const} */ ([
  ["no dashboard", undefined, 0],
  ["no browser", 50_000, 0],
  ["five browsers, nothing remembered", 0, POLLERS],
  ["five browsers", 50_000, POLLERS],
]);

/** @param {number | undefined} attempts @param {number} pollers */
async function measure(attempts, pollers) {
  const rules = new PolicySet({ source });
  const board =
    attempts === undefined
      ? undefined
      : dashboard({ policies: rules, attempts, auth: () => "admin" });
  const requests = source.rules.map((_, i) => ({ entries: { rule: String(i), user: `u${i}` } }));
  const ask = async (/** @type {number} */ count) => {
    for (let i = 0; i < count; i++) {
      await rules.consume(requests[i % requests.length] ?? { entries: {} });
    }
  };
  // The first look is when it begins to remember.
  if (pollers > 0) await board?.(new Request("http://localhost/api/state"));
  await ask(DECISIONS / 4);
  const began = performance.now();
  await ask(DECISIONS);
  const nsEach = ((performance.now() - began) * 1e6) / DECISIONS;
  const since = new Array(pollers).fill(0);
  const used = process.cpuUsage();
  const from = performance.now();
  // A thousand decisions a second, and what the pages ask for.
  for (let second = 0; second < seconds; second++) {
    await Promise.all(
      since.map(async (next, i) => {
        const reply = await board?.(new Request(`http://localhost/api/state?since=${next}`));
        since[i] = /** @type {{ next: number } | undefined} */ (await reply?.json())?.next ?? 0;
      }),
    );
    await ask(1000);
    await sleep(1000 - ((performance.now() - from) % 1000));
  }
  const { user, system } = process.cpuUsage(used);
  const share = (user + system) / 1000 / (performance.now() - from);
  await board?.close();
  await rules.close();
  return { nsEach, share };
}

const results = VARIANTS.map(() => /** @type {{ nsEach: number; share: number }[]} */ ([]));
const beganMs = performance.now();
for (let round = 0; round < rounds; round++) {
  for (const [i, [, attempts, pollers]] of VARIANTS.entries()) {
    results[i]?.push(await measure(attempts, pollers));
  }
  const passed = Math.round((performance.now() - beganMs) / 1000);
  stderr.write(`round ${round + 1} of ${rounds}: ${passed} s so far\n`);
}
for (const [i, [name]] of VARIANTS.entries()) {
  const own = results[i] ?? [];
  const ns = Math.round(median(own.map(({ nsEach }) => nsEach)));
  const percent = (median(own.map(({ share }) => share)) * 100).toFixed(2);
  console.log(
    `${name.padEnd(28)} ${String(ns).padStart(6)} ns a decision   ${percent} % of a core`,
  );
}

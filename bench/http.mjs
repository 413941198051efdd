/** `npm run bench:http`: what a limiter adds to a request, in CPU time, beside the framework's own usual one. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { GOALS, SCENARIOS } from "./http/scenarios.mjs";
import { withServer } from "./server.mjs";
import { spread } from "./statistics.mjs";

const WORKER = fileURLToPath(new URL("http/worker.mjs", import.meta.url));
const FRAMEWORKS = Object.keys(GOALS);

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: FRAMEWORKS },
    scenario: { type: "string", multiple: true, default: Object.keys(SCENARIOS) },
    rounds: { type: "string" },
  },
});
const batches = values.quick ? 60 : 300;
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));

/** @typedef {{ peer: string, costs: Record<string, number[]> }} Measured */

/**
 * @param {string} framework
 * @param {string} scenario
 * @param {string} url
 * @returns {Promise<Measured>}
 */
async function measure(framework, scenario, url) {
  const worker = fork(WORKER, [framework, scenario, url, String(batches)]);
  const exited = once(worker, "exit");
  const [answer] = /** @type {[Measured]} */ (
    await Promise.race([
      once(worker, "message"),
      exited.then(([code]) => {
        throw new Error(`${framework}, ${scenario}: the worker ended with ${String(code)}`);
      }),
    ])
  );
  await exited;
  return answer;
}

/**
 * Median over batches of what a variant cost more than the bare server beside it, in µs a request.
 * @param {Measured} measured
 * @param {string} variant
 */
function added({ costs }, variant) {
  const { bare = [], [variant]: own = [] } = costs;
  return spread(own.map((cost, i) => cost - (bare[i] ?? Number.NaN))).median;
}

/** @param {{ median: number, min: number, max: number }} spreadOf */
const show = ({ median, min, max }, digits = 1) =>
  `${median.toFixed(digits)} [${min.toFixed(digits)}–${max.toFixed(digits)}]`;

/** @param {string} url */
async function main(url) {
  console.log("| | added by Sluice, µs | by the peer, µs | ratio | goal |\n|---|---|---|---|---|");
  for (const framework of FRAMEWORKS.filter((name) => values.only.includes(name))) {
    const goals = GOALS[/** @type {keyof typeof GOALS} */ (framework)];
    for (const scenario of values.scenario.filter((name) => name in goals)) {
      const [ours, theirs, ratios] = /** @type {[number[], number[], number[]]} */ ([[], [], []]);
      let peer = "";
      for (let round = 0; round < rounds; round++) {
        const measured = await measure(framework, scenario, url);
        const [own, other] = [added(measured, "sluice"), added(measured, measured.peer)];
        ours.push(own);
        theirs.push(other);
        ratios.push(own / other);
        ({ peer } = measured);
      }
      const goal = goals[/** @type {keyof typeof goals} */ (scenario)];
      console.log(
        `| ${framework}, ${scenario}, beside ${peer} | ${show(spread(ours))} | ${show(spread(theirs))} | ` +
          `${show(spread(ratios), 2)} | ≤ ${goal} |`,
      );
    }
  }
}

await withServer(({ url }) => main(url));

/** Cost against work: throughput from one key to a million, and from one policy to five. */
import { REFERENCE } from "./contenders/index.mjs";
import { commandTime, measureEntrants, series, speed } from "./entrants.mjs";
import { perform } from "./fork.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, whole, wholeSpread } from "./table.mjs";
import { AMPLE } from "./workload.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */
/** @typedef {import("./entrants.mjs").Section & { policyRows: Row[] }} WorkSection */

const CLIENT = "ioredis";
const CONTENDERS = ["sluice", REFERENCE];
const IN_FLIGHT = 256;
const KEY_COUNTS = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];
/** A million keys take longer to write than all the rest. */
const QUICK_KEYS = 100_000;
const POLICIES = [1, 2, 3, 4, 5];
/** Under several policies. */
const POLICY_KEYS = 10_000;

/**
 * @param {import("./rounds.mjs").Schedule} schedule
 * @returns {Promise<WorkSection>}
 */
export async function measureWork(schedule) {
  const { ms, isQuick } = schedule;
  const counts = KEY_COUNTS.filter((keys) => !isQuick || keys <= QUICK_KEYS);
  const stages = counts.map((keys) => ({ keys, inFlight: IN_FLIGHT, ms }));
  const halfwayMs = (performance.now() + schedule.endsAtMs) / 2;
  const { server, rows } = await measureEntrants(
    { ...schedule, endsAtMs: halfwayMs, say: (line) => schedule.say(`keys: ${line}`) },
    CONTENDERS.map((contender) => ({ contender, client: CLIENT, policies: 1 })),
    ({ contender, client }, url, seed) =>
      perform({ kind: "redis", contender, client, url, seed, quota: AMPLE, stages }),
  );
  const { rows: policyRows } = await measureEntrants(
    { ...schedule, say: (line) => schedule.say(`policies: ${line}`) },
    CONTENDERS.flatMap((contender) =>
      POLICIES.map((policies) => ({ contender, client: CLIENT, policies })),
    ),
    ({ contender, client, policies }, url, seed) => {
      const quota = { ...AMPLE, policies };
      const stage = { keys: POLICY_KEYS, inFlight: IN_FLIGHT, ms };
      return perform({ kind: "redis", contender, client, url, seed, quota, stages: [stage] });
    },
  );
  return { server, rows, policyRows };
}

/** @param {WorkSection} section */
export function showWork({ rows, policyRows }) {
  const counts = (rows[0]?.loads[0] ?? []).map(({ keys }) => keys);
  const byKeys = counts.map((keys, stage) => {
    const [own, reference] = CONTENDERS.map((name) =>
      rows.find(({ contender }) => contender === name),
    );
    return [whole(keys), ...cells(own, reference, stage)];
  });
  const byPolicies = POLICIES.map((policies) => {
    const [own, reference] = CONTENDERS.map((name) =>
      policyRows.find((row) => row.contender === name && row.policies === policies),
    );
    return [String(policies), ...cells(own, reference, 0)];
  });
  const head = [
    "sluice calls/s",
    "server µs/call in commands",
    `${REFERENCE} calls/s`,
    "server µs/call in commands",
    "sluice × reference",
  ];
  return [
    table([`keys, through ${CLIENT}, ${IN_FLIGHT} in flight`, ...head], byKeys),
    "",
    table([`policies, ${whole(POLICY_KEYS)} keys`, ...head], byPolicies),
  ].join("\n");
}

/**
 * @param {Row | undefined} own
 * @param {Row | undefined} reference
 * @param {number} stage
 */
function cells(own, reference, stage) {
  const [ours, theirs] = [own, reference].map((row) => series(row, stage, speed));
  const [ourTime, theirTime] = [own, reference].map((row) =>
    spread(series(row, stage, commandTime)).median.toFixed(2),
  );
  return [
    wholeSpread(spread(ours ?? [])),
    ourTime ?? "",
    wholeSpread(spread(theirs ?? [])),
    theirTime ?? "",
    factorSpread(ratios(ours ?? [], theirs ?? [])),
  ];
}

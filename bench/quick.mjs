/** `--quick`: what users look at first, each beside its goal, in two minutes. */
import { AIMS, holds, inWords } from "./aims.mjs";
import { fromCold } from "./cold.mjs";
import { BESIDE, BLOCKING, COUNTER, REFERENCE } from "./contenders/index.mjs";
import { perform } from "./fork.mjs";
import { callsFor } from "./mixed.mjs";
import { CROWDS, measureCrowd } from "./semaphore.mjs";
import { withServer } from "./server.mjs";
import { spread } from "./statistics.mjs";
import { factorSpread, table, whole } from "./table.mjs";
import { AMPLE, USUAL } from "./workload.mjs";

/** @typedef {import("./server.mjs").Server} Server */
/** What was found, by name. @typedef {Record<string, number>} Values */
/** @typedef {(server: Server, seed: number) => Promise<Values>} Measure */
/** @typedef {{ quick: true, machine: string, server: string, rounds: Values[] }} QuickResult */

const CLIENT = /** @type {const} */ ("ioredis");
const OWN = "sluice";
/** Each is used once before the clock starts: with many in flight that is the warm-up. */
const KEYS = 60_000;
const WARM_CALLS = 60_000;
/** With one in flight as many would take ten seconds and more of each. */
const LONE_WARM_CALLS = 15_000;
const MS = 400;
const MIXED_KEYS = 10_000;
const DENIED_KEYS = 1000;
const HAND_OFF_MS = 1500;
const MOST_ROUNDS = 5;
/** Of this process: no measurement begins after the first, and one that still runs at the second is ended. */
const LAST_START_MS = 90_000;
const END_MS = 110_000;

/**
 * @template {import("./worker.mjs").Job} J
 * @param {J} job
 */
function within(job) {
  return perform(job, undefined, leftMs());
}

function leftMs() {
  return Math.max(1, Math.ceil(END_MS - performance.now()));
}

/** @type {Measure} */
async function inMemory(_server, seed) {
  /** @type {Values} */
  const values = {};
  for (const contender of ["sluice consumeSync", "sluice consume", REFERENCE]) {
    const { callsPerSecond } = await within({ kind: "memory", contender, seed, ms: MS });
    values[`${contender} in memory`] = callsPerSecond;
  }
  return values;
}

/**
 * @param {Server} server
 * @param {number} seed
 * @param {string} contender
 * @param {import("./workload.mjs").Quota} quota
 * @param {readonly import("./measure-redis.mjs").Stage[]} stages
 */
async function loadsOf({ url, admin }, seed, contender, quota, stages) {
  await admin.flushall();
  const job = { kind: /** @type {const} */ ("redis"), contender, client: CLIENT, url, seed };
  const { loads } = await within({ ...job, quota, stages });
  return loads;
}

/** @param {number} inFlight */
function stage(inFlight) {
  const warmCalls = inFlight === 1 ? LONE_WARM_CALLS : Math.round(WARM_CALLS / 10);
  return { keys: KEYS, inFlight, ms: MS, warmCalls };
}

/** @param {string} contender @returns {Measure} */
function inRedis(contender) {
  return async (server, seed) => {
    const loads = await loadsOf(server, seed, contender, USUAL, [256, 64, 1].map(stage));
    const [busy, some, lone] = loads;
    return {
      [`${contender} 256`]: busy?.callsPerSecond ?? Number.NaN,
      [`${contender} 64 p99`]: some?.p99Us ?? Number.NaN,
      [`${contender} 1`]: lone?.callsPerSecond ?? Number.NaN,
      [`${contender} 1 p50`]: lone?.p50Us ?? Number.NaN,
      [`${contender} 1 floor`]: lone?.floorP50Us ?? Number.NaN,
    };
  };
}

/** @type {Measure} */
async function counters(server, seed) {
  const [busy] = await loadsOf(server, seed, COUNTER, USUAL, [stage(256)]);
  return { [`${COUNTER} 256`]: busy?.callsPerSecond ?? Number.NaN };
}

/** @param {string} contender @param {readonly number[]} inFlight @returns {Measure} */
function onTwoPolicies(contender, inFlight) {
  return async (server, seed) => {
    // As the row with one policy. A state of AMPLE lives for a second: over so many keys, most calls would find none.
    const quota = { ...USUAL, policies: 2 };
    const loads = await loadsOf(server, seed, contender, quota, inFlight.map(stage));
    return {
      [`${contender} 2 policies 256`]: loads[0]?.callsPerSecond ?? Number.NaN,
      [`${contender} 2 policies 1 server`]: loads[1]?.commandUs ?? Number.NaN,
    };
  };
}

/** @param {string} contender @returns {Measure} */
function onOneKey(contender) {
  return async (server, seed) => {
    const one = { keys: 1, inFlight: 256, ms: MS, warmCalls: WARM_CALLS };
    const [hot] = await loadsOf(server, seed, contender, AMPLE, [one]);
    return { [`${contender} hot`]: hot?.callsPerSecond ?? Number.NaN };
  };
}

/** @param {string} contender @returns {Measure} */
function onDeniedKeys(contender) {
  return async ({ url, admin }, seed) => {
    await admin.flushall();
    const flood = { keys: DENIED_KEYS, inFlight: 256, ms: MS };
    const job = { kind: /** @type {const} */ ("flood"), contender, client: CLIENT, url, seed };
    const { loads } = await within({ ...job, stage: flood });
    return { [`${contender} denied`]: loads[0]?.callsPerSecond ?? Number.NaN };
  };
}

/** As part `mixed` has it: the same calls without a hot key beside them, and with one. @type {Measure} */
async function besideHotKey(server, seed) {
  /** @type {Values} */
  const values = {};
  for (const contender of [OWN, BESIDE.refunded]) {
    const many = { keys: MIXED_KEYS, inFlight: 256, ms: MS, warmCalls: WARM_CALLS };
    const [load] = await loadsOf(server, seed, contender, AMPLE, [many]);
    values[`${contender} mixed`] = (load?.callsPerSecond ?? Number.NaN) * callsFor(contender);
  }
  return values;
}

/** @param {string} contender @returns {Measure} */
function cold(contender) {
  return async (server, seed) => {
    const who = { contender, client: CLIENT };
    const { callsUntilHalf } = await fromCold(server, who, seed, leftMs());
    return { [`${contender} cold`]: callsUntilHalf };
  };
}

/** @param {import("./clients.mjs").ClientKind} client @returns {Measure} */
function handOff(client) {
  return async (server) => {
    const crowd = /** @type {import("./semaphore.mjs").Crowd} */ (CROWDS[0]);
    const { handOffUs, pingUs } = await measureCrowd(
      server,
      { contender: OWN, client, crowd },
      HAND_OFF_MS,
    );
    return { [`${client} hand-off`]: handOffUs, [`${client} ping`]: pingUs };
  };
}

/** In the order of a round: those that are compared are adjacent. @type {readonly Measure[]} */
const MEASUREMENTS = [
  inMemory,
  inRedis(OWN),
  inRedis(REFERENCE),
  counters,
  onTwoPolicies(OWN, [256, 1]),
  onTwoPolicies(REFERENCE, [256]),
  onOneKey(OWN),
  onOneKey(REFERENCE),
  onDeniedKeys(OWN),
  onDeniedKeys(BLOCKING),
  besideHotKey,
  cold(OWN),
  cold(REFERENCE),
  handOff("ioredis"),
  handOff("redis"),
];

/** @type {readonly (readonly [what: string, aim: import("./aims.mjs").Aim, value: string, over?: string])[]} */
const ROWS = [
  [
    "2 policies × one policy, calls/s at 256",
    AIMS.twoPoliciesOfOne,
    `${OWN} 2 policies 256`,
    `${OWN} 256`,
  ],
  [
    `2 policies × ${REFERENCE}'s union, calls/s at 256`,
    AIMS.twoPoliciesOfUnion,
    `${OWN} 2 policies 256`,
    `${REFERENCE} 2 policies 256`,
  ],
  [
    "lone call on two policies, server µs in commands",
    AIMS.twoPoliciesLoneUs,
    `${OWN} 2 policies 1 server`,
  ],
  [`1 in flight, calls/s × ${REFERENCE}`, AIMS.loneOfReference, `${OWN} 1`, `${REFERENCE} 1`],
  ["1 in flight, p50 × an empty EVALSHA", AIMS.loneOfEmpty, `${OWN} 1 p50`, `${OWN} 1 floor`],
  [
    `cold, 1 in flight: calls until half of full speed × ${REFERENCE}'s`,
    AIMS.cold,
    `${OWN} cold`,
    `${REFERENCE} cold`,
  ],
  [
    `memory, consumeSync × ${REFERENCE} awaited`,
    AIMS.memorySync,
    "sluice consumeSync in memory",
    `${REFERENCE} in memory`,
  ],
  [
    `memory, consume × ${REFERENCE} awaited`,
    AIMS.memoryAwaited,
    "sluice consume in memory",
    `${REFERENCE} in memory`,
  ],
  [`64 in flight, p99 × ${REFERENCE}`, AIMS.p99At64, `${OWN} 64 p99`, `${REFERENCE} 64 p99`],
  [`256 distinct × ${REFERENCE}`, AIMS.distinctOfReference, `${OWN} 256`, `${REFERENCE} 256`],
  [`256 distinct × ${COUNTER}`, AIMS.distinctOfCounter, `${OWN} 256`, `${COUNTER} 256`],
  [`one hot key × ${REFERENCE}`, AIMS.hot, `${OWN} hot`, `${REFERENCE} hot`],
  [`denied keys × ${BLOCKING}`, AIMS.floodOfBlocking, `${OWN} denied`, `${BLOCKING} denied`],
  [
    "256, a mixed hot key beside others × without it",
    AIMS.mixed,
    `${BESIDE.refunded} mixed`,
    `${OWN} mixed`,
  ],
  ["hand-off, 20 for 5 × PING, ioredis", AIMS.handOffIoredis, "ioredis hand-off", "ioredis ping"],
  ["hand-off, 20 for 5 × PING, redis", AIMS.handOffRedis, "redis hand-off", "redis ping"],
];

/**
 * Rounds until the time is over. What fails is left out, and said.
 * @param {string} machine
 * @param {(line: string) => void} say
 * @returns {Promise<QuickResult>}
 */
export async function measureQuick(machine, say) {
  /** @type {Values[]} */
  const rounds = [];
  const { server } = await withServer(async (redis) => {
    for (let round = 0; round < MOST_ROUNDS && performance.now() < LAST_START_MS; round++) {
      say(`round ${round + 1}`);
      /** @type {Values} */
      const values = {};
      rounds.push(values);
      for (const measure of MEASUREMENTS) {
        if (performance.now() >= LAST_START_MS) break;
        try {
          Object.assign(values, await measure(redis, round + 1));
        } catch (error) {
          say(`left out: ${String(error)}`);
        }
      }
    }
  });
  return { quick: true, machine, server, rounds };
}

/** @param {QuickResult} result */
export function showQuick({ machine, server, rounds }) {
  const cells = ROWS.map(([what, aim, value, over]) => {
    const found = rounds
      .map(
        (values) =>
          (values[value] ?? Number.NaN) / (over === undefined ? 1 : (values[over] ?? Number.NaN)),
      )
      .filter((ratio) => !Number.isNaN(ratio));
    if (found.length === 0) return [what, inWords(aim), "not measured", "0"];
    const figure = spread(found);
    const mark = holds(aim, figure.median) ? "" : " ✗";
    return [what, inWords(aim), `${factorSpread(figure)}${mark}`, String(found.length)];
  });
  return [
    `${machine}, ${server}. Medians [and ranges] of rounds, through ${CLIENT} where nothing else is said; every reply checked.`,
    `Too short to judge by: ${whole(KEYS)} keys, ${MS} ms each, and ${whole(LONE_WARM_CALLS)} calls of warm-up at 1 in flight for 60,000.`,
    "",
    table(["measure", "goal", "this run", "rounds"], cells),
  ].join("\n");
}

/**
 * What the gate and its field writer cost without a server: `npm run build && node bench/gate.mjs`. Nanoseconds of CPU a
 * call, which others on the machine change least: median and least of rounds that take turns.
 */
import {
  fixedWindow,
  MemoryStore,
  RateLimiter,
  tokenBucket,
} from "../packages/sluice/dist/index.js";
import { decisionFields } from "../packages/sluice/dist/headers/index.js";
import { createGate } from "../packages/sluice/dist/http/index.js";
import { spread } from "./statistics.mjs";

const ROUNDS = 15;
const CALLS = 100_000;
const KEYS = 1000;

const store = new MemoryStore();
const perUser = new RateLimiter({
  policy: tokenBucket({ name: "user", limit: 1e9, period: "1s" }),
  store,
});
const perAddress = new RateLimiter({
  policy: fixedWindow({ name: "address", limit: 1e9, window: "1d" }),
  store,
});
const usedUp = new RateLimiter({
  policy: tokenBucket({ name: "none", limit: 1, period: "1d" }),
  store,
});
/** @type {readonly string[]} */
const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`);
for (const key of keys) usedUp.consumeSync(key);

const policies = await perUser.policies("k");
const others = await perAddress.policies("k");
const allowed = [{ decision: perUser.consumeSync("k"), policies }];
const two = [...allowed, { decision: perAddress.consumeSync("k"), policies: others }];
const denied = [{ decision: usedUp.consumeSync("user:0"), policies: await usedUp.policies("k") }];

/** A new request for each call, as a server has it. */
class Call {
  method = "GET";
  address = "192.0.2.7";
  /** @param {number} i */
  constructor(i) {
    this.key = keyOf(i);
  }
  header() {
    return undefined;
  }
}

/** @param {number} i */
const keyOf = (i) => keys[i % KEYS] ?? "";

/** @param {import("../packages/sluice/dist/http/index.js").ChargeFunction<Call>} charge */
function gateOf(charge) {
  const gate = createGate({ charge });
  /** @param {number} i */
  return (i) => {
    const call = new Call(i);
    return gate.enter(call, call);
  };
}

/** @type {Record<string, (i: number) => unknown>} */

const LOOPS = {
  "consumeSync alone": (i) => perUser.consumeSync(keyOf(i)),
  "fields of one decision": () => decisionFields(allowed),
  "fields of two decisions": () => decisionFields(two),
  "fields of a denial": () => decisionFields(denied),
  "gate, nothing to charge": gateOf(() => undefined),
  "gate, one charge": gateOf(({ key }) => ({ limiter: perUser, key })),
  "gate, one charge, denied": gateOf(({ key }) => ({ limiter: usedUp, key })),
  "gate, one charge that settles": gateOf(({ key }) => ({
    limiter: perUser,
    key,
    settle: () => 1,
  })),
  "gate, the address": gateOf((_, call) => ({ limiter: perAddress, key: call.address })),
  "gate, two charges": gateOf(({ key }, { address }) => [
    { limiter: perUser, key },
    { limiter: perAddress, key: address },
  ]),
};

/** @param {(i: number) => unknown} call */
async function nsPerCall(call) {
  const began = process.cpuUsage();
  for (let i = 0; i < CALLS; i++) {
    const answer = call(i);
    if (answer instanceof Promise) await answer;
  }
  const { user, system } = process.cpuUsage(began);
  return ((user + system) * 1e3) / CALLS;
}

const loops = Object.entries(LOOPS).map(([name, call]) => ({ name, call, ns: [0].slice(1) }));
for (let round = 0; round < ROUNDS; round++) {
  for (const { call, ns } of loops) ns.push(await nsPerCall(call));
}
for (const { name, ns: all } of loops) {
  const { median, min } = spread(all);
  const [usual, least] = [median, min].map((ns) => String(Math.round(ns)).padStart(6));
  console.log(`${name.padEnd(32)} ${usual} ns ${least} ns at least`);
}
await store.close();

/**
 * What a PolicySet adds to a decision: `npm run build && node bench/rules.mjs`. 50 rules and 1,000 overrides, of which a request
 * meets one rule; beside it a limiter with that rule's policy alone, on the same kind of store. Microseconds of CPU a call:
 * medians of rounds that take turns.
 */
import { MemoryStore, RateLimiter, tokenBucket } from "../packages/sluice/dist/index.js";
import { PolicySet } from "../packages/sluice/dist/policies/index.js";
import { spread } from "./statistics.mjs";

const ROUNDS = Number(process.argv[2] ?? 15);
const CALLS = Number(process.argv[3] ?? 50_000);
const KEYS = 1000;
const RULES = 50;
const OVERRIDES = 1000;

const policy = /** @type {const} */ ({ algorithm: "token-bucket", limit: 1e9, period: "1s" });

/** @param {number} i @param {object} [more] */
const rule = (i, more) => ({
  name: `r${i}`,
  match: { path: `/v1/r${i}/*` },
  key: ["user"],
  policy,
  ...more,
});

/** @param {(i: number) => object} [more] */
const setOf = (more) =>
  new PolicySet({
    source: {
      rules: Array.from({ length: RULES }, (_, i) => rule(i, more?.(i))),
      overrides: Array.from({ length: OVERRIDES }, (_, i) => ({
        rule: `r${i % RULES}`,
        key: `user=o${i}`,
        policy: { limit: 2e8 },
      })),
    },
  });

const one = setOf();
const two = setOf((i) => (i === 1 ? { match: { path: "/v1/r0/*" } } : {}));
const trial = setOf(() => ({ candidate: { policy } }));
const limiter = new RateLimiter({
  policy: tokenBucket({ name: "r0", limit: 1e9, period: "1s" }),
  store: new MemoryStore(),
});

const requests = Array.from({ length: KEYS }, (_, i) => ({
  entries: { method: "GET", path: "/v1/r0/items", user: `u${i}` },
}));
const overridden = Array.from({ length: KEYS }, (_, i) => ({
  entries: { method: "GET", path: "/v1/r0/items", user: `o${(i * RULES) % OVERRIDES}` },
}));
const keys = Array.from({ length: KEYS }, (_, i) => `user=u${i}`);

/** @type {Readonly<Record<string, (i: number) => Promise<unknown>>>} */
const contenders = {
  "a limiter": (i) => limiter.consume(keys[i % KEYS] ?? ""),
  "a set, one rule met": (i) => one.consume(requests[i % KEYS] ?? { entries: {} }),
  "a set, one rule met with an override": (i) =>
    one.consume(overridden[i % KEYS] ?? { entries: {} }),
  "a set, no rule met": () => one.consume({ entries: { path: "/" } }),
  "a set, one rule met with a candidate": (i) =>
    trial.consume(requests[i % KEYS] ?? { entries: {} }),
  "a set, two rules met": (i) => two.consume(requests[i % KEYS] ?? { entries: {} }),
};

/** @type {Map<string, number[]>} */
const times = new Map(Object.keys(contenders).map((name) => [name, []]));
for (let round = -2; round < ROUNDS; round++) {
  for (const [name, consume] of Object.entries(contenders)) {
    const before = process.cpuUsage();
    for (let i = 0; i < CALLS; i++) await consume(i);
    const { user, system } = process.cpuUsage(before);
    if (round >= 0) times.get(name)?.push((user + system) / CALLS);
  }
}
const median = (/** @type {string} */ name) => spread(times.get(name) ?? []).median;
for (const name of Object.keys(contenders)) {
  const more = median(name) - median("a limiter");
  console.log(`${name.padEnd(40)} ${median(name).toFixed(2)} µs   ${more.toFixed(2)} µs more`);
}

/** What a candidate denies beside the limit in force is what sluice simulate says of the same log, to the last attempt. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryStore, parsePolicy, type Policy, RateLimiter } from "sluice";
import { AttemptLog } from "sluice/log";
import { compilePolicies, parsePolicies, type PoliciesDocument } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { ManualClock } from "sluice/testing";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Random } from "../../../sluice/test/support/random.js";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

const START_MS = 1_767_225_600_000;
const seed = Number(process.env["SLUICE_SEED"] ?? 1);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-candidate-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** 100 a minute, and 50. */
const LIMITS: readonly (readonly [algorithm: string, of: (limit: number) => object])[] = [
  ["token-bucket", (limit) => ({ limit, period: "1m" })],
  ["gcra", (limit) => ({ limit, period: "1m", burst: limit / 2 })],
  ["leaky-bucket", (limit) => ({ limit, period: "1m", capacity: limit / 5 })],
  ["fixed-window", (limit) => ({ limit, window: "1m" })],
  ["calendar-window", (limit) => ({ limit, unit: "minute" })],
  ["sliding-window", (limit) => ({ limit, window: "1m" })],
  ["sliding-log", (limit) => ({ limit, window: "1m" })],
];

interface Denials {
  readonly inForce: number;
  readonly candidate: number;
}

/** Asks a limiter about calls of a few users, and counts what the limit in force and the candidate deny. */
async function consumed(
  limiter: RateLimiter,
  calls: number,
  rest: (random: Random) => void,
): Promise<Denials> {
  const random = new Random(seed);
  let [inForce, candidate] = [0, 0];
  for (let call = 0; call < calls; call++) {
    rest(random);
    const key = `user=user-${Math.floor(random.next() ** 2 * 6)}`;
    const cost = random.pick([1, 1, 1, 2, 5]);
    const { allowed, shadow = [] } = await limiter.consume(key, { cost });
    inForce += Number(!allowed);
    candidate += Number(shadow.some((verdict) => !verdict.allowed));
  }
  return { inForce, candidate };
}

/** What `sluice simulate` says of a log under a document, by rule. */
async function simulated(log: string, document: object): Promise<Readonly<Record<string, number>>> {
  const file = join(directory, "simulated.json");
  writeFileSync(file, JSON.stringify(document));
  const process = fakeProcess();
  const code = await run(["simulate", log, "--policies", file, "--json"], process.io);
  expect({ code, stderr: process.stderr() }).toEqual({ code: 0, stderr: "" });
  const { rules } = JSON.parse(process.stdout()) as {
    rules: readonly { rule: string; deniedAfter: number }[];
  };
  return Object.fromEntries(rules.map(({ rule, deniedAfter }) => [rule, deniedAfter]));
}

function documents(algorithm: string, of: (limit: number) => object): readonly PoliciesDocument[] {
  const policy = (limit: number): object => ({ algorithm, ...of(limit) });
  const rule = { name: "api", key: ["user"] };
  return [
    { rules: [{ ...rule, policy: policy(100), candidate: { policy: policy(50) } }] },
    { rules: [{ ...rule, policy: policy(50) }] },
  ].map((content) => parsePolicies(content).document);
}

/** The rule's limit, and its candidate on trial. */
function policiesOf(document: PoliciesDocument): readonly Policy[] {
  const [met] = compilePolicies(document).match({ entries: { user: "ann" } }, 0);
  if (met?.candidate === undefined) throw new Error("the document has no candidate");
  return [met.policy, parsePolicy({ ...met.candidate, enforce: false })];
}

test.each(LIMITS)("of %s in memory", async (algorithm, of) => {
  const [both, half] = documents(algorithm, of) as [PoliciesDocument, PoliciesDocument];
  const file = join(directory, `${algorithm}.jsonl`);
  const clock = new ManualClock(START_MS);
  const limiter = new RateLimiter({ policy: policiesOf(both), store: new MemoryStore({ clock }) });
  const log = new AttemptLog({ file });
  log.add(limiter);
  const denied = await consumed(limiter, 3000, (random) => {
    clock.advance(random.pick([0, 0.007, 11, 60, 60, 333]));
  });
  await limiter.close();
  await log.close();
  expect(denied.inForce).toBeGreaterThan(100);
  expect(denied.candidate).toBeGreaterThan(denied.inForce);
  expect(await simulated(file, both)).toEqual({
    api: denied.inForce,
    "api.candidate": denied.candidate,
  });
  expect(await simulated(file, half)).toEqual({ api: denied.candidate });
});

test("on a real Redis, by its own clock", async () => {
  // Not by the microsecond: the two are asked in one round trip, and not at one time.
  const [both, half] = documents("sliding-log", (limit) => ({ limit, window: "1h" })) as [
    PoliciesDocument,
    PoliciesDocument,
  ];
  const file = join(directory, "redis.jsonl");
  const store = await RedisStore.connect(inject("redisUrl"));
  const namespace = `candidate-${seed}-${process.pid}`;
  const policy = policiesOf(both);
  const limiter = new RateLimiter({ policy, store, namespace, timeout: "30s" });
  const log = new AttemptLog({ file });
  log.add(limiter);
  const denied = await consumed(limiter, 1500, () => {});
  await limiter.close();
  await log.close();
  await store.close();
  expect(denied.candidate).toBeGreaterThan(denied.inForce);
  expect(await simulated(file, both)).toEqual({
    api: denied.inForce,
    "api.candidate": denied.candidate,
  });
  expect(await simulated(file, half)).toEqual({ api: denied.candidate });
});

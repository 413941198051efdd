import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type AttemptMade,
  attemptLine,
  attemptLog,
  textSource,
} from "../../test/audit/attempt-logs.js";
import { START_US } from "../../test/support/records.js";
import { runs } from "../../test/support/runs.js";
import { VERBS } from "../algorithms/decide.js";
import { ruleOf } from "../algorithms/rule.js";
import { type States, step } from "../algorithms/step.js";
import { everyAlgorithmsTools } from "../algorithms/toolbox.js";
import { headerLine, LogError } from "../audit/index.js";
import { Random } from "../core/random.js";
import { fixedWindow, MemoryStore, type Policy, slidingLog, tokenBucket } from "../index.js";
import { semaphoreHeaderLine } from "../audit/semaphore-record.js";
import type { StoreCall, StoreResult } from "../stores/store.js";
import { suggestLimits } from "./suggest.js";
import { limitsOf, type ReplayableLimits } from "./limits.js";
import { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
import { simulate, type SimulationReport } from "./simulate.js";

const seed = Number(process.env["SLUICE_SEED"] ?? 1);
const hourly = (limit: number, name = "api"): Policy => fixedWindow({ name, limit, window: "1h" });

function logged(attempts: readonly AttemptMade[], policies = [hourly(2)]): Promise<LoggedAttempts> {
  return readLoggedAttempts([attemptLog("s", [{ policies, attempts }])]);
}

async function simulated(
  attempts: readonly AttemptMade[],
  policies: readonly Policy[],
): Promise<SimulationReport> {
  return simulate(await logged(attempts), { limits: limitsOf(policies) });
}

/** What the pure kernels say to attempts in the order of time, each key separately. */
function modelled(policies: readonly Policy[], attempts: readonly AttemptMade[]): boolean[] {
  const rules = policies.map((policy) => ruleOf(policy));
  const states = new Map<string, States>();
  const answers: boolean[] = [];
  const inTime = attempts
    .map((made, i) => ({ made, i }))
    .sort((a, b) => a.made.atUs - b.made.atUs || a.i - b.i);
  for (const { made, i } of inTime) {
    const { key, cost = 1, verb = "consume", maxWaitUs = 0 } = made;
    const before = states.get(key) ?? rules.map(() => undefined);
    const nowUs = START_US + made.atUs;
    const call = { verb: VERBS[verb], cost: cost * 1000, nowUs, blockUs: 0, maxWaitUs };
    const answer = step(rules, before, call);
    states.set(key, answer.states);
    answers[i] = answer.debits.every(({ reason }) => reason === 0);
  }
  return answers;
}

const ASKED = ["consume", "consume", "consume", "consumeUpTo", "reserve"] as const;

/** Attempts of a few keys, out of order, around windows and refills of all lengths. */
function randomAttempts(random: Random, spanMs: number): AttemptMade[] {
  const spanUs = Math.max(1, Math.round(spanMs * 1e3));
  return Array.from({ length: random.int(1, 60) }, () => {
    const verb = random.pick(ASKED);
    return {
      atUs: random.int(0, 4) * spanUs + random.int(0, random.pick([0, 3, spanUs])),
      key: `k${random.int(0, 3)}`,
      cost: random.pick([0, 1, 1, 1, 2, 0.5, 7]),
      verb,
      ...(verb === "reserve" && { maxWaitUs: random.pick([0, spanUs, 10 * spanUs]) }),
      allowed: random.chance(0.5),
    };
  });
}

describe("an exact model", () => {
  test.each(everyAlgorithmsTools.map((tools) => [tools.algorithm.id, tools] as const))(
    "of %s gives the same counts",
    async (_, tools) => {
      for (let run = 0; run < runs(40); run++) {
        const random = new Random(seed * 1000 + run);
        const [before, after] = [
          tools.randomPolicy(random, "api"),
          tools.randomPolicy(random, "api"),
        ];
        const attempts = randomAttempts(random, tools.spanMs(after));
        const log = await logged(attempts, [before as Policy]);
        const limits = limitsOf([after as Policy]);
        const isDenied = modelled([after as Policy], attempts).map((allowed) => !allowed);
        const wasDenied = modelled([before as Policy], attempts).map((allowed) => !allowed);
        const against = limitsOf([before as Policy]);
        const wereDenied = attempts.map(({ allowed }) => allowed === false);
        expect((await simulate(log, { limits })).all).toEqual(
          countsOf(attempts, wereDenied, isDenied),
        );
        const all = countsOf(attempts, wasDenied, isDenied);
        const report = await simulate(log, { limits, against });
        expect(report.all, `run ${run}`).toEqual(all);
        expect(report.rules).toEqual([{ rule: "api", votes: true, ...all }]);
      }
    },
  );

  test("of several policies takes units of all or of none", async () => {
    for (let run = 0; run < runs(40); run++) {
      const random = new Random(seed * 2000 + run);
      const policies = [
        tokenBucket({ name: "burst", limit: random.int(1, 4), period: "1m" }),
        hourly(random.int(2, 9), "hour"),
      ];
      const attempts = randomAttempts(random, 60_000).map(
        ({ atUs, key, cost = 1, allowed = true }): AttemptMade => ({ atUs, key, cost, allowed }),
      );
      const isDenied = modelled(policies, attempts).map((allowed) => !allowed);
      const { all } = await simulated(attempts, policies);
      const wasDenied = attempts.map(({ allowed }) => allowed === false);
      expect(all).toEqual(countsOf(attempts, wasDenied, isDenied));
    }
  });
});

function countsOf(
  attempts: readonly AttemptMade[],
  was: readonly boolean[],
  is: readonly boolean[],
): SimulationReport["all"] {
  const of = (counts: (i: number) => boolean): [number, number] => {
    const found = attempts.filter((_, i) => counts(i));
    return [found.length, new Set(found.map(({ key }) => key)).size];
  };
  const [all, keys] = of(() => true);
  const [deniedBefore, keysDeniedBefore] = of((i) => was[i] === true);
  const [deniedAfter, keysDeniedAfter] = of((i) => is[i] === true);
  const [newlyDenied, keysNewlyDenied] = of((i) => was[i] === false && is[i] === true);
  const [newlyAllowed, keysNewlyAllowed] = of((i) => was[i] === true && is[i] === false);
  const denied = { deniedBefore, deniedAfter, keysDeniedBefore, keysDeniedAfter };
  const changed = { newlyDenied, newlyAllowed, keysNewlyDenied, keysNewlyAllowed };
  return { attempts: all, keys, ...denied, ...changed };
}

describe("what is replayed", () => {
  const at = (key: string, ...times: readonly number[]): AttemptMade[] =>
    times.map((minute) => ({ atUs: minute * 60e6, key }));

  test("logs of several processes, by time and not by file", async () => {
    const policies = [hourly(1)];
    const log = await readLoggedAttempts([
      attemptLog("late", [{ policies, attempts: at("k", 130, 59) }]),
      attemptLog("soon", [{ policies, attempts: at("k", 0, 61) }]),
    ]);
    const { all, fromUs, toUs } = await simulate(log, { limits: limitsOf([hourly(1)]) });
    expect(all).toMatchObject({ attempts: 4, keys: 1, deniedAfter: 1, newlyDenied: 1 });
    expect([fromUs, toUs]).toEqual([START_US, START_US + 130 * 60e6]);
  });

  test("logs of sluice exercise, of which the header says the policies", async () => {
    const policies = [hourly(2, "a"), hourly(3, "b")];
    const lines = [
      headerLine(policies),
      attemptLine({ atUs: 0, key: "k" }),
      attemptLine({ atUs: 1, key: "k", allowed: false }, { policy: "b" }),
      '{"failed":"TIMEOUT","key":"k","cost":1}\n',
    ];
    const log = await readLoggedAttempts([textSource("a.jsonl", lines.join(""))]);
    const report = await simulate(log, { limits: limitsOf(policies) });
    expect(report).toMatchObject({ failedCalls: 1, all: { attempts: 2, newlyAllowed: 1 } });
    expect(report.rules).toMatchObject([
      { rule: "a", deniedBefore: 0 },
      { rule: "b", deniedBefore: 1, newlyAllowed: 1 },
    ]);
  });

  test("each limiter's keys, and each memory's, by themselves, whatever policies they had", async () => {
    const attempts = at("k", 0);
    const log = await readLoggedAttempts([
      attemptLog("s", [
        { limiter: "a", policies: [hourly(5)], attempts },
        { limiter: "a", policies: [hourly(6, "new")], attempts: at("k", 1) },
        { limiter: "b", policies: [hourly(5)], attempts },
        { limiter: "b", store: "one", policies: [hourly(5)], attempts },
        { limiter: "b", store: "two", policies: [hourly(5)], attempts },
      ]),
    ]);
    const limits = limitsOf([hourly(1)]);
    expect((await simulate(log, { limits })).all).toMatchObject({ keys: 4, newlyDenied: 1 });
    const only = await simulate(log, { limits, limiter: "a" });
    expect(only.all).toMatchObject({ attempts: 2, keys: 1, newlyDenied: 1 });
    expect(only.keys).toMatchObject([{ limiter: "a", key: "k", attempts: 2, newlyDenied: 1 }]);
    await expect(simulate(log, { limits, limiter: "c" })).rejects.toThrow(
      's: there is no attempt of limiter "c" to replay',
    );
  });

  test("refunds, penalties and resets too", async () => {
    const attempts: AttemptMade[] = [
      { atUs: 0, key: "k" },
      { atUs: 1, key: "k", verb: "refund", granted: 1 },
      { atUs: 2, key: "k" },
      { atUs: 3, key: "k" },
      { atUs: 4, key: "k", verb: "reset", granted: 0 },
      { atUs: 5, key: "k" },
      { atUs: 6, key: "l", verb: "penalize", granted: 0 },
      { atUs: 7, key: "l" },
    ];
    const { all } = await simulated(attempts, [hourly(1)]);
    // The second one of k after the refund, and that of l.
    expect(all).toMatchObject({ attempts: 5, keys: 2, deniedAfter: 2, keysDeniedAfter: 2 });
  });

  test("not what a block denied, and what no store answered by the process's clock", async () => {
    const report = await simulated(
      [
        { atUs: 0, key: "k", allowed: false, reason: "blocked" },
        { atUs: 1, key: "k", source: "local" },
        { atUs: 2, key: "k" },
      ],
      [hourly(1)],
    );
    expect(report).toMatchObject({
      blocked: 1,
      withoutStore: 1,
      all: { attempts: 2, newlyDenied: 1 },
    });
  });

  test.each([
    ["a semaphore", semaphoreHeaderLine(3), "is a log of a semaphore"],
    ["nothing", headerLine([hourly(1)]), "there is no attempt"],
    [
      "blocked keys alone",
      headerLine([hourly(1)]) +
        attemptLine({ atUs: 0, key: "k", allowed: false, reason: "blocked" }),
      "every attempt was made on a blocked key",
    ],
  ])("but no log of %s", async (_, text, why) => {
    const failure = readLoggedAttempts([textSource("x", text)]).then((log) =>
      simulate(log, { limits: limitsOf([hourly(1)]) }),
    );
    await expect(failure).rejects.toThrow(why);
    await expect(failure).rejects.toBeInstanceOf(LogError);
  });
});

test("no more than one key's states take memory at a time", async () => {
  type Execute = (this: MemoryStore, call: StoreCall) => StoreResult;
  const execute: Execute = Reflect.get(MemoryStore.prototype, "executeSync");
  const sizes: number[] = [];
  const spy = vi.spyOn(MemoryStore.prototype, "executeSync");
  onTestFinished(() => spy.mockRestore());
  spy.mockImplementation(function replay(this: MemoryStore, call) {
    const result = execute.call(this, call);
    sizes.push(this.size);
    return result;
  });
  const attempts = Array.from({ length: 300 }, (_, i) => ({ atUs: i, key: `k${i % 100}` }));
  const log = await logged(attempts);
  const limits = limitsOf([
    slidingLog({ name: "api", limit: 2, window: "1h" }),
    tokenBucket({ name: "burst", limit: 9, period: "1h" }),
  ]);
  const { all } = await simulate(log, { limits, against: limitsOf([hourly(1)]) });
  expect(all).toMatchObject({ attempts: 300, keys: 100, deniedBefore: 200, deniedAfter: 100 });
  expect(Math.max(...sizes)).toBe(2);
});

describe("the report", () => {
  test("counts rules that do not vote beside those that do", async () => {
    const attempts = Array.from({ length: 6 }, (_, i) => ({ atUs: i, key: "k" }));
    const rule = ruleOf(hourly(4));
    const candidate = ruleOf(hourly(2, "api.candidate"));
    const limits: ReplayableLimits = {
      notes: [],
      rulesFor: ({ key }) => [
        { name: "api", rule, id: String(key), votes: true },
        { name: "api.candidate", rule: candidate, id: String(key), votes: false },
      ],
    };
    const { all, rules } = await simulate(await logged(attempts), { limits });
    expect(all).toMatchObject({ deniedAfter: 2 });
    expect(rules).toMatchObject([
      { rule: "api", votes: true, deniedAfter: 2 },
      { rule: "api.candidate", votes: false, deniedAfter: 4 },
    ]);
  });

  test("names the keys that change most, the most newly denied first", async () => {
    const attempts = ["a", "a", "b", "b", "b", "c", "d"].map((key, atUs) => ({
      atUs,
      key,
      allowed: key !== "c",
    }));
    const log = await logged(attempts);
    const { keys } = await simulate(log, { limits: limitsOf([hourly(1)]), top: 2 });
    expect(keys).toEqual([
      {
        limiter: "api",
        key: "b",
        attempts: 3,
        deniedBefore: 0,
        deniedAfter: 2,
        newlyDenied: 2,
        newlyAllowed: 0,
      },
      {
        limiter: "api",
        key: "a",
        attempts: 2,
        deniedBefore: 0,
        deniedAfter: 1,
        newlyDenied: 1,
        newlyAllowed: 0,
      },
    ]);
    const all = await simulate(log, { limits: limitsOf([hourly(1)]) });
    expect(all.keys.map(({ key }) => key)).toEqual(["b", "a", "c"]);
  });

  test.each([
    ["10 ms", 0.99, 0.01, 100],
    ["100 ms", 29, 0.1, 291],
    ["the second", 599, 1, 600],
    ["the minute", 600, 60, 11],
    ["the hour", 24 * 3600, 3600, 25],
    ["the day", 10_000 * 3600, 86_400, 417],
    ["eight days", 80_000 * 86_400, 8 * 86_400, 10_001],
  ])("goes by %s", async (_, seconds, stepSeconds, count) => {
    const attempts = [0, 0, seconds].map((at) => ({ atUs: at * 1e6, key: "k" }));
    const { stepUs, timeline } = await simulated(attempts, [hourly(1)]);
    expect(stepUs).toBe(stepSeconds * 1e6);
    expect(timeline).toHaveLength(count);
    expect(timeline[0]).toEqual({
      fromUs: Math.floor(START_US / stepUs) * stepUs,
      allowed: 1,
      denied: 1,
      newlyDenied: 1,
      newlyAllowed: 0,
    });
    expect(timeline.at(-1)).toMatchObject({ denied: seconds < 3600 ? 1 : 0 });
  });

  test("counts in a step what came out otherwise, and not what was denied before too", async () => {
    const attempts = [true, false, false, true].map((allowed, atUs) => ({
      atUs,
      key: "k",
      allowed,
    }));
    const { timeline } = await simulated(attempts, [hourly(2)]);
    const changed = { newlyDenied: 1, newlyAllowed: 1 };
    expect(timeline).toMatchObject([{ allowed: 2, denied: 2, ...changed }]);
  });

  test("says how far it is", async () => {
    const attempts = Array.from({ length: 4001 }, (_, i) => ({ atUs: i, key: "k" }));
    const seen: number[][] = [];
    await simulate(await logged(attempts), {
      limits: limitsOf([hourly(1)]),
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(seen).toEqual([
      [0, 4001],
      [2000, 4001],
      [4000, 4001],
    ]);
  });
});

test("logs and limits are those that this module made", async () => {
  const log = await logged([{ atUs: 0, key: "k" }]);
  const limits = limitsOf([hourly(1)]);
  const other = { notes: [] };
  await expect(simulate(log, { limits: other })).rejects.toThrow(/^limits: an object is not allow/);
  await expect(simulate(log, { limits, against: other })).rejects.toThrow(/^against: an object/);
  const bare = { ...log, records: undefined };
  await expect(simulate(bare, { limits })).rejects.toThrow(/^log: an object is not allowed/);
  await expect(suggestLimits(bare, { limits, percent: 99 })).rejects.toThrow(/^log: an object/);
  await expect(suggestLimits(log, { limits: other, percent: 99 })).rejects.toThrow(/^limits: an/);
});

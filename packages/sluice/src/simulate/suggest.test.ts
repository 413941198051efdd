import { describe, expect, test } from "vitest";
import { type AttemptMade, attemptLog } from "../../test/audit/attempt-logs.js";
import { START_US } from "../../test/support/records.js";
import { runs } from "../../test/support/runs.js";
import { VERBS } from "../algorithms/decide.js";
import { ruleOf } from "../algorithms/rule.js";
import { type States, step } from "../algorithms/step.js";
import { Random } from "../core/random.js";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
  unlimited,
} from "../index.js";
import { limitsOf } from "./limits.js";
import { readLoggedAttempts } from "./logged-attempts.js";
import { suggestLimits, type Suggestion, withLimit } from "./suggest.js";

const seed = Number(process.env["SLUICE_SEED"] ?? 1);

async function suggested(
  attempts: readonly AttemptMade[],
  policies: readonly Policy[],
  percent: number,
): Promise<readonly Suggestion[]> {
  const log = await readLoggedAttempts([attemptLog("s", [{ policies, attempts }])]);
  return suggestLimits(log, { limits: limitsOf(policies), percent });
}

/** Keys of which the pure kernel denies an attempt. */
function touched(policy: Policy, attempts: readonly AttemptMade[]): number {
  const rules = [ruleOf(policy)];
  const states = new Map<string, States>();
  const denied = new Set<string>();
  for (const { atUs, key, cost = 1 } of [...attempts].sort((a, b) => a.atUs - b.atUs)) {
    const nowUs = START_US + atUs;
    const call = { verb: VERBS.consume, cost: cost * 1000, nowUs, blockUs: 0, maxWaitUs: 0 };
    const answer = step(rules, states.get(key) ?? [undefined], call);
    states.set(key, answer.states);
    if (answer.granted === 0 && cost > 0) denied.add(key);
  }
  return denied.size;
}

const POLICIES: readonly Policy[] = [
  tokenBucket({ limit: 7, period: "1m" }),
  tokenBucket({ limit: 7, period: "1m", burst: 3 }),
  gcra({ limit: 7, period: "1m", burst: 21 }),
  leakyBucket({ limit: 7, period: "1m", capacity: 2.5 }),
  fixedWindow({ limit: 7, window: "1m" }),
  fixedWindow({ limit: 7, window: "1m", align: "first" }),
  calendarWindow({ limit: 7, unit: "hour" }),
  slidingWindow({ limit: 7, window: "1m" }),
  slidingLog({ limit: 7, window: "1m" }),
];

describe("the least limit", () => {
  test.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))(
    "is that of brute force: %s",
    async (_, policy) => {
      for (let run = 0; run < runs(20); run++) {
        const random = new Random(seed * 3000 + run);
        const attempts = Array.from({ length: random.int(1, 150) }, () => ({
          atUs: random.int(0, 300) * 1e6 + random.int(0, 9),
          key: `k${Math.floor(random.next() ** 3 * 20)}`,
          cost: random.pick([1, 1, 2, 0.5, 0]),
        }));
        const keys = new Set(attempts.map(({ key }) => key)).size;
        const percent = random.pick([100, 99.9, 95, 80, 50, 1]);
        const most = ((100 - percent) / 100) * keys;
        let least = 1;
        while (touched(withLimit(policy, least) as Policy, attempts) > most + 1e-9) least += 1;
        const best = withLimit(policy, least) as Policy;
        expect(await suggested(attempts, [policy], percent), `run ${run}`).toEqual([
          {
            rule: policy.name,
            policy: best,
            keys,
            keysTouchedNow: touched(policy, attempts),
            keysTouched: touched(best, attempts),
          },
        ]);
      }
    },
  );

  const burst = (key: string, calls: number): AttemptMade[] =>
    Array.from({ length: calls }, (_, atUs) => ({ atUs, key }));

  test("touches at most one key in a thousand for 99.9", async () => {
    const attempts = Array.from({ length: 2000 }, (_, i) =>
      burst(`k${i}`, i < 1996 ? 1 : i - 1990),
    );
    const [found] = await suggested(
      attempts.flat(),
      [fixedWindow({ limit: 1, window: "1h" })],
      99.9,
    );
    // Of k1996 to k1999, with 6 to 9 calls, two may be touched.
    expect(found).toMatchObject({
      policy: { limit: 7 },
      keys: 2000,
      keysTouchedNow: 4,
      keysTouched: 2,
    });
  });

  test("keeps a bucket's ratio to it, and everything else", () => {
    expect(withLimit(tokenBucket({ limit: 100, period: "1m", burst: 50 }), 30)).toEqual(
      tokenBucket({ limit: 30, period: "1m", burst: 15 }),
    );
    expect(withLimit(tokenBucket({ limit: 0, period: "1m" }), 30)).toEqual(
      tokenBucket({ limit: 30, period: "1m" }),
    );
    expect(withLimit(slidingLog({ limit: 5, window: "1m" }), 10_001)).toBeUndefined();
    expect(withLimit(fixedWindow({ limit: 5, window: "1m" }), 1e9 + 1)).toBeUndefined();
  });

  test("is none where the algorithm's largest touches too many", async () => {
    const [found] = await suggested(
      [{ atUs: 0, key: "k", cost: 20_000 }],
      [slidingLog({ limit: 5, window: "1m" })],
      100,
    );
    expect(found).toEqual({
      rule: "sliding-log",
      policy: undefined,
      keys: 1,
      keysTouchedNow: 1,
      keysTouched: 1,
    });
  });

  test("is found near the algorithm's largest too", async () => {
    const policy = slidingLog({ limit: 5, window: "1m" });
    const [found] = await suggested([{ atUs: 0, key: "k", cost: 9999 }], [policy], 100);
    expect(found).toMatchObject({ policy: { limit: 9999 }, keysTouched: 0 });
  });

  test("is asked for of each rule with a limit, without blocked attempts", async () => {
    const attempts = [
      ...burst("k", 3),
      { atUs: 9, key: "b", allowed: false, reason: "blocked" as const },
    ];
    const policies = [
      fixedWindow({ name: "a", limit: 1, window: "1h" }),
      unlimited({ name: "none" }),
      fixedWindow({ name: "b", limit: 9, window: "1h" }),
    ];
    const found = await suggested(attempts, policies, 100);
    expect(
      found.map(({ rule, policy, keys }) => [rule, (policy as { limit: number }).limit, keys]),
    ).toEqual([
      ["a", 3, 1],
      ["b", 3, 1],
    ]);
  });
});

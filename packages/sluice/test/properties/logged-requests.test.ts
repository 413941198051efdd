/** What a set of rules would have decided under another document is what a simulation says of its log. */
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { MemoryStore } from "../../src/index.js";
import { RecentAttempts } from "../../src/log/index.js";
import {
  type PoliciesDocument,
  type PolicyOverride,
  type PolicyRule,
  PolicySet,
  ruleKey,
  type RulesDecision,
  type RulesRequestOfMany,
} from "../../src/policies/index.js";
import { limitsOfDocument, readLoggedAttempts, simulate } from "../../src/simulate/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const VALUES = {
  user: ["ann", "ben", "c,d", "e*"],
  path: ["/v1/items", "/v1/users", "/v2/items", "/"],
  tokens: ["0", "2", "7"],
};
const START_US = Date.parse("2026-11-27T00:00:00Z") * 1e3;

/** Whether texts may need more of a log than ids. */
type Kind = "exact" | "any";

function randomRule(random: Random, name: string, kind: Kind): PolicyRule {
  const paths = ["/v1/items", "/v2/items", "*"];
  if (kind === "any") paths.push("/v1/*", "*items", "/*/items");
  const texts = (): string[] => Array.from({ length: random.int(1, 2) }, () => random.pick(paths));
  const path = random.pick([texts(), { is: texts(), not: texts() }, { not: texts() }]);
  const limit = random.int(0, 6);
  const cost = random.pick([1, 2, { from: "tokens", default: 2 }]);
  return {
    name,
    policy: random.pick([
      { algorithm: "token-bucket", limit, period: "1s", burst: random.int(1, 6) } as const,
      { algorithm: "sliding-log", limit, window: "1s" } as const,
      { algorithm: "fixed-window", limit, window: "1s" } as const,
    ]),
    ...(random.chance(0.6) && { match: { path } }),
    key: random.pick([["user"], ["path"], ["user", "path"], []]),
    mode: random.pick(["enforce", "enforce", "enforce", "shadow", "off"] as const),
    ...(random.chance(0.2) && { exact: true }),
    ...(random.chance(0.2) && { onMissing: "deny" as const }),
    ...(random.chance(0.4) && {
      candidate: { policy: { algorithm: "gcra", limit: 2, period: "1s" } as const },
    }),
    ...(kind === "any" && random.chance(0.3) && { rollout: { percent: random.int(0, 100) } }),
    ...((random.chance(0.5) && kind === "any") || typeof cost === "number" ? { cost } : {}),
  };
}

function randomOverride(
  random: Random,
  { name, key = [] }: PolicyRule,
  kind: Kind,
): PolicyOverride {
  const { user, path } = VALUES;
  const exact = ruleKey(key, { user: random.pick(user), path: random.pick(path) }) as string;
  const isPrefix = kind === "any" && random.chance(0.4);
  return {
    rule: name,
    key: isPrefix
      ? `${exact.slice(0, random.int(1, exact.length - 1))}*`.replace(/%.?\*$/, "*")
      : exact,
    ...random.pick([
      { mode: "deny" as const },
      { mode: "exempt" as const },
      { policy: { limit: 3 } },
    ]),
    ...(random.chance(0.3) && {
      until: new Date(START_US / 1e3 + random.int(0, 5000)).toISOString(),
    }),
  };
}

function randomDocument(random: Random, kind: Kind): PoliciesDocument {
  const rules = ["one", "two", "three"].map((name) => randomRule(random, name, kind));
  const overrides = new Map<string, PolicyOverride>();
  for (let i = 0; i < 4; i++) {
    const override = randomOverride(random, random.pick(rules), kind);
    overrides.set(`${override.rule} ${override.key}`, override);
  }
  const plans = { pro: { one: { limit: 5 }, two: { limit: 1 } } };
  return { rules, overrides: [...overrides.values()], plans };
}

/** One call: alone, or several requests all or nothing. */
interface Call {
  readonly atUs: number;
  readonly requests: readonly RulesRequestOfMany[];
  readonly isRefunded: boolean;
}

function randomCalls(random: Random): readonly Call[] {
  let atUs = START_US;
  return Array.from({ length: 60 }, () => {
    if (random.chance(0.7)) atUs += random.int(1, 200_000);
    const requests = Array.from({ length: random.chance(0.1) ? 2 : 1 }, () => {
      const entries: Record<string, string> = {};
      for (const [name, values] of Object.entries(VALUES)) {
        if (random.chance(0.85)) entries[name] = random.pick(values);
      }
      return {
        entries,
        ...(random.chance(0.2) && { cost: random.int(0, 3) }),
        ...(random.chance(0.3) && { plan: random.pick(["pro", "free"]) }),
        ...(random.chance(0.1) && { slot: random.pick(["s", "t"]) }),
      };
    });
    return { atUs, requests, isRefunded: random.chance(0.1) };
  });
}

/** What a set answers to the calls: whether each passed, and which rules would not have let it. */
interface Played {
  readonly allowed: readonly boolean[];
  readonly denied: Readonly<Record<string, number>>;
}

async function play(
  source: PoliciesDocument,
  calls: readonly Call[],
  { recent, canRefund }: { recent?: RecentAttempts; canRefund: boolean },
): Promise<Played> {
  const clock = new ManualClock(START_US);
  const store = new MemoryStore({ clock });
  const rules = new PolicySet({ source, store, denyCache: false });
  recent?.add(rules);
  const allowed: boolean[] = [];
  const denied: Record<string, number> = {};
  for (const { atUs, requests, isRefunded } of calls) {
    clock.set(atUs);
    const [only] = requests as readonly [RulesRequestOfMany];
    const isAlone = requests.length === 1;
    const together = isAlone ? undefined : await rules.consumeMany(requests, { atomic: true });
    const decisions = together?.decisions ?? [await rules.consume(only)];
    allowed.push(decisions.every((each) => each.allowed));
    for (const name of decisions.flatMap(deniedBy)) denied[name] = (denied[name] ?? 0) + 1;
    if (canRefund && isRefunded && isAlone) await rules.refund(decisions[0] as RulesDecision);
  }
  await rules.close();
  await store.close();
  return { allowed, denied };
}

function deniedBy({ rules }: RulesDecision): readonly string[] {
  return rules.flatMap(({ rule, decision }) => {
    const own = decision.reason === "ok" ? [] : [rule];
    const beside = (decision.shadow ?? []).filter(({ reason }) => reason !== "ok");
    return [...own, ...beside.map(({ policy }) => policy)];
  });
}

function countOf(flags: readonly boolean[]): number {
  return flags.filter(Boolean).length;
}

describe.each([
  ["ids alone, of documents that compare whole texts", "exact", undefined],
  ["readable entries, of any document", "any", true],
] as const)("a log of requests with %s", (_, kind, clear) => {
  test(`tells what another document would have decided (seed ${seed})`, async () => {
    let changed = 0;
    for (let run = 0; run < runs(25, 4); run++) {
      const random = new Random(seed + run);
      const [first, second] = [randomDocument(random, kind), randomDocument(random, kind)];
      const calls = randomCalls(random);
      const recent = new RecentAttempts({ clear });
      const before = await play(first, calls, { recent, canRefund: false });
      const after = await play(second, calls, { canRefund: false });
      const log = await readLoggedAttempts([recent.source()]);
      recent.close();
      const limits = limitsOfDocument(second, log);
      const against = limitsOfDocument(first, log);
      const what = `run ${run} of seed ${seed}`;
      expect(limits.notes, what).toEqual([]);
      for (const compared of [undefined, against]) {
        const { all, rules } = await simulate(log, { limits, against: compared });
        expect(all, what).toMatchObject({
          attempts: calls.length,
          deniedBefore: countOf(before.allowed.map((each) => !each)),
          newlyDenied: countOf(before.allowed.map((was, i) => was && !after.allowed[i])),
          newlyAllowed: countOf(before.allowed.map((was, i) => !was && after.allowed[i] === true)),
        });
        changed += all.newlyDenied + all.newlyAllowed;
        for (const { rule, deniedAfter } of rules) {
          expect(deniedAfter, `${rule}, ${what}`).toBe(after.denied[rule] ?? 0);
        }
      }
    }
    expect(changed).toBeGreaterThan(0);
  });

  test(`tells what its own document decided, refunds among them (seed ${seed})`, async () => {
    for (let run = 0; run < runs(25, 4); run++) {
      const random = new Random(seed + run);
      const document = randomDocument(random, kind);
      const recent = new RecentAttempts({ clear });
      const played = await play(document, randomCalls(random), { recent, canRefund: true });
      const log = await readLoggedAttempts([recent.source()]);
      recent.close();
      const { all, rules } = await simulate(log, { limits: limitsOfDocument(document, log) });
      const what = `run ${run} of seed ${seed}`;
      expect(all, what).toMatchObject({ newlyDenied: 0, newlyAllowed: 0 });
      for (const { rule, deniedAfter } of rules) {
        expect(deniedAfter, `${rule}, ${what}`).toBe(played.denied[rule] ?? 0);
      }
    }
  });
});

/** Which rules a request meets, and with which limits. */
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { runs } from "../../test/support/runs.js";
import { tokenBucket } from "../index.js";
import { CompiledRule } from "./compiled-rule.js";
import { compilePolicies, type CompiledPolicies, parsePolicies } from "./index.js";

const BUCKET = { algorithm: "token-bucket", limit: 100, period: "1m" };
const compiled = (document: object): CompiledPolicies =>
  compilePolicies(parsePolicies(document).document);

afterEach(() => {
  vi.restoreAllMocks();
});

test("the rules that match are listed in the document's order, however they are found", () => {
  const conditions = fc.option(
    fc.oneof(
      fc.constantFrom("a", "b", "*", "a*"),
      fc.constant(["a", "b"]),
      fc.constant({ not: "a" }),
      fc.constant({ is: ["a", "b"], not: "b" }),
    ),
    { nil: undefined },
  );
  const entry = fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined });
  const rules = fc.array(fc.record({ x: conditions, y: conditions }), { maxLength: 8 });
  const is = (condition: unknown, value: string | undefined): boolean => {
    if (condition === undefined) return true;
    if (value === undefined) return false;
    if (typeof condition === "string") return ["*", value, `${value}*`].includes(condition);
    if (Array.isArray(condition)) return condition.includes(value);
    const { is: list, not } = condition as { is?: readonly string[]; not: string };
    return value !== not && (list === undefined || list.includes(value));
  };
  fc.assert(
    fc.property(rules, entry, entry, (matches, x, y) => {
      const policies = compiled({
        rules: matches.map((match, i) => ({ name: `r${i}`, match, policy: BUCKET })),
      });
      const entries = Object.fromEntries(
        Object.entries({ x, y }).filter(([, value]) => value !== undefined),
      ) as Record<string, string>;
      const expected = matches.flatMap((match, i) =>
        is(match.x, x) && is(match.y, y) ? [`r${i}`] : [],
      );
      expect(policies.match({ entries }, 0).map(({ rule }) => rule)).toEqual(expected);
      const explained = policies.explain({ entries }, 0);
      expect(explained.filter(({ match }) => match !== undefined).map(({ rule }) => rule)).toEqual(
        expected,
      );
      expect(explained.filter(({ unmet }) => unmet.length === 0).map(({ rule }) => rule)).toEqual(
        expected,
      );
    }),
    { numRuns: runs(500) },
  );
});

test("only own entries count, whatever they are called", () => {
  const policies = compiled({
    rules: [
      { name: "a", match: { constructor: "*" }, policy: BUCKET },
      { name: "b", key: ["toString"], policy: BUCKET },
      JSON.parse('{"name":"c","match":{"__proto__":"x"},"policy":{"algorithm":"unlimited"}}'),
    ],
  });
  expect(policies.match({ entries: {} }, 0)).toEqual([]);
  const entries = JSON.parse('{"__proto__":"x","constructor":"y","toString":"z"}') as Record<
    string,
    string
  >;
  expect(policies.match({ entries }, 0).map(({ rule, identity }) => [rule, identity])).toEqual([
    ["a", "all"],
    ["b", "toString=z"],
    ["c", "all"],
  ]);
});

test("an exact rule refuses further entries", () => {
  const policies = compiled({
    rules: [{ name: "a", exact: true, match: { domain: "d" }, key: ["user"], policy: BUCKET }],
  });
  const more = { domain: "d", user: "u", path: "/" };
  expect(policies.match({ entries: { domain: "d", user: "u" } }, 0)).toHaveLength(1);
  expect(policies.match({ entries: more }, 0)).toEqual([]);
  expect(policies.explain({ entries: more }, 0)[0]?.unmet).toEqual([
    { entry: "path", allowed: [], refused: undefined, isAbsent: false },
  ]);
});

test("a rule without its key does not apply, or denies", () => {
  const [skip, deny] = ["skip", "deny"].map((onMissing) =>
    compiled({ rules: [{ name: "a", key: ["user"], onMissing, policy: BUCKET }] }),
  );
  expect(skip?.match({ entries: {} }, 0)).toEqual([]);
  expect(deny?.match({ entries: {} }, 0)).toMatchObject([{ verdict: "deny", identity: undefined }]);
  expect(deny?.match({ entries: { user: "u" } }, 0)).toMatchObject([{ verdict: "decide" }]);
});

test("the cost is the rule's, an entry's or the request's", () => {
  const costs = (cost: unknown, entries = {}, own?: number): number | undefined =>
    compiled({ rules: [{ name: "a", policy: BUCKET, cost }] }).match({ entries, cost: own }, 0)[0]
      ?.cost;
  expect([costs(undefined), costs(undefined, {}, 7), costs(3, {}, 7)]).toEqual([1, 7, 3]);
  const from = { from: "tokens", default: 9 };
  expect(costs(from, { tokens: 12 })).toBe(12);
  expect(costs(from, { tokens: "0.0001" })).toBe(0.001);
  expect(costs(from, { tokens: "9".repeat(16) })).toBe(1e9);
  // All that is a number counts, so that a long one is not the way to a small cost.
  expect(costs(from, { tokens: "9".repeat(5000) })).toBe(1e9);
  expect(costs(from, { tokens: `${"0".repeat(20)}5` })).toBe(5);
  expect([0.1 + 0.2, 1e21, 1e-7, 0].map((tokens) => costs(from, { tokens }))).toEqual([
    0.3, 1e9, 0.001, 0,
  ]);
  for (const tokens of ["-1", "NaN", "", "1e3", "0x10", " 1", Number.NaN, -5]) {
    expect([tokens, costs(from, { tokens })]).toEqual([tokens, 9]);
  }
  expect(costs(from)).toBe(9);
  expect(costs({ from: "tokens" })).toBe(1);
});

test("the weakest mode counts: the document's, the rule's, the process's, the rollout's", () => {
  const modes = ["enforce", "shadow", "off"] as const;
  for (const over of modes) {
    for (const own of modes) {
      for (const switched of modes) {
        const policies = compiled({
          mode: over,
          rules: [{ name: "a", mode: own, policy: BUCKET }],
        });
        const weakest =
          modes[Math.max(...[over, own, switched].map((mode) => modes.indexOf(mode)))];
        const expected = weakest === "off" ? [] : [weakest];
        expect(policies.match({ entries: {} }, 0, switched).map(({ mode }) => mode)).toEqual(
          expected,
        );
        expect(policies.explain({ entries: {} }, 0, switched)[0]?.mode).toBe(weakest);
      }
    }
  }
});

test("a key is enforced if its place is below the percentage", () => {
  const policies = compiled({
    rules: [{ name: "a", key: ["user"], rollout: { percent: 40 }, policy: BUCKET }],
  });
  for (let user = 0; user < 300; user += 1) {
    const [explained] = policies.explain({ entries: { user } }, 0);
    const isEnforced = explained?.match?.mode === "enforce";
    expect([user, isEnforced]).toEqual([user, (explained?.rolloutPlace ?? 100) < 40]);
  }
});

test("raising the percentage only adds keys", () => {
  const enforced = (percent: number): readonly number[] => {
    const policies = compiled({
      rules: [{ name: "a", key: ["user"], rollout: { percent }, policy: BUCKET }],
    });
    return Array.from({ length: 500 }, (_, i) => i).filter(
      (i) => policies.match({ entries: { user: i } }, 0)[0]?.mode === "enforce",
    );
  };
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      (a, b) => {
        const [fewer, more] = [enforced(Math.min(a, b)), enforced(Math.max(a, b))];
        expect(fewer.filter((key) => !more.includes(key))).toEqual([]);
      },
    ),
    { numRuns: runs(50) },
  );
  expect([enforced(0).length, enforced(100).length]).toEqual([0, 500]);
});

test("which keys a percentage reaches depends on the rule, and not on how keys begin", () => {
  const reached = (name: string): readonly boolean[] => {
    const policies = compiled({
      rules: [{ name, key: ["user"], rollout: { percent: 50 }, policy: BUCKET }],
    });
    return Array.from(
      { length: 1000 },
      (_, user) => policies.match({ entries: { user: 1000 + user } }, 0)[0]?.mode === "enforce",
    );
  };
  const [one, other] = [reached("a"), reached("b")];
  const share = one.filter(Boolean).length;
  expect(share).toBeGreaterThan(400);
  expect(share).toBeLessThan(600);
  const same = one.filter((isReached, i) => isReached === other[i]).length;
  expect(same).toBeGreaterThan(400);
  expect(same).toBeLessThan(600);
  // Ten keys that differ in their last digit: hardly ever all of them, or none.
  const tens = Array.from({ length: 100 }, (_, i) => one.slice(10 * i, 10 * i + 10));
  expect(tens.filter((ten) => new Set(ten).size === 1).length).toBeLessThan(10);
});

test("0 percent enforce nothing, a request without its key included", () => {
  const policies = compiled({
    rules: [
      { name: "a", key: ["user"], onMissing: "deny", rollout: { percent: 0 }, policy: BUCKET },
    ],
  });
  expect(policies.match({ entries: {} }, 0)[0]?.mode).toBe("shadow");
});

const LAYERED = {
  plans: { pro: { api: { limit: 6000 } } },
  rules: [
    { name: "api", key: ["user"], policy: BUCKET, candidate: { policy: { ...BUCKET, limit: 50 } } },
  ],
  overrides: [
    { rule: "api", key: "user=acme", policy: { burst: 7 }, until: "1970-01-01T00:00:10Z" },
    { rule: "api", key: "user=a*", policy: { algorithm: "fixed-window", limit: 1, window: "1s" } },
    { rule: "api", key: "user=*", mode: "exempt", until: "1970-01-01T00:00:20Z" },
    { rule: "api", key: "user=evil", mode: "deny" },
  ],
};

test("plan and override are put over the rule, and defaults are taken afterwards", () => {
  const policies = compiled(LAYERED);
  const [met] = policies.match({ entries: { user: "acme" }, plan: "pro" }, 0);
  expect(met).toMatchObject({
    policy: tokenBucket({ name: "api", limit: 6000, period: "1m", burst: 7 }),
    candidate: tokenBucket({ name: "api.candidate", limit: 6000, period: "1m", burst: 7 }),
    override: { index: 0, kind: "policy" },
  });
  const late = policies.match({ entries: { user: "zoe" }, plan: "pro" }, 20e6);
  expect(late[0]?.policy).toEqual(
    tokenBucket({ name: "api", limit: 6000, period: "1m", burst: 6000 }),
  );
  const unknown = policies.match({ entries: { user: "zoe" }, plan: "constructor" }, 20e6);
  expect(unknown[0]).toMatchObject({ policy: { limit: 100 }, candidate: { limit: 50, burst: 50 } });
});

test("a plan says of a rule what is its own, whatever the rule is called", () => {
  const rules = ["constructor", "toString", "__proto__"].map((name) => ({ name, policy: BUCKET }));
  const policies = compiled({
    rules,
    plans: JSON.parse('{"a":{},"b":{"__proto__":{"limit":7}}}') as object,
  });
  const limits = (plan: string): unknown =>
    policies.match({ entries: {}, plan }, 0).map(({ policy }) => "limit" in policy && policy.limit);
  expect([limits("a"), limits("b"), limits("__proto__")]).toEqual([
    [100, 100, 100],
    [100, 100, 7],
    [100, 100, 100],
  ]);
});

test("the longest override in force counts, an exact one first", () => {
  const policies = compiled(LAYERED);
  const at = (user: string, seconds: number): unknown =>
    policies.match({ entries: { user } }, seconds * 1e6)[0]?.override?.index;
  expect([at("acme", 9.999), at("acme", 10), at("abc", 0)]).toEqual([0, 1, 1]);
  expect([at("bob", 0), at("bob", 20), at("evil", 0)]).toEqual([2, undefined, 3]);
  // A key that is just what the prefix says has it too.
  expect(at("a", 0)).toBe(1);
  expect(policies.match({ entries: { user: "evil" } }, 0)[0]?.verdict).toBe("deny");
  expect(policies.match({ entries: { user: "bob" } }, 0)[0]?.verdict).toBe("exempt");
});

test("who lengthens a key until it is a digest leaves no override behind", () => {
  const policies = compiled(LAYERED);
  const [met] = policies.match({ entries: { user: `a${"x".repeat(5000)}` } }, 0);
  expect(met?.override?.index).toBe(1);
  expect(met?.identity?.length).toBeLessThan(100);
});

test("an override with another algorithm is the whole policy", () => {
  const [met] = compiled(LAYERED).match({ entries: { user: "abc" } }, 0);
  expect(met?.policy).toEqual({
    algorithm: "fixed-window",
    name: "api",
    limit: 1,
    window: 1000,
    align: "clock",
  });
  expect(Object.isFrozen(met?.policy)).toBe(true);
});

test("the same rule, plan and override have the same policy object", () => {
  const policies = compiled(LAYERED);
  for (const user of ["acme", "abc", "zoe"]) {
    for (const plan of [undefined, "pro", "unknown"]) {
      const [a, b] = [0, 30e6].map(
        (nowUs) => policies.match({ entries: { user }, plan }, user === "acme" ? 0 : nowUs)[0],
      );
      expect(a?.policy).toBe(b?.policy);
      expect(a?.candidate).toBe(b?.candidate);
    }
  }
  const [plain, unknown] = [undefined, "unknown"].map(
    (plan) => policies.match({ entries: { user: "zoe" }, plan }, 30e6)[0],
  );
  expect(plain?.policy).toBe(unknown?.policy);
});

test("an override is named the same in every version, and its name tells no key", () => {
  const id = (document: object): string | undefined =>
    compiled(document).match({ entries: { user: "evil" } }, 0)[0]?.override?.id;
  expect(id(LAYERED)).toMatch(/^[\w-]{12}$/);
  expect(id({ ...LAYERED, version: 2, overrides: LAYERED.overrides.slice(2) })).toBe(id(LAYERED));
});

/** Steps of a look-up: each is one question to a Map. */
function stepsWith(count: number): number {
  const policies = compiled({
    rules: [{ name: "api", key: ["user"], policy: BUCKET }],
    overrides: Array.from({ length: count }, (_, i) => ({
      rule: "api",
      key: i % 2 === 0 ? `user=u${i + 10_000}` : `user=p${i + 10_000}*`,
      mode: "deny",
    })),
  });
  const get = vi.spyOn(Map.prototype, "get");
  policies.match({ entries: { user: "p99999-nobody" } }, 0);
  policies.match({ entries: { user: `u${count + 9_998}` } }, 0);
  const steps = get.mock.calls.length;
  get.mockRestore();
  return steps;
}

test("looking an override up takes as many steps among 10,000 as among 10", () => {
  expect(stepsWith(10)).toBeGreaterThan(2);
  expect(stepsWith(10_000)).toBe(stepsWith(10));
});

test("the hash stands for the content, whatever its order, and not for the version", () => {
  const rule = { name: "a", policy: BUCKET, match: { x: "1", y: "2" } };
  const plain = compiled({ rules: [rule] });
  const turned = compiled({ rules: [{ match: { y: "2", x: "1" }, policy: BUCKET, name: "a" }] });
  expect(plain.version).toBe(plain.hash);
  expect(turned.hash).toBe(plain.hash);
  const numbered = compiled({ version: 7, rules: [rule] });
  expect([numbered.version, numbered.hash]).toEqual([7, plain.hash]);
  expect(compiled({ rules: [{ ...rule, cost: 2 }] }).hash).not.toBe(plain.hash);
});

test("activeFrom is a time in microseconds", () => {
  expect(compiled({ rules: [] }).activeFromUs).toBe(0);
  expect(compiled({ activeFrom: "1970-01-01T01:00:01+01:00", rules: [] }).activeFromUs).toBe(1e6);
});

describe("rules are found by how an entry begins", () => {
  const gcra = { algorithm: "gcra", limit: 1, period: "1s" } as const;
  const byPath = (paths: readonly (string | readonly string[])[]): CompiledPolicies =>
    compiled({ rules: paths.map((path, i) => ({ name: `r${i}`, match: { path }, policy: gcra })) });
  const namesOf = (paths: readonly (string | readonly string[])[], path: string): string[] =>
    byPath(paths)
      .match({ entries: { path } }, 0)
      .map(({ rule }) => rule);

  test("each once and in the document's order, whatever they begin with", () => {
    const paths = ["/a*", ["/ab", "/a*", "/abc*"], "*c", "/ab", "/abc*", "/*d", "/", "/abcd*e*"];
    expect(namesOf(paths, "/abc")).toEqual(["r0", "r1", "r2", "r4"]);
    expect(namesOf(paths, "/ab")).toEqual(["r0", "r1", "r3"]);
    expect(namesOf(paths, "/abcdef")).toEqual(["r0", "r1", "r4", "r7"]);
    expect(namesOf(paths, "/xd")).toEqual(["r5"]);
    expect(namesOf(paths, "/")).toEqual(["r6"]);
    expect(namesOf(paths, "")).toEqual([]);
  });

  test.each([50, 500])("of %d rules no more than two are looked at", (count) => {
    const paths = Array.from({ length: count }, (_, i) => `/v1/r${i}/*`);
    const policies = byPath(paths);
    const looks = vi.spyOn(CompiledRule.prototype, "isFor");
    expect(policies.match({ entries: { path: "/v1/r7/items" } }, 0)).toHaveLength(1);
    expect(looks.mock.calls.length).toBeLessThanOrEqual(2);
  });

  test.each([1000, 10_000])(
    "of %d overrides no more steps are taken than there are lengths",
    (count) => {
      const overrides = Array.from({ length: count }, (_, i) => ({
        rule: "api",
        key: i % 2 === 0 ? `user=o${i}` : `user=p${i % 10}-${i}*`,
        mode: "deny" as const,
      }));
      const rules = [{ name: "api", key: ["user"], policy: gcra }];
      const policies = compiled({ rules, overrides });
      const gets = vi.spyOn(Map.prototype, "get");
      policies.match({ entries: { user: "p3-13-and-more" } }, 0);
      const steps = gets.mock.calls.length;
      gets.mockRestore();
      expect(steps).toBeLessThan(20);
    },
  );
});

/** What is wrong in a document, what is hardly meant, and that printing loses nothing. */
import fc from "fast-check";
import * as yaml from "yaml";
import { expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { everyAlgorithmsTools } from "../algorithms/toolbox.js";
import { Random } from "../core/random.js";
import { InvalidOptionError } from "../index.js";
import {
  compilePolicies,
  diffPolicies,
  InvalidPoliciesError,
  loadYaml,
  parsePolicies,
  type ParsePoliciesOptions,
  printPolicies,
} from "./index.js";

const GCRA = { algorithm: "gcra", limit: 5, period: "1s" };

function faultsOf(source: unknown, options: ParsePoliciesOptions = {}): readonly string[] {
  try {
    parsePolicies(source, options);
  } catch (error) {
    if (error instanceof InvalidPoliciesError) return error.problems.map(({ message }) => message);
    throw error;
  }
  return [];
}

const warningsOf = (document: object, nowUs?: number): readonly string[] =>
  parsePolicies(document, nowUs === undefined ? {} : { nowUs }).warnings.map(
    ({ message }) => message,
  );

test("all that is wrong is told at once, each with its line", () => {
  const text = `{
  "mode": "enfroce",
  "rules": [
    { "name": "a b", "polcy": {}, "policy": { "algorithm": "gcra", "limit": "5", "period": "1s" } },
    { "name": "api", "match": { "status": 200 },
      "policy": { "algorithm": "fixed-window", "limit": 5, "window": "1 week" } },
    { "policy": 5 }
  ],
  "overrides": [{ "rule": "api", "key": "user=a", "mode": "denny" }]
}`;
  expect(
    faultsOf(text, { file: "p.json" }).map((message) => message.replace(/; expected [^;]*/, "")),
  ).toEqual([
    'p.json:2 mode: "enfroce" is not allowed; did you mean "enforce"?',
    "p.json:4 rules[0].polcy: (hidden) is not allowed; did you mean policy?",
    'p.json:4 rules[0].name: "a b" is not allowed',
    'p.json:4 rules[0].policy.limit: "5" is not allowed; a text, not a number: did you mean 5?',
    'p.json:5 rules[1].match.status: 200 is not allowed; put it in quotes: "200"',
    'p.json:6 rules[1].policy.window: "1 week" is not allowed; write days such as "7d", or for calendar weeks use algorithm "calendar-window"',
    "p.json:7 rules[2].name is missing",
    "p.json:7 rules[2].policy: 5 is not allowed",
    'p.json:9 overrides[0].mode: "denny" is not allowed; did you mean "deny"?',
  ]);
});

test("an error says how many others there are, and a value has no lines", () => {
  const faulty = { rules: [{ name: "a", policy: GCRA }], mode: "on", version: 0 };
  expect(() => parsePolicies(faulty)).toThrow(/^version: 0 is not allowed.* \(and 1 more\)$/);
  try {
    parsePolicies(faulty);
  } catch (error) {
    expect(error).toMatchObject({
      code: "INVALID_POLICIES",
      name: "InvalidPoliciesError",
      problems: [{ path: "version", line: undefined, file: undefined }, { path: "mode" }],
    });
  }
});

test("what parts say of each other is told with the line of the part at fault", () => {
  const text = `rules:
  - { name: api, key: [user], policy: { algorithm: gcra, limit: 5, period: 1s } }
  - { name: api, policy: { algorithm: unlimited } }
plans:
  free:
    api: { refill: interval }
overrides:
  - { rule: api, key: "user=a", mode: deny }
  - { rule: api, key: "user=a", mode: exempt }
  - { rule: api, key: "user=b" }
  - { rule: api, key: "user=50%", mode: deny }
  - rule: api
    key: user=c
    policy:
      limit: 1
      window: 1s
`;
  const faults = faultsOf(text, { file: "p.yaml", yaml }).map((message) =>
    message.replace(/ is not allowed.*/, ""),
  );
  expect(faults).toEqual([
    'p.yaml:3 rules[1].name: "api"',
    "p.yaml:6 plans.free.api.refill: (hidden)",
    "p.yaml:9 overrides[1].key: a key of 6 characters",
    "p.yaml:10 overrides[2]: neither",
    "p.yaml:11 overrides[3].key: a key of 8 characters",
    "p.yaml:16 overrides[4].policy.window: (hidden)",
  ]);
});

test.each([
  [
    "a candidate equal to the policy",
    { candidate: { policy: { ...GCRA, period: 1000 } } },
    "rules[0].candidate: the same as the policy",
  ],
  [
    "a candidate of a rule that is off",
    { mode: "off", candidate: { policy: { ...GCRA, limit: 1 } } },
    "rules[0].candidate: the rule is off",
  ],
  ["0 percent", { rollout: { percent: 0 } }, "rules[0].rollout: 0 percent"],
  [
    "a percentage of a shadow",
    { mode: "shadow", rollout: { percent: 5 } },
    "rules[0].rollout: mode: shadow says more",
  ],
  ["a cost of nothing", { cost: 0 }, "rules[0].cost: a request that costs nothing"],
  [
    "a cost above the capacity",
    { cost: 6 },
    "rules[0].cost: 6 is more than the policy ever has, 1",
  ],
  [
    "onMissing that never is",
    { key: ["user"], match: { user: "*" }, onMissing: "deny" },
    "rules[0].onMissing: match requires",
  ],
  [
    "a text that another covers",
    { match: { m: ["GET", "*"] } },
    "rules[0].match.m[0]: another text",
  ],
  [
    "a text that appears twice",
    { match: { m: ["GET", "GET"] } },
    "rules[0].match.m[1]: another text",
  ],
  [
    "a contradiction",
    { match: { m: { is: ["/a/*", "b"], not: ["/a*", "b"] } } },
    "rules[0].match.m: never matches",
  ],
])("%s is warned of", (_, more, warning) => {
  const found = warningsOf({ rules: [{ name: "a", policy: GCRA, ...more }] });
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(warning);
});

test("a rule that another makes needless is warned of", () => {
  const scope = { match: { path: ["/a", "/b"] }, key: ["user", "org"] };
  const rules = [
    { name: "loose", ...scope, policy: { ...GCRA, limit: 9, burst: 9 } },
    { name: "tight", match: { path: ["/b", "/a"] }, key: ["org", "user"], policy: GCRA },
    { name: "again", ...scope, policy: GCRA },
    { name: "other", ...scope, exact: true, policy: GCRA },
    { name: "longer", ...scope, policy: { ...GCRA, period: "1m" } },
  ];
  expect(warningsOf({ rules })).toEqual([
    "rules[0]: never decides: the rule tight has the same match and key, and admits no more",
    "rules[2]: never decides: the rule tight has the same match and key, and admits no more",
  ]);
  const overrides = [{ rule: "tight", key: "org=a,user=b", mode: "exempt" }];
  expect(warningsOf({ rules, overrides })).toEqual([
    expect.stringContaining("rules[0]: never decides: the rule again"),
  ]);
  const trial = rules.map((rule) => ({ ...rule, mode: "shadow" }));
  expect(warningsOf({ rules: trial })).toEqual([]);
});

test("half a character is in no key, so an override for one is warned of", () => {
  const overrides = ["user=\ud800", "user=a\udc00*"].map((key) => {
    return { rule: "api", key, mode: "deny" };
  });
  const message = "out of reach: keys of the rule api are user=…";
  expect(warningsOf({ rules: [{ name: "api", key: ["user"], policy: GCRA }], overrides })).toEqual([
    `overrides[0].key: ${message}`,
    `overrides[1].key: ${message}`,
  ]);
});

test("an override that says what the rule says has a meaning below a wider one", () => {
  const rules = [{ name: "api", key: ["user"], policy: GCRA }];
  const own = (key: string): object => ({ rule: "api", key, policy: {} });
  const nothing = "policy: changes nothing: the rule's policy says the same";
  const wider = { rule: "api", key: "user=a*", mode: "deny" };
  const overrides = [wider, own("user=acme"), own("user=ac*"), own("user=b")];
  expect(warningsOf({ rules, overrides })).toEqual([`overrides[3].${nothing}`]);
  expect(warningsOf({ rules, overrides: [own("*")] })).toEqual([`overrides[0].${nothing}`]);
});

test.each(["0000-01-01T00:00+01:00", "9999-12-31T23:59-23:00"])(
  "%s is in a year that cannot be written, and refused",
  (activeFrom) => {
    expect(faultsOf({ rules: [], activeFrom })).toEqual([
      `activeFrom: "${activeFrom}" is not allowed; expected a time such as "2026-12-31T00:00:00Z"`,
    ]);
  },
);

test("-0 is 0, as it is when it has been printed", () => {
  const rule = { name: "a", policy: { ...GCRA, limit: -0 }, cost: -0, rollout: { percent: -0 } };
  const text = '{ "rules": [{ "name": "a", "cost": -0, "rollout": { "percent": -0 }, "policy":';
  const json = `${text} { "algorithm": "gcra", "limit": -0, "period": "1s" } }] }`;
  const { document } = parsePolicies({ rules: [rule] });
  for (const each of [json, printPolicies(document)]) {
    expect(parsePolicies(each).document).toEqual(document);
    expect(parsePolicies(each, { format: "yaml", yaml }).document).toEqual(document);
  }
});

test("overrides and plans without effect are warned of", () => {
  const rules = [
    { name: "api", key: ["user", "route"], match: { route: "/v1/*" }, policy: GCRA },
    { name: "off", mode: "off", policy: GCRA },
    { name: "user", key: ["user"], policy: GCRA },
  ];
  const overrides = [
    { rule: "ap", key: "user=a", mode: "deny" },
    { rule: "api", key: "user=a", mode: "deny" },
    { rule: "api", key: "user=a,route=/v2", mode: "deny" },
    { rule: "api", key: "route=a*", mode: "deny" },
    { rule: "api", key: "us*", mode: "deny" },
    { rule: "api", key: "user=a,route=/v1/a", mode: "deny", until: "1970-01-01T00:00:01Z" },
    { rule: "off", key: "all", mode: "deny" },
    { rule: "user", key: "user=b*", policy: { limit: 5 } },
  ];
  expect(warningsOf({ rules, overrides }, 1e6)).toEqual([
    "overrides[0].rule: there is no rule ap",
    "overrides[1].key: out of reach: keys of the rule api are user=…,route=…",
    "overrides[2].key: out of reach: the rule api does not match that route",
    "overrides[3].key: out of reach: keys of the rule api are user=…,route=…",
    "overrides[5].until: over since 1970-01-01T00:00:01Z",
    "overrides[6]: the rule off is off",
    "overrides[7].policy: changes nothing: the rule's policy says the same",
  ]);
  expect(warningsOf({ rules, overrides }, 999_999).join("\n")).not.toContain("over since");
  const plans = { free: { ap: { limit: 1 }, api: { limit: 5 } } };
  expect(warningsOf({ rules, plans })).toEqual([
    "plans.free.ap: there is no rule ap",
    "plans.free.api: changes nothing: the rule's policy says the same",
  ]);
});

test("a policy of a document is checked as one in code is, and printing loses nothing", () => {
  const text = fc.string({ minLength: 1, maxLength: 5 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "/", "*", "é", "\\*"), maxLength: 5 });
  const condition = fc.oneof(
    pattern,
    fc.array(pattern, { minLength: 1, maxLength: 3 }),
    fc.record({ is: pattern, not: pattern }),
  );
  const policy = fc.integer({ min: 1, max: 2 ** 31 }).map((seed) => {
    const random = new Random(seed);
    const { name: _, ...options } = random.pick(everyAlgorithmsTools).randomPolicy(random, "p");
    return options;
  });
  const rule = fc.record(
    {
      name: fc.stringMatching(/^[\w.-]{1,20}$/),
      comment: text,
      match: fc.dictionary(text, condition, { maxKeys: 3 }),
      exact: fc.boolean(),
      key: fc.array(text, { maxLength: 3 }),
      onMissing: fc.constantFrom("skip", "deny"),
      policy,
      cost: fc.oneof(
        fc.nat({ max: 1e9 }),
        fc.record({ from: text, default: fc.nat({ max: 1e9 }) }),
      ),
      mode: fc.constantFrom("enforce", "shadow", "off"),
      rollout: fc.record({ percent: fc.nat({ max: 100 }) }),
      candidate: fc.record({ policy }),
      allowOverride: fc.boolean(),
    },
    { requiredKeys: ["name", "policy"] },
  );
  const override = fc.record(
    {
      rule: fc.constantFrom("api", "x"),
      key: fc.stringMatching(/^[a-z=,]{1,8}$/),
      mode: fc.constantFrom("deny", "exempt"),
      until: fc.constantFrom("2026-12-31T00:00:00+01:00"),
      by: text,
    },
    { requiredKeys: ["rule", "key", "mode"] },
  );
  const document = fc.record(
    {
      version: fc.integer({ min: 1 }),
      activeFrom: fc.constantFrom("2026-12-01T00:00Z", "2026-12-01T00:00:00.250Z"),
      mode: fc.constantFrom("enforce", "shadow", "off"),
      defaults: fc.constantFrom({}, { onStoreFailure: "open" }),
      plans: fc.dictionary(text, fc.constant({ nobody: { limit: 1 } }), { maxKeys: 3 }),
      rules: fc.uniqueArray(rule, { maxLength: 4, selector: ({ name }) => name }),
      overrides: fc.uniqueArray(override, {
        maxLength: 4,
        selector: ({ rule: name, key }) => name + key,
      }),
    },
    { requiredKeys: ["rules"] },
  );
  fc.assert(
    fc.property(document, (value) => {
      fc.pre(value.rules.every(({ name }) => !name.endsWith(".candidate")));
      const { document: parsed } = parsePolicies(value);
      const printed = printPolicies(parsed);
      expect(parsePolicies(printed).document).toEqual(parsed);
      expect(printPolicies(parsePolicies(printed).document)).toBe(printed);
      expect(parsePolicies(printed, { format: "yaml", yaml }).document).toEqual(parsed);
    }),
    { numRuns: runs(150) },
  );
});

test("a document is frozen all through", () => {
  const { document } = parsePolicies({
    rules: [{ name: "a", match: { x: ["1"] }, key: ["u"], policy: GCRA, cost: { from: "c" } }],
    plans: { free: { a: { limit: 1 } } },
  });
  const visit = (value: unknown): boolean =>
    typeof value !== "object" ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every(visit));
  expect(visit(document)).toBe(true);
});

test("YAML needs the package, which loadYaml brings", async () => {
  const text = "rules: []\n";
  expect(() => parsePolicies(text, { file: "p.yml" })).toThrow(
    "yaml: undefined is not allowed; expected the result of await loadYaml()",
  );
  expect(parsePolicies(text, { file: "p.yml", yaml: await loadYaml() }).document).toEqual({
    rules: [],
  });
});

test("options that are none are refused", () => {
  const wrong = { format: "toml" } as unknown as ParsePoliciesOptions;
  expect(() => parsePolicies("{}", wrong)).toThrow(InvalidOptionError);
  expect(() => parsePolicies("{}", { files: "a" } as ParsePoliciesOptions)).toThrow(
    "did you mean file?",
  );
  expect(() => parsePolicies("{}", { file: 5 } as unknown as ParsePoliciesOptions)).toThrow(
    "the name of a file",
  );
  expect(() => parsePolicies("{}", { nowUs: "now" } as unknown as ParsePoliciesOptions)).toThrow(
    'nowUs: "now" is not allowed; expected a finite number',
  );
});

test("what is no document is not compared, made ready or printed, and text is to be parsed first", () => {
  const document = { rules: [] };
  const verbs: readonly [option: string, verb: (value: never) => unknown][] = [
    ["document", compilePolicies],
    ["document", printPolicies],
    ["before", diffPolicies],
    ["after", (value) => diffPolicies(document, value)],
  ];
  for (const [option, verb] of verbs) {
    for (const value of [null, 5, {}, [], { rules: 5 }, Promise.resolve(document)]) {
      expect(() => verb(value as never)).toThrow(
        expect.objectContaining({ name: "InvalidOptionError", option }),
      );
    }
    expect(() => verb('{ "rules": [] }' as never)).toThrow(
      `${option}: a string of 15 characters is not allowed; expected a document, such as parsePolicies(...).document`,
    );
    expect(() => verb(parsePolicies(document) as never)).toThrow("; pass its .document");
  }
});

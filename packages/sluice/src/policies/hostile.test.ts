/** Documents that mean harm: each is refused with the reason, before it costs much. */
import { type HeapProfiler, Session } from "node:inspector";
import * as yaml from "yaml";
import { expect, test } from "vitest";
import {
  compilePolicies,
  InvalidPoliciesError,
  parsePolicies,
  type ParsePoliciesOptions,
} from "./index.js";

function refusalOf(source: unknown, options: ParsePoliciesOptions = {}): string {
  try {
    parsePolicies(source, options);
  } catch (error) {
    if (error instanceof InvalidPoliciesError) return error.message;
    throw error;
  }
  return "accepted";
}

const YAML = { format: "yaml", yaml } as const;
const nested = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
};
const circular: { rules: unknown[] } = { rules: [] };
circular.rules.push(circular);

test.each([
  ["20,000 levels of JSON", `${"[".repeat(20_000)}${"]".repeat(20_000)}`, {}, "32 levels deep"],
  ["20,000 objects of JSON", '{"rules":'.repeat(20_000), {}, "32 levels deep"],
  ["20,000 levels of YAML", "[".repeat(20_000), YAML, "32 levels deep"],
  [
    "20,000 closed levels of YAML",
    `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
    YAML,
    "32 levels deep",
  ],
  ["20,000 levels of dashes", `${"- ".repeat(20_000)}a`, YAML, "32 levels deep"],
  ["20,000 questions", `${"? ".repeat(20_000)}a`, YAML, "32 levels deep"],
  [
    "1,000 indented levels",
    Array.from({ length: 1000 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"),
    YAML,
    "32 levels deep",
  ],
  ["20,000 levels of a value", nested(20_000), {}, "32 levels deep"],
  ["a value that holds itself", circular, {}, "32 levels deep"],
  [
    "more than a megabyte",
    `{ "rules": [${" ".repeat(1_100_000)}] }`,
    {},
    "longer than 1048576 bytes",
  ],
  [
    "a megabyte of characters of two bytes",
    `"${"ä".repeat(600_000)}"`,
    {},
    "longer than 1048576 bytes",
  ],
  [
    "a sparse list of 4e9",
    { rules: [], overrides: Object.assign([], { length: 4e9 }) },
    {},
    "more than 400000 values",
  ],
  [
    "10^6 overrides",
    { rules: [], overrides: Array.from({ length: 1e6 }, () => 0) },
    {},
    "more than 400000 values",
  ],
  [
    "20,000 overrides",
    { rules: [], overrides: Array.from({ length: 20_000 }, () => ({})) },
    {},
    "overrides: 20000 is not allowed; expected 0 to 10000 overrides",
  ],
  [
    "a megabyte of empty overrides",
    `{"rules":[],"overrides":[${"{},".repeat(340_000)}{}]}`,
    {},
    "340001 is not allowed",
  ],
  ["aliases", "a: &a [x]\nb: [*a, *a]\n", YAML, "an anchor: write the value out"],
  ["an alias without an anchor", "rules: *a\n", YAML, "an alias: write the value out"],
  ["a tag", "rules: !!js/function 'x'\n", YAML, "a tag"],
  ["a merge key", "rules: []\n<<: { mode: off }\n", YAML, "only these fields"],
  ["two documents", "rules: []\n---\nrules: []\n", YAML, "more than one document"],
  ["a name twice", "rules: []\nrules: []\n", YAML, "a name appears twice"],
  ["a list as a name", "[a]: 1\n", YAML, "refused"],
  ["bad YAML", 'rules: "\n', YAML, "refused"],
  ["nothing", "", YAML, "is not allowed; expected an object"],
  ["nothing at all", "", {}, "the text ends where a value is expected"],
])("%s: refused", (_, source, options, reason) => {
  expect(refusalOf(source, options)).toContain(reason);
});

test("names such as __proto__ are plain names, and change nothing else", () => {
  const text = '{"rules":[],"plans":{"__proto__":{"constructor":{"limit":1}}}}';
  const { document } = parsePolicies(text);
  expect(Object.keys(document.plans ?? {})).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(document.plans)).toBe(Object.prototype);
  expect(({} as { limit?: number }).limit).toBe(undefined);
  expect(refusalOf('{"rules":[],"__proto__":{"mode":"off"}}')).toContain("only these fields");
  expect(
    refusalOf(
      '{"rules":[{"name":"a","policy":{"algorithm":"gcra","limit":1,"period":"1s","__proto__":{}}}]}',
    ),
  ).toContain("__proto__");
});

test("10,000 overrides with 64 plans are too much to be checked together", () => {
  const policy = { algorithm: "gcra", limit: 5, period: "1s" };
  const plans = Object.fromEntries(
    Array.from({ length: 64 }, (_, i) => [`p${i}`, { api: { limit: i } }]),
  );
  const overrides = Array.from({ length: 10_000 }, (_, i) => ({
    rule: "api",
    key: `user=${i}`,
    policy: { limit: 1 },
  }));
  const document = { plans, rules: [{ name: "api", key: ["user"], policy }], overrides };
  expect(refusalOf(document)).toContain("at most 100000 combinations");
});

/** Milliseconds of this process's own time, so that others on the machine do not count. */
function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3;
}

const bomb = `a: &a [${"x,".repeat(50)}]\n${Array.from({ length: 60 }, (_, i) => `b${i}: [${"*a,".repeat(50)}]\n`).join("")}`;

test.each<[string, unknown, ParsePoliciesOptions]>([
  ["levels of JSON", "[".repeat(1_000_000), {}],
  ["levels of YAML", "[".repeat(1_000_000), YAML],
  ["dashes of YAML", "- ".repeat(500_000), YAML],
  ["aliases of aliases", bomb, YAML],
  ["empty overrides", `{"rules":[],"overrides":[${"{},".repeat(340_000)}{}]}`, {}],
  ["values", { rules: [], overrides: Array.from({ length: 1e6 }, () => 0) }, {}],
  ["a text that never ends", `"${"x".repeat(1_000_000)}`, {}],
  ["rules without a name", { rules: Array.from({ length: 1000 }, () => ({})) }, {}],
])(
  "a megabyte of %s is refused in at most three times what is valid takes",
  (_, source, options) => {
    const policy = { algorithm: "gcra", limit: 5, period: "1s" };
    const overrides = Array.from({ length: 10_000 }, (__, i) => {
      return { rule: "api", key: `user=u${i}`, policy: { limit: i + 1 } };
    });
    const valid = JSON.stringify({ rules: [{ name: "api", key: ["user"], policy }], overrides });
    let least = Number.POSITIVE_INFINITY;
    // What is interrupted is quicker another time.
    for (let pair = 0; pair < 10 && least > 3; pair += 1) {
      const refused = cpuMsOf(() => expect(refusalOf(source, options)).not.toBe("accepted"));
      least = Math.min(least, refused / cpuMsOf(() => void parsePolicies(valid)));
    }
    expect(least).toBeLessThanOrEqual(3);
  },
);

const LINES: readonly (readonly [string, string])[] = [
  ["comments", "# x\n".repeat(250_000)],
  ["blank lines", "\n".repeat(1_000_000)],
  ["documents", "---\n".repeat(250_000)],
  ["names", Array.from({ length: 80_000 }, (_, i) => `k${i}: 1`).join("\n")],
  ["empty objects", `rules: [${"{},".repeat(300_000)}]`],
  ["a text of many lines", `rules: |\n${" x\n".repeat(300_000)}`],
  ["words", "a\n".repeat(500_000)],
];
const HARMFUL: readonly (readonly [string, unknown, ParsePoliciesOptions])[] = [
  ["levels of YAML", "[".repeat(1_000_000), YAML],
  ["aliases of aliases", bomb, YAML],
  ["empty overrides", `{"rules":[],"overrides":[${"{},".repeat(340_000)}{}]}`, {}],
  ["a text of JSON", `"${"\\u0041".repeat(170_000)}"`, {}],
  ...LINES.map(([what, text]) => [`${what} of YAML`, text, YAML] as const),
];

/** What work takes of the heap in all, whatever is free again by its end: more than it ever holds at once. */
function bytesTakenBy(work: () => void): number {
  const session = new Session();
  session.connect();
  const including = {
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  };
  session.post("HeapProfiler.startSampling", { samplingInterval: 16_384, ...including } as object);
  work();
  let bytes = 0;
  const add = ({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): void => {
    bytes += selfSize;
    children.forEach(add);
  };
  session.post("HeapProfiler.stopSampling", (_, { profile }) => add(profile.head));
  session.disconnect();
  return bytes;
}

test("a megabyte of harm takes no more memory, and in YAML no more time, than five times what is valid takes", () => {
  const policy = { algorithm: "gcra", limit: 5, period: "1s" };
  const overrides = Array.from({ length: 10_000 }, (_, i) => {
    return { rule: "api", key: `user=u${i}`, policy: { limit: i + 1 } };
  });
  const document = { rules: [{ name: "api", key: ["user"], policy }], overrides };
  const valid = { json: JSON.stringify(document), yaml: yaml.stringify(document) };
  const ms = cpuMsOf(() => void parsePolicies(valid.yaml, YAML));
  const most = {
    json: bytesTakenBy(() => void parsePolicies(valid.json)),
    yaml: bytesTakenBy(() => void parsePolicies(valid.yaml, YAML)),
  };
  expect(most.json).toBeGreaterThan(1e6);
  for (const [what, source, options] of HARMFUL) {
    const format = options === YAML ? "yaml" : "json";
    const bytes = bytesTakenBy(() => expect(refusalOf(source, options)).not.toBe("accepted"));
    expect([what, bytes / most[format] <= 5]).toEqual([what, true]);
    const took = cpuMsOf(() => void refusalOf(source, options));
    expect([what, took / ms <= 5]).toEqual([what, true]);
  }
});

test("10,000 overrides take at most twelve times what 1,000 take", () => {
  const policy = { algorithm: "token-bucket", limit: 5, period: "1s" };
  const [few, many] = [1000, 10_000].map((count) => {
    const overrides = Array.from({ length: count }, (_, i) => ({
      rule: "api",
      key: i % 3 === 0 ? `user=p${i}*` : `user=u${i}`,
      policy: { limit: i + 1 },
    }));
    return JSON.stringify({ rules: [{ name: "api", key: ["user"], policy }], overrides });
  }) as [string, string];
  const compile = (text: string): number =>
    cpuMsOf(() => compilePolicies(parsePolicies(text).document));
  let least = Number.POSITIVE_INFINITY;
  // What grows faster is never so quick; what is interrupted is, another time.
  for (let pair = 0; pair < 20 && least > 12; pair += 1) {
    least = Math.min(least, compile(many) / compile(few));
  }
  expect(least).toBeLessThanOrEqual(12);
});

test("no more than 20 problems are told, and not the value of a secret", () => {
  const rules = Array.from({ length: 500 }, () => ({
    nme: "hunter2-hunter2",
    policy: "redis://u:p@h",
  }));
  try {
    parsePolicies({ rules });
    expect.unreachable("refused");
  } catch (error) {
    const { problems } = error as InvalidPoliciesError;
    expect(problems).toHaveLength(20);
    expect(JSON.stringify(problems)).not.toMatch(/hunter2|u:p/);
  }
});

test("no message forges a line or steers a terminal", () => {
  const name = `a\n\u001b[31m\u202e`;
  const text = JSON.stringify({ rules: [{ [name]: 1, name, policy: { algorithm: name } }] });
  const message = refusalOf(text);
  // oxlint-disable-next-line no-control-regex
  expect(message).not.toMatch(/[\n\u001b\u202e]/);
});

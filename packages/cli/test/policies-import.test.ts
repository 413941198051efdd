/** Configurations of other limiters as documents, by the command line. */
import { parsePolicies } from "sluice/policies";
import { expect, test } from "vitest";
import { run } from "../src/run.js";
import { fakeProcess } from "./io.js";

async function imported(stdin: string, ...argv: readonly string[]) {
  const process = fakeProcess({ stdin });
  const code = await run(["policies", "import", ...argv], process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

const ENVOY = `
domain: edge
descriptors:
  - key: user
    rate_limit: { unit: minute, requests_per_unit: 5 }
  - key: path
    value: /login
    detailed_metric: true
    rate_limit: { unit: second, requests_per_unit: 2 }
`;

test("Envoy's is printed as a document, with what does not map by line", async () => {
  const { code, stdout, stderr } = await imported(ENVOY, "-", "--from", "envoy");
  expect(code).toBe(0);
  const { document } = parsePolicies(stdout);
  expect(new Set(document.rules.map(({ policy }) => "limit" in policy && policy.limit))).toEqual(
    new Set([2, 5]),
  );
  expect(stderr).toMatch(/\(standard input\) {2}2 rules/);
  const json = await imported(ENVOY, "-", "--from", "envoy", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ document, notes: expect.any(Array) as unknown });
});

test("Limitador's likewise, and --strict fails where something does not map", async () => {
  const limit =
    "- { namespace: edge, max_value: 10, seconds: 60, conditions: [], variables: [user] }\n";
  const plain = await imported(limit, "-", "--from", "limitador");
  expect(plain.code).toBe(0);
  expect(parsePolicies(plain.stdout).document.rules).toHaveLength(1);
  const cel = limit.replace("conditions: []", 'conditions: ["size(path) > 3"]');
  const noted = await imported(cel, "-", "--from", "limitador", "--strict");
  expect(noted.code).toBe(1);
  expect(noted.stderr).toMatch(/^\(standard input\):1 .*\n/);
});

test.each([
  [["a.yaml"], "--from is missing: envoy or limitador"],
  [["a.yaml", "--from", "kong"], "--from is envoy or limitador, not kong"],
  [["--from", "envoy"], "FILE is missing"],
  [["/no/such.yaml", "--from", "envoy"], "/no/such.yaml: cannot be read"],
  [["-", "--from", "envoy"], "(standard input):1"],
])("import %j is refused", async (argv, why) => {
  const { code, stdout, stderr } = await imported("[", ...argv);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(why);
});

/** A document end to end: read, printed, matched. */
import { readFileSync } from "node:fs";
import * as yaml from "yaml";
import { expect, test } from "vitest";
import {
  compilePolicies,
  InvalidPoliciesError,
  parsePolicies,
  type ParsePoliciesOptions,
  printPolicies,
} from "./index.js";

const YAML = `
version: 42
activeFrom: 2026-12-01T00:00:00Z
mode: enforce
defaults: { onStoreFailure: local }
plans: { free: { api: { limit: 60 } }, pro: { api: { limit: 6000, burst: 12000 } } }
rules:
  - name: api
    match: { domain: edge, method: [GET, POST], path: /v1/* }
    key: [user]
    policy: { algorithm: token-bucket, limit: 100, period: 1m, burst: 200 }
    cost: 1
    mode: enforce
    rollout: { percent: 25 }
    candidate: { policy: { algorithm: token-bucket, limit: 50, period: 1m } }
overrides:
  - { rule: api, key: "user=acme", policy: { limit: 5000 }, until: 2026-12-31T00:00:00Z, comment: "ticket 1234", by: "ana" }
  - { rule: api, key: "user=evil", mode: deny }
`;

test("the document of the design is read, printed and read again", () => {
  const { document, warnings } = parsePolicies(YAML, { format: "yaml", yaml });
  expect(warnings).toEqual([]);
  expect(parsePolicies(printPolicies(document)).document).toEqual(document);
  const policies = compilePolicies(document);
  const entries = { domain: "edge", method: "GET", path: "/v1/a", user: "acme" };
  const [met] = policies.match({ entries }, 0);
  expect(met).toMatchObject({
    rule: "api",
    identity: "user=acme",
    policy: { name: "api", limit: 5000, burst: 200 },
    candidate: { name: "api.candidate", limit: 5000, burst: 5000 },
    override: { index: 0, kind: "policy" },
  });
  expect(policies.match({ entries }, 0)[0]?.policy).toBe(met?.policy);
});

/** The messages of what is wrong. */
function faultsOf(source: unknown, options: ParsePoliciesOptions = {}): readonly string[] {
  try {
    parsePolicies(source, options);
  } catch (error) {
    if (error instanceof InvalidPoliciesError) return error.problems.map(({ message }) => message);
    throw error;
  }
  return [];
}

test("an error names file, line, path, value, what is allowed and the slip", () => {
  const text = YAML.replace("period: 1m, burst: 200", "period: 1 month, bust: 200");
  expect(faultsOf(text.replace(", bust: 200", ""), { file: "p.yaml", yaml })).toEqual([
    'p.yaml:11 rules[0].policy.period: "1 month" is not allowed; expected a duration from 1 ms to 366 days in whole ' +
      'microseconds, as milliseconds or as text such as "250ms", "10s", "1h30m"; write days, or for calendar months use ' +
      'algorithm "calendar-window"',
  ]);
  expect(faultsOf(text, { file: "p.yaml", yaml })[0]).toMatch(
    /^p\.yaml:11 rules\[0\]\.policy\.bust: .* did you mean burst\?$/,
  );
});

test("the example of the documentation is a document without warnings", () => {
  const page = readFileSync(new URL("../../../../docs/policies.md", import.meta.url), "utf8");
  const [, example = ""] = /^```yaml\n(version:.*?)^```$/ms.exec(page) ?? [];
  const { document, warnings } = parsePolicies(example, { format: "yaml", yaml });
  expect(warnings).toEqual([]);
  expect(document.rules.map(({ name }) => name)).toEqual(["api", "tokens"]);
});

/**
 * Configurations of other services become documents that decide as their documentation says. The configurations are written
 * after the examples of github.com/envoyproxy/ratelimit (README.md, examples/ratelimit/config, test/config) and
 * github.com/Kuadrant/limitador (limitador-server/examples, limitador-server/sandbox, doc/how-it-works.md), both under the
 * Apache License 2.0.
 */
import * as yaml from "yaml";
import { expect, test } from "vitest";
import { ENVOY_DEMO } from "../../test/support/envoy-demo.js";
import {
  compilePolicies,
  type ImportedPolicies,
  importEnvoy,
  importLimitador,
  InvalidPoliciesError,
  type RequestEntries,
} from "./index.js";

const envoy = (text: string): ImportedPolicies => importEnvoy(text, { file: "e.yaml", yaml });
const limitador = (text: string): ImportedPolicies =>
  importLimitador(text, { file: "l.yaml", yaml });

/** The limits that a descriptor meets, each with its identity. */
function metBy({ document }: ImportedPolicies, entries: RequestEntries): readonly string[] {
  return compilePolicies(document)
    .match({ entries }, 0)
    .map(({ policy, identity, mode }) => {
      const limit = policy.algorithm === "unlimited" ? "unlimited" : policy.limit;
      const span = "window" in policy ? `/${policy.window / 1000}s` : "";
      return `${limit}${span} ${identity}${mode === "shadow" ? " shadow" : ""}`;
    });
}

test("Envoy 2: nested descriptors, each value counted by itself", () => {
  const imported = envoy(`domain: messaging
descriptors:
  - key: message_type
    value: marketing
    descriptors:
      - { key: to_number, rate_limit: { unit: day, requests_per_unit: 5 } }
  - { key: to_number, rate_limit: { unit: day, requests_per_unit: 100 } }
`);
  const domain = "messaging";
  expect(metBy(imported, { domain, message_type: "marketing", to_number: "1" })).toEqual([
    "5/86400s to_number=1",
  ]);
  expect(metBy(imported, { domain, to_number: "2" })).toEqual(["100/86400s to_number=2"]);
  expect(metBy(imported, { domain, message_type: "alert", to_number: "2" })).toEqual([]);
  expect(metBy(imported, { domain: "other", to_number: "2" })).toEqual([]);
  expect(imported.notes).toEqual([]);
  expect(imported.document.rules.map(({ name }) => name)).toEqual([
    "message_type_marketing.to_number",
    "to_number",
  ]);
});

test("Envoy 3: the most specific descriptor alone", () => {
  const imported = envoy(`domain: edge
descriptors:
  - { key: remote_address, rate_limit: { unit: second, requests_per_unit: 10 } }
  - { key: remote_address, value: 50.0.0.5, rate_limit: { unit: second, requests_per_unit: 0 } }
`);
  expect(metBy(imported, { domain: "edge", remote_address: "50.0.0.1" })).toEqual([
    "10/1s remote_address=50.0.0.1",
  ]);
  expect(metBy(imported, { domain: "edge", remote_address: "50.0.0.5" })).toEqual(["0/1s all"]);
});

test("Envoy 4: only descriptors of the same depth", () => {
  const flat = envoy(`domain: d
descriptors: [{ key: key, value: value, rate_limit: { unit: second, requests_per_unit: 300 } }]
`);
  expect(metBy(flat, { domain: "d", key: "value", subkey: "x" })).toEqual([]);
  expect(metBy(flat, { domain: "d", key: "value" })).toEqual(["300/1s all"]);
  const nested = envoy(`domain: d
descriptors: [{ key: key, value: value, descriptors: [{ key: subkey, rate_limit: { unit: second, requests_per_unit: 300 } }] }]
`);
  expect(metBy(nested, { domain: "d", key: "value", subkey: "x" })).toEqual(["300/1s subkey=x"]);
  expect(metBy(nested, { domain: "d", key: "value" })).toEqual([]);
});

test("Envoy 5 and 6: unlimited, and shadow mode", () => {
  const imported = envoy(`domain: d
descriptors:
  - { key: ldap, rate_limit: { unlimited: true } }
  - key: service
    descriptors:
      - { key: user, value: a, rate_limit: { unit: second, requests_per_unit: 10 }, shadow_mode: true }
      - { key: user, value: b, rate_limit: { unit: second, requests_per_unit: 20 } }
`);
  expect(metBy(imported, { domain: "d", ldap: "x" })).toEqual(["unlimited ldap=x"]);
  expect(metBy(imported, { domain: "d", service: "auth", user: "a" })).toEqual([
    "10/1s service=auth shadow",
  ]);
  expect(metBy(imported, { domain: "d", service: "auth", user: "b" })).toEqual([
    "20/1s service=auth",
  ]);
  expect(metBy(imported, { domain: "d", service: "auth", user: "c" })).toEqual([]);
});

test("Envoy 7 and 8: what has no counterpart is listed by line", () => {
  const { document, notes } = envoy(`domain: d
descriptors:
  - key: key_2
    detailed_metric: true
    rate_limit:
      name: special
      replaces: [{ name: specific_limit }]
      unit: second
      requests_per_unit: 10
    metadata: { a: b }
    sharethreshold: true
  - key: service
    value: one
    quota_mode: true
    rate_limit: { unit: minute, requests_per_unit: 1 }
  - { key: nested, value: a*, descriptors: [{ key: nested, value: b*, rate_limit: { unit: minute, requests_per_unit: 3 } }] }
  - { key: service, value: one }
  - { key: m, rate_limit: { unit: month, requests_per_unit: 7 } }
  - { key: big, rate_limit: { unit: day, requests_per_unit: 4294967295, unit_multiplier: 400 } }
`);
  expect(notes.map(({ message }) => message.replace(/ no effect.*/, " no effect"))).toEqual([
    "e.yaml:11 descriptors[0].sharethreshold: unknown here, so it has no effect".replace(
      / no effect.*/,
      " no effect",
    ),
    "e.yaml:4 descriptors[0].detailed_metric: no effect",
    "e.yaml:10 descriptors[0].metadata: no effect",
    "e.yaml:7 descriptors[0].rate_limit.replaces: no effect",
    "e.yaml:14 descriptors[1].quota_mode: imported in shadow: a rule that denies only together with others is not known here",
    "e.yaml:17 descriptors[3]: left out: service_one appears twice, which Envoy refuses",
    "e.yaml:18 descriptors[4].rate_limit: a month of the calendar, in UTC, where Envoy counts days",
    "e.yaml:19 descriptors[5].rate_limit: 1000000000 in place of 4294967295, which is more than a limit can be",
    "e.yaml:19 descriptors[5].rate_limit: left out: a window has at most 366 days",
  ]);
  expect(document.rules.map(({ name, mode, policy }) => [name, mode, policy.algorithm])).toEqual([
    ["special", undefined, "fixed-window"],
    ["service_one", "shadow", "fixed-window"],
    ["nested_a-.nested_b-", undefined, "fixed-window"],
    ["m", undefined, "calendar-window"],
  ]);
  expect(document.rules[2]).toMatchObject({
    match: { domain: "d", nested: "a*", "nested#2": "b*" },
    key: ["nested", "nested#2"],
  });
});

test("Envoy 9: stars, exact values first, and a budget that values share", () => {
  const imported = envoy(`domain: d
descriptors:
  - { key: file, value: test1, rate_limit: { unit: minute, requests_per_unit: 50 } }
  - { key: file, value: test*, share_threshold: true, rate_limit: { unit: minute, requests_per_unit: 100 } }
  - { key: file, value: t*, rate_limit: { unit: minute, requests_per_unit: 7, unit_multiplier: 5 } }
  - { key: file, rate_limit: { unit: minute, requests_per_unit: 1 } }
  - { key: path, value: /api*v1, rate_limit: { unit: hour, requests_per_unit: 9 } }
`);
  const of = (file: string): readonly string[] => metBy(imported, { domain: "d", file });
  expect([of("test1"), of("test2"), of("tea"), of("x")]).toEqual([
    ["50/60s all"],
    ["100/60s all"],
    ["7/300s file=tea"],
    ["1/60s file=x"],
  ]);
  expect(metBy(imported, { domain: "d", path: "/api/a/v1" })).toEqual(["9/3600s path=/api/a/v1"]);
  expect(metBy(imported, { domain: "d", path: "/api/a/v2" })).toEqual([]);
});

test("Envoy's demo: foo, bar and baz", () => {
  const imported = envoy(ENVOY_DEMO);
  const of = (entries: RequestEntries): readonly string[] =>
    metBy(imported, { domain: "rl", ...entries });
  expect(of({ foo: "f" })).toEqual(["2/60s foo=f"]);
  expect(of({ foo: "f", bar: "b" })).toEqual(["3/60s foo=f,bar=b"]);
  expect(of({ foo: "f", bar: "banned" })).toEqual(["0/60s foo=f"]);
  expect(of({ foo: "f", baz: "shady" })).toEqual(["1/60s foo=f shadow"]);
  expect(of({ foo: "f", baz: "not-so-shady" })).toEqual(["1/1s foo=f,baz=not-so-shady"]);
  expect(of({ qux: "q" })).toEqual(["unlimited qux=q"]);
});

test.each([
  ["descriptors: []", "e.yaml:1 domain: undefined is not allowed; expected the name of a domain"],
  [
    "domain: d\ndescriptors: [{ value: a }]",
    "e.yaml:2 descriptors[0]: an object is not allowed; expected a descriptor with a key",
  ],
  [
    "domain: d\ndescriptors: [{ key: a, rate_limit: { unit: fortnight } }]",
    'e.yaml:2 descriptors[0].rate_limit.unit: "fortnight" is not allowed',
  ],
  ["[", "e.yaml:1 the document is refused"],
])("Envoy: %j is refused", (text, message) => {
  expect(() => envoy(text)).toThrow(InvalidPoliciesError);
  expect(() => envoy(text)).toThrow(message);
});

test("Limitador: conditions, variables and the namespace", () => {
  const imported = limitador(`---
- { namespace: test_namespace, max_value: 1000000, seconds: 60, conditions: , variables: }
- namespace: test_namespace
  max_value: 5
  seconds: 60
  name: posts
  conditions: ["req_method == 'POST'"]
  variables: [user_id]
`);
  const domain = "test_namespace";
  expect(metBy(imported, { domain, req_method: "GET" })).toEqual(["1000000/60s all"]);
  expect(metBy(imported, { domain, req_method: "POST", user_id: "u" })).toEqual([
    "1000000/60s all",
    "5/60s user_id=u",
  ]);
  expect(metBy(imported, { domain, req_method: "POST" })).toEqual(["1000000/60s all"]);
  expect(metBy(imported, { domain: "other" })).toEqual([]);
  expect(imported.notes).toEqual([]);
  expect(imported.document.rules[1]).toMatchObject({ name: "posts", policy: { align: "first" } });
});

test("Limitador: != asks for the entry, and descriptors[0] names one", () => {
  const imported = limitador(`
- namespace: ns
  max_value: 10
  seconds: 60
  conditions:
    - "descriptors[0]['req.method'] == 'GET'"
    - "descriptors[0]['req.path'] != '/json'"
- { namespace: ns, max_value: 3, seconds: 60, conditions: ["descriptors[0].keyA == 'valueA'"], variables: ["descriptors[0]['varA']"] }
`);
  const of = (entries: RequestEntries): readonly string[] =>
    metBy(imported, { domain: "ns", ...entries });
  expect(of({ "req.method": "GET", "req.path": "/a" })).toEqual(["10/60s all"]);
  expect(of({ "req.method": "GET", "req.path": "/json" })).toEqual([]);
  expect(of({ "req.method": "GET" })).toEqual([]);
  expect(of({ keyA: "valueA", varA: "v" })).toEqual(["3/60s varA=v"]);
});

test.each([
  ["KEY_A == 'VALUE_A'", { KEY_A: "VALUE_A", OTHER_KEY: "x" }, { KEY_A: "b" }],
  ['"a*b" == x', { x: "a*b" }, { x: "aab" }],
  ["x == 5", { x: 5 }, { x: 6 }],
  ["m in ['GET', \"POST\"] && p != '/a && b'", { m: "POST", p: "/a" }, { m: "POST", p: "/a && b" }],
  ["descriptors[0].p.startsWith('/v1')", { p: "/v1/x" }, { p: "/v2" }],
  ["p.endsWith('.png')", { p: "/a.png" }, { p: "/a.jpg" }],
  ["p.contains('x')", { p: "axb" }, { p: "ab" }],
  ["p != 'a' && p != 'b'", { p: "c" }, { p: "b" }],
])("Limitador: the condition %j", (condition, fitting, other) => {
  const imported = limitador(
    JSON.stringify([{ namespace: "ns", max_value: 1, seconds: 1, conditions: [condition] }]),
  );
  expect(imported.notes).toEqual([]);
  expect(metBy(imported, { domain: "ns", ...(fitting as RequestEntries) })).toHaveLength(1);
  expect(metBy(imported, { domain: "ns", ...(other as RequestEntries) })).toHaveLength(0);
});

test("Limitador: a limit that cannot be said is left out and listed by line", () => {
  const { document, notes } = limitador(`
- { namespace: ns, max_value: 1, seconds: 1, conditions: ["p.matches('^/v[0-9]')"] }
- { namespace: ns, max_value: 1, seconds: 1, conditions: ["a == '1' || b == '2'"] }
- { namespace: ns, max_value: 1, seconds: 1, conditions: ["a == '1'", "a == '2'"] }
- { namespace: ns, max_value: 1, seconds: 1, variables: ["string(a)"] }
- { namespace: ns, max_value: 1, seconds: 40000000 }
- { namespace: ns, max_value: 1, seconds: 1, policy: leaky }
- { namespace: ns, max_value: 1, seconds: 1, policy: token_bucket, colour: red }
- { namespace: ns, max_value: 1, seconds: 1, conditions: ["descriptors[1].a == 'b'"] }
`);
  expect(notes.map(({ line, path }) => `${line} ${path}`)).toEqual([
    "2 [0].conditions[0]",
    "3 [1].conditions[0]",
    "4 [2].conditions",
    "5 [3].variables",
    "6 [4].seconds",
    "7 [5].policy",
    "8 [6].colour",
    "9 [7].conditions[0]",
  ]);
  expect(document.rules.map(({ name, policy }) => [name, policy.algorithm])).toEqual([
    ["ns", "token-bucket"],
  ]);
});

test("names are made what names may be, each once", () => {
  const { document } = limitador(
    JSON.stringify(
      ["Test Limit", "Test-Limit", "a".repeat(80), "a".repeat(80), "x.candidate", ""].map(
        (name) => ({ namespace: "ns", max_value: 1, seconds: 1, name }),
      ),
    ),
  );
  expect(document.rules.map(({ name }) => name)).toEqual([
    "Test-Limit",
    "Test-Limit-2",
    "a".repeat(54),
    `${"a".repeat(52)}-2`,
    "x-candidate",
    "rule",
  ]);
});

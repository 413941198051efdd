/** Every adapter takes a PolicySet where it takes a limiter: a request is charged the rules that it meets. */
import { describe, expect, onTestFinished, test } from "vitest";
import { pathOf } from "../../src/http/call.js";
import { by, type Charge, createGate, type HttpCall } from "../../src/http/index.js";
import { RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { type PoliciesDocument, PolicySet } from "../../src/policies/index.js";
import { subjects } from "./subjects/index.js";

const bucket = (limit: number) => ({ algorithm: "token-bucket", limit, period: "1h" }) as const;

const DOCUMENT: PoliciesDocument = {
  rules: [
    { name: "slow", match: { path: "/unauthorized*" }, policy: bucket(1) },
    { name: "site", match: { method: "GET" }, policy: bucket(3) },
    { name: "trial", policy: bucket(0), mode: "shadow" },
    { name: "beside", policy: bucket(50), candidate: { policy: bucket(0) } },
  ],
};

function setOf(document: PoliciesDocument): PolicySet {
  const rules = new PolicySet({ source: document });
  onTestFinished(() => rules.close());
  return rules;
}

describe.each(subjects)("$name", (subject) => {
  test("takes a PolicySet as a limiter", async () => {
    const rules = setOf(DOCUMENT);
    // Hono is told the address: it knows none by itself.
    const server = await subject.start({ charge: by.entries(rules), address: () => "192.0.2.1" });
    onTestFinished(() => server.close());
    const statuses: number[] = [];
    for (const path of ["/unauthorized", "/unauthorized", "/", "/"]) {
      const response = await fetch(`${server.url}${path}`);
      statuses.push(response.status);
      await response.arrayBuffer();
    }
    expect(statuses).toEqual([401, 429, 200, 200]);
    const last = await fetch(server.url);
    expect(last.status).toBe(429);
    expect(last.headers.get("RateLimit-Policy")).toBe('"site";q=3;w=3600, "beside";q=50;w=3600');
    expect(last.headers.get("RateLimit")).toMatch(/^"site";r=0;t=\d+, "beside";r=47/);
    expect(await last.json()).toMatchObject({ "violated-policies": ["site"] });
  });
});

test.each([
  ["/v1/items?q=1#x", "/v1/items"],
  ["/%6Cogin/%2f%C3%A9", "/login/%2f%C3%A9"],
  ["http://example.test/a?b", "/a"],
  ["*", undefined],
  [undefined, undefined],
])("the path of the target %s is %s", (target, path) => {
  expect(pathOf(target)).toBe(path);
});

const call = (more: Partial<HttpCall> = {}): HttpCall => {
  return { method: "GET", path: "/", address: "192.0.2.7", header: () => undefined, ...more };
};

async function statusesOf(charge: (raw: object) => unknown, calls: number): Promise<unknown[]> {
  const gate = createGate<object>({ charge: charge as () => Charge });
  const passes = [];
  for (let i = 0; i < calls; i++) passes.push(await gate.enter({}, call()));
  return passes.map(({ denial }) => denial?.status ?? 200);
}

test("rules and other limits of a request are taken together, or none", async () => {
  const rules = setOf({ rules: [{ name: "user", key: ["user"], policy: bucket(5) }] });
  const { store } = rules;
  const other = new RateLimiter({
    store,
    policy: tokenBucket({ name: "other", limit: 2, period: "1h" }),
  });
  const places = new Semaphore({ limit: 1 });
  const charge = (): readonly Charge[] => [
    { limiter: rules, entries: { user: "ann" }, cost: 2 },
    { limiter: other, key: "ann" },
  ];
  expect(await statusesOf(charge, 4)).toEqual([200, 200, 429, 429]);
  expect((await rules.peek({ entries: { user: "ann" } })).remaining).toBe(1);
  // A permit that is not free gives the rules back what they took.
  const permit = await places.acquire("k");
  const behind = (): readonly Charge[] => [
    { limiter: rules, entries: { user: "ann" } },
    { limiter: places, key: "k" },
  ];
  expect(await statusesOf(behind, 1)).toEqual([429]);
  expect((await rules.peek({ entries: { user: "ann" } })).remaining).toBe(1);
  await permit.release();
  await Promise.all([other.close(), places.close()]);
});

test("what a request cost after all is asked for once, and told to the rules that take its cost", async () => {
  const rules = setOf({
    rules: [
      { name: "a", policy: bucket(100) },
      { name: "b", policy: bucket(100), candidate: { policy: bucket(90) } },
      { name: "fixed", policy: bucket(100), cost: 7 },
    ],
  });
  let asked = 0;
  const settle = (): number => {
    asked += 1;
    return 3;
  };
  const gate = createGate({ charge: () => ({ limiter: rules, entries: {}, cost: 10, settle }) });
  const { settle: end } = await gate.enter({}, call());
  await end?.({ status: 200, aborted: false });
  expect(asked).toBe(1);
  const { rules: verdicts } = await rules.peek({ entries: {} });
  expect(verdicts.map(({ decision }) => decision.remaining)).toEqual([97, 97, 93]);
  expect(verdicts[1]?.decision.shadow?.[0]?.remaining).toBe(87);
});

test("a deny override is a denial, whatever else there is", async () => {
  const rules = setOf({
    rules: [
      { name: "user", key: ["user"], policy: bucket(5) },
      { name: "all", policy: bucket(5) },
    ],
    overrides: [{ rule: "user", key: "user=evil", mode: "deny" }],
  });
  const charge = (): Charge => ({ limiter: rules, entries: { user: "evil" } });
  const gate = createGate({ charge });
  const { denial } = await gate.enter({}, call());
  expect(denial).toMatchObject({ status: 429, reason: "blocked", retryAfterMs: Infinity });
  expect((await rules.peek({ entries: {} })).remaining).toBe(5);
});

test("a change of the document is in force for the next request", async () => {
  const rules = setOf({ rules: [{ name: "all", policy: bucket(1) }] });
  const gate = createGate(rules);
  expect((await gate.enter({}, call())).denial).toBeUndefined();
  expect((await gate.enter({}, call())).denial?.status).toBe(429);
  rules.replace({ rules: [{ name: "all", policy: bucket(9) }] });
  expect((await gate.enter({}, call())).denial).toBeUndefined();
});

test.each([
  ["a key", { key: "k", entries: {} }, /^charge\.key: .* it is for a RateLimiter or a Semaphore/],
  ["a wait", { entries: {}, maxWait: "1s" }, /^charge\.maxWait: /],
  ["no entries", {}, /^charge\.entries: .*what the request says of itself/],
])("a charge of rules with %s is refused", async (_, more, message) => {
  const rules = setOf({ rules: [] });
  const gate = createGate({ charge: () => ({ limiter: rules, ...more }) });
  expect(() => gate.enter({}, call())).toThrow(message);
});

test("a limiter has no entries, and rules no name among limiters", () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }) });
  const gate = createGate({ charge: () => ({ limiter, key: "k", entries: {} }) });
  expect(() => gate.enter({}, call())).toThrow(/^charge\.entries: .* it is for a PolicySet/);
  expect(() => by.header(setOf({ rules: [] }) as never, "x")).toThrow(/use by\.entries/);
});

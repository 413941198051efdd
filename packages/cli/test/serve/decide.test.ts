/** What the service decides over HTTP, and how it says so. */
import type { PoliciesDocument } from "sluice/policies";
import { describe, expect, test } from "vitest";
import { startService } from "../support/service.js";

const document: PoliciesDocument = {
  version: 3,
  plans: { pro: { api: { limit: 50 } } },
  rules: [
    { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 2, period: "1h" } },
    {
      name: "login",
      match: { path: "/login" },
      key: ["address"],
      policy: { algorithm: "fixed-window", limit: 1, window: "1h", align: "first" },
    },
    {
      name: "pair",
      match: { path: "/pair" },
      key: ["user", "route"],
      policy: { algorithm: "token-bucket", limit: 1, period: "1h" },
    },
  ],
  overrides: [{ rule: "api", key: "user=evil", mode: "deny" }],
};

describe("consume", () => {
  test("asks all rules that the entries meet, and states their limits", async () => {
    const { ask } = await startService(document);
    const entries = { user: "ann", path: "/login", address: "192.0.2.7" };
    const first = await ask("/v1/consume", { entries });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ allowed: true, version: 3, rule: "login", atomic: true });
    expect(first.body["rules"]).toHaveLength(2);
    expect(first.headers).toMatchObject({
      "content-type": "application/json",
      "ratelimit-policy": '"api";q=2;w=3600, "login";q=1;w=3600',
      ratelimit: '"api";r=1;t=1800, "login";r=0;t=3600',
    });
    const second = await ask("/v1/consume", { entries });
    expect(second.status).toBe(429);
    expect(second.headers).toMatchObject({
      "content-type": "application/problem+json",
      "retry-after": "3600",
    });
    expect(second.body).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      status: 429,
      "violated-policies": ["login"],
      allowed: false,
      reason: "quota",
      rule: "login",
    });
    // All or nothing: the other rule was charged once.
    expect((await ask("/v1/peek", { entries: { user: "ann" } })).body).toMatchObject({
      remaining: 1,
    });
  });

  test("asks one rule by name and key", async () => {
    const { ask } = await startService(document);
    const asked = { rule: "api", key: "ann", cost: 2 };
    expect((await ask("/v1/consume", asked)).body).toMatchObject({ allowed: true, remaining: 0 });
    expect((await ask("/v1/consume", asked)).body).toMatchObject({ allowed: false });
    const pro = await ask("/v1/consume", { ...asked, key: "zoe", plan: "pro" });
    expect(pro.body).toMatchObject({ limit: 50, remaining: 48 });
    const evil = await ask("/v1/consume", { rule: "api", key: "evil" });
    expect([evil.status, evil.body["reason"]]).toEqual([429, "blocked"]);
    const key = { user: "ann", route: "/v1" };
    expect((await ask("/v1/consume", { rule: "pair", key })).body).toMatchObject({ rule: "pair" });
  });

  test("answers a denial by 200 to whoever wants it so", async () => {
    const { ask } = await startService(document);
    const evil = { rule: "api", key: "evil" };
    const reply = await ask("/v1/consume?denied=200", evil);
    expect([reply.status, reply.body["allowed"]]).toEqual([200, false]);
    expect((await ask("/v1/peek", evil)).status).toBe(200);
  });

  test("says null for what has no end", async () => {
    const { ask } = await startService(document);
    const reply = await ask("/v1/consume", { entries: { nobody: "x" } });
    expect(reply.body).toMatchObject({ allowed: true, limit: null, rules: [] });
    expect(reply.headers.ratelimit).toBeUndefined();
  });
});

test("explain says which rules are met, and counts nothing", async () => {
  const { ask } = await startService(document);
  const asked = { entries: { user: "ann" } };
  for (let i = 0; i < 3; i++) await ask("/v1/explain", asked);
  const { status, body } = await ask("/v1/explain", asked);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    version: 3,
    decision: { allowed: true, remaining: 2 },
    rules: [
      { rule: "api", unmet: [] },
      { rule: "login", unmet: [{ entry: "path" }, { entry: "address", isAbsent: true }] },
      { rule: "pair" },
    ],
  });
});

describe("a request that is wrong", () => {
  type Case = readonly [
    name: string,
    body: unknown,
    status: number,
    reason: string,
    detail?: RegExp,
  ];
  const cases: readonly Case[] = [
    ["no JSON", "{", 400, "bad-json"],
    ["empty", "", 400, "bad-json"],
    ["a list", [], 400, "bad-json"],
    ["null", "null", 400, "bad-json"],
    ["no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400, "bad-json"],
    ["deep", "[".repeat(200_000), 400, "bad-json"],
    ["too long", `"${"x".repeat(300_000)}"`, 413, "body-too-large"],
    ["nothing asked", {}, 400, "invalid-request", /say entries, or rule and key/],
    ["an unknown field", { entries: {}, costs: 2 }, 400, "invalid-request", /"costs" is no field/],
    [
      "an entry that is null",
      { entries: { user: null } },
      400,
      "invalid-request",
      /"user" must be/,
    ],
    ["entries of an entry", { entries: { user: { a: 1 } } }, 400, "invalid-request", /"user"/],
    ["entries as a list", { entries: ["a"] }, 400, "invalid-request", /object of texts/],
    ["a key without a rule", { key: "ann", entries: {} }, 400, "invalid-request", /goes with rule/],
    ["an unknown rule", { rule: "apis", key: "a" }, 404, "unknown-rule", /did you mean "api"/],
    ["a rule that is no text", { rule: 7, key: "a" }, 404, "unknown-rule"],
    ["a key that is true", { rule: "api", key: true }, 400, "invalid-request", /key must be/],
    ["one key for two entries", { rule: "pair", key: "a" }, 400, "invalid-request", /"route": …/],
    ["no key", { rule: "api" }, 400, "invalid-request", /the key of rule api: "user"/],
    ["a negative cost", { rule: "api", key: "a", cost: -1 }, 400, "invalid-request", /^cost: -1/],
    ["a cost as text", { rule: "api", key: "a", cost: "1" }, 400, "invalid-request", /^cost/],
    ["a cost that is null", { rule: "api", key: "a", cost: null }, 400, "invalid-request", /cost/],
    ["an endless cost", '{"rule":"api","key":"a","cost":1e999}', 400, "invalid-request", /cost/],
    ["a plan that is no text", { rule: "api", key: "a", plan: 1 }, 400, "invalid-request", /plan/],
    [
      "a key and another entry of that name",
      { rule: "api", key: "ann", entries: { user: "ben" } },
      400,
      "invalid-request",
      /differ in "user"/,
    ],
    [
      "more in the key than the rule has",
      { rule: "api", key: { user: "ann", usr: "ben" } },
      400,
      "invalid-request",
      /"usr" is no entry/,
    ],
    ["an empty slot", { rule: "api", key: "a", slot: "" }, 400, "invalid-request", /slot/],
  ];

  test.each(cases.map((each) => [each[0], each] as const))("%s", async (_, each) => {
    const [, body, status, reason, detail = /^/] = each;
    const { ask } = await startService(document);
    const reply = await ask("/v1/consume", body);
    expect(reply.headers["content-type"]).toBe("application/problem+json");
    expect(reply.body).toMatchObject({ status, reason, type: `urn:sluice:problem:${reason}` });
    expect(reply.status).toBe(status);
    expect(reply.body["detail"] ?? "").toMatch(detail);
  });

  test("another query than denied=200", async () => {
    const { ask } = await startService(document);
    for (const query of ["?denied=429", "?foo=1", "?denied=200&denied=200"]) {
      const reply = await ask(`/v1/consume${query}`, { rule: "api", key: "ann" });
      expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
    }
    expect((await ask("/v1/peek", { rule: "api", key: "ann" })).body).toMatchObject({
      remaining: 2,
    });
  });

  test("names that every object has are entries like others", async () => {
    const { ask } = await startService(document);
    const body = '{"entries":{"__proto__":"x","constructor":"y","user":"ann"},"cost":1}';
    expect((await ask("/v1/consume", body)).body).toMatchObject({ allowed: true, rule: "api" });
    const polluted = '{"rule":"api","key":{"__proto__":"x","user":"ann"}}';
    expect(await ask("/v1/consume", polluted)).toMatchObject({
      status: 400,
      body: { detail: 'key: "__proto__" is no entry of the rule\'s key' },
    });
    expect((await ask("/v1/peek", { rule: "api", key: "ann" })).body).toMatchObject({
      remaining: 1,
    });
  });

  test("goes to a path, and by a method, that there is", async () => {
    const { ask } = await startService(document);
    expect(await ask("/v1/nothing")).toMatchObject({ status: 404, body: { reason: "not-found" } });
    const reply = await ask("/v1/consume");
    expect(reply).toMatchObject({ status: 405, headers: { allow: "POST" } });
    expect((await ask("/v1/consume?x=1", {})).body["reason"]).toBe("invalid-request");
    const headers = { "content-type": "text/plain" };
    expect((await ask("/v1/consume", {}, { headers })).status).toBe(415);
  });
});

describe("names that objects have of themselves", () => {
  test.each([
    '{"__proto__":{"rule":"api"},"key":"ann"}',
    '{"rule":"api","key":"ann","constructor":{"prototype":{"cost":0}}}',
    '{"rule":"api","key":{"__proto__":"ann"}}',
    '{"rule":"__proto__","key":"ann"}',
    '{"rule":"toString","key":"ann"}',
    '{"requests":[{"__proto__":{"rule":"api","key":"ann"}}]}',
  ])("are refused where they are no field, key or rule: %s", async (body) => {
    const { ask } = await startService(document);
    const path = body.includes("requests") ? "/v1/batch" : "/v1/consume";
    const { status } = await ask(path, body);
    expect([400, 404]).toContain(status);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect((await ask("/v1/peek", { rule: "api", key: "ann" })).body).toMatchObject({
      remaining: 2,
    });
  });

  test("are entries and plans like others", async () => {
    const { ask } = await startService({
      rules: [
        { name: "api", key: ["__proto__"], policy: { algorithm: "gcra", limit: 1, period: "1h" } },
      ],
    });
    const asked = '{"entries":{"__proto__":"ann","constructor":"x"},"plan":"__proto__"}';
    const statuses = [await ask("/v1/consume", asked), await ask("/v1/consume", asked)];
    expect(statuses.map(({ status }) => status)).toEqual([200, 429]);
    expect((await ask("/v1/consume", '{"rule":"api","key":"ben"}')).status).toBe(200);
    expect((await ask("/v1/consume", '{"rule":"api","key":"ben"}')).status).toBe(429);
  });
});

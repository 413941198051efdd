/** What proxies ask: may this request pass? */
import type { PoliciesDocument } from "sluice/policies";
import { expect, test } from "vitest";
import { startService } from "../support/service.js";

const document: PoliciesDocument = {
  rules: [
    {
      name: "address",
      match: { method: "GET", path: "/app/*" },
      key: ["address"],
      policy: { algorithm: "token-bucket", limit: 1, period: "1h" },
    },
    { name: "key", key: ["key"], policy: { algorithm: "token-bucket", limit: 2, period: "1h" } },
    {
      name: "host",
      match: { host: "a.example" },
      key: ["host"],
      policy: { algorithm: "token-bucket", limit: 1, period: "1h" },
    },
  ],
};

const get = (headers: Record<string, string>) => ({ method: "GET", headers });

test("asks all rules that the request meets, as the proxy describes it", async () => {
  const { ask } = await startService(document);
  const described = get({
    "x-forwarded-for": "203.0.113.66, 198.51.100.7",
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/app/items?token=secret",
  });
  const allowed = await ask("/v1/authz", undefined, described);
  expect(allowed).toMatchObject({
    status: 200,
    text: "",
    headers: {
      "content-length": "0",
      "cache-control": "no-store",
      "ratelimit-policy": '"address";q=1;w=3600',
    },
  });
  const denied = await ask("/v1/authz", undefined, described);
  expect(denied).toMatchObject({ status: 429, headers: { "retry-after": "3600" } });
  expect(denied.body).toEqual({
    type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
    title: "Quota exceeded",
    status: 429,
    "violated-policies": ["address"],
  });
  // What the client wrote in front does not help it; another client is another one.
  const spoofed = { ...described.headers, "x-forwarded-for": "192.0.2.1, 198.51.100.7" };
  expect((await ask("/v1/authz", undefined, get(spoofed))).status).toBe(429);
  const other = { ...described.headers, "x-forwarded-for": "198.51.100.8" };
  expect((await ask("/v1/authz", undefined, get(other))).status).toBe(200);
  const posted = { ...described.headers, "x-forwarded-method": "POST" };
  expect((await ask("/v1/authz", undefined, get(posted))).headers.ratelimit).toBeUndefined();
});

test("X-Sluice-Key is the entry key, and the key of a rule that is asked", async () => {
  const { ask } = await startService(document);
  const headers = { "x-sluice-key": "198.51.100.7" };
  const statuses: number[] = [];
  for (const path of ["/v1/authz", "/v1/authz?rule=key", "/v1/authz?rule=key&cost=1"]) {
    statuses.push((await ask(path, undefined, get(headers))).status);
  }
  expect(statuses).toEqual([200, 200, 429]);
  const rule = "/v1/authz?rule=address";
  expect((await ask(rule, undefined, get(headers))).status).toBe(200);
  expect((await ask(rule, undefined, get(headers))).status).toBe(429);
  const forwarded = get({ "x-forwarded-for": "198.51.100.7" });
  expect((await ask(rule, undefined, forwarded)).status).toBe(429);
  expect((await ask(rule, undefined, get({}))).body).toMatchObject({ reason: "invalid-request" });
});

test("a status for proxies that pass no 429; the body says what the client is to see", async () => {
  const { ask } = await startService(document);
  const asked = (path: string, method = "GET") =>
    ask(path, undefined, { method, headers: { "x-sluice-key": "a" } });
  const path = "/v1/authz?rule=key&cost=2&deny=403";
  expect((await asked(path)).status).toBe(200);
  const denied = await asked(path);
  expect([denied.status, denied.body["status"]]).toEqual([403, 429]);
  expect(denied.headers).toHaveProperty("retry-after");
  expect(await asked(path, "HEAD")).toMatchObject({ status: 403, text: "" });
  expect((await asked(path, "POST")).status).toBe(403);
  const others = ["deny=429", "deny=503", "cost=2"].map((query) => {
    return asked(`/v1/authz?rule=key&${query}`);
  });
  expect((await Promise.all(others)).map(({ status }) => status)).toEqual([429, 503, 429]);
});

test.each([
  "deny=404",
  "deny=",
  "cost=-1",
  "cost=1e9",
  "cost=",
  "limiter=api",
  "rule=key&rule=key",
  "__proto__=x",
])("refuses the parameter %s", async (query) => {
  const { ask } = await startService(document);
  const reply = await ask(`/v1/authz?${query}`, undefined, get({ "x-sluice-key": "a" }));
  expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
});

test("takes a whole URL for its path, and hosts in any case", async () => {
  const { ask } = await startService(document);
  const asked = (headers: Record<string, string>) => ask("/v1/authz", undefined, get(headers));
  const url = { "x-original-uri": "http://a.example/app/x#y", "x-original-method": "GET" };
  const first = await asked({ ...url, "x-forwarded-for": "198.51.100.7" });
  expect(first.headers["ratelimit-policy"]).toContain('"address"');
  expect((await asked({ "x-forwarded-host": "A.example" })).status).toBe(200);
  expect((await asked({ "x-forwarded-host": "a.EXAMPLE" })).status).toBe(429);
});

test.each(["a.example:443", "A.example:8080", "a.example.", "a.example.:80", "a.example:"])(
  "another spelling of a host does not get past its rule: %s",
  async (host) => {
    const { ask } = await startService(document);
    const asked = (name: string) => ask("/v1/authz", undefined, get({ "x-forwarded-host": name }));
    expect((await asked("a.example")).status).toBe(200);
    expect((await asked(host)).status).toBe(429);
  },
);

test.each([
  ["0", "127.0.0.1"],
  ["1", "192.0.2.3"],
  ["2", "192.0.2.2"],
  ["3", "192.0.2.1"],
])("with %s proxies trusted the client is %s", async (trust, address) => {
  const policy = { algorithm: "token-bucket", limit: 9, period: "1h" } as const;
  const rules = [{ name: "address", key: ["address"], policy }];
  const { ask } = await startService({ rules }, { trust });
  const headers = { "x-forwarded-for": "192.0.2.1, 192.0.2.2, 192.0.2.3" };
  expect((await ask("/v1/authz", undefined, { headers })).status).toBe(200);
  const { body } = await ask("/v1/peek", { rule: "address", key: address, cost: 0 });
  expect(body).toMatchObject({ remaining: 8 });
});

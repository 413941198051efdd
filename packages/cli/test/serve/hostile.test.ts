/** What hostile callers send over HTTP: heads and bodies that others read in another way, and names that mean harm. */
import { connect } from "node:net";
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { PoliciesDocument } from "sluice/policies";
import { describe, expect, test } from "vitest";
import { type Ask, type Running, startService } from "../support/service.js";

const HOUR = { algorithm: "fixed-window", window: "24h" } as const;

const document: PoliciesDocument = {
  rules: [
    { name: "api", key: ["user"], policy: { ...HOUR, limit: 1000 } },
    { name: "admin", match: { path: "/admin/*" }, policy: { ...HOUR, limit: 1e6 } },
    { name: "stars", match: { agent: "*a*a*a*a*a*a*a*b" }, policy: { ...HOUR, limit: 9 } },
  ],
};

const TOKENS = {
  decide: "decide-0123456789abcdef",
  read: "read-0123456789abcdefgh",
  admin: "admin-0123456789abcdefg",
  store: "store-0123456789abcdefg",
};
type Scope = keyof typeof TOKENS;
const SCOPES = Object.keys(TOKENS) as readonly Scope[];
const withTokens = {
  SLUICE_TOKENS: SCOPES.map((scope) => `of-${scope} ${scope} ${TOKENS[scope]}`).join(";"),
};

const ASKED = '{"rule":"api","key":"ann"}';

/** The bytes of a request with this head and body, after which the connection ends. */
function bytesOf(line: string, body: string, ...fields: readonly string[]): string {
  const head = [line, "Host: a", "Connection: close", ...fields];
  return [...head, `Content-Length: ${Buffer.byteLength(body)}`, "", body].join("\r\n");
}

const post = (body: string, ...fields: readonly string[]): string =>
  bytesOf("POST /v1/consume HTTP/1.1", body, ...fields);

/** All that is answered to these bytes, until the service ends the connection. */
async function answerTo({ addresses }: Running, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(addresses[0] as string).port), "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk) => (text += String(chunk)));
  const closed = new Promise((resolve, reject) =>
    socket.once("close", resolve).on("error", reject),
  );
  socket.write(bytes);
  await closed;
  return text;
}

const statusesIn = (text: string): readonly number[] =>
  Array.from(text.matchAll(/HTTP\/1\.1 (\d{3})/g), (match) => Number(match[1]));

async function leftOf(ask: Ask, key: string): Promise<unknown> {
  return (await ask("/v1/peek", { rule: "api", key, cost: 0 })).body["remaining"];
}

describe("the target of a request", () => {
  test.each([
    ["/v1/consume", 200],
    ["http://any.example/v1/consume", 200],
    ["HTTPS://any.example:1/v1/consume?denied=200", 200],
    ["http://any.example", 404],
    ["//v1/consume", 404],
    ["/v1/consume/", 404],
    ["/v1/%63onsume", 404],
    ["/v1/../v1/consume", 404],
    ["/v1/consume%00", 404],
    ["/v1/consume;x", 404],
    ["/V1/consume", 404],
    ["ftp://any.example/v1/consume", 404],
    ["*", 404],
  ])("%s is %d: a path has one spelling", async (target, status) => {
    const running = await startService(document);
    const text = await answerTo(running, bytesOf(`POST ${target} HTTP/1.1`, ASKED));
    expect(statusesIn(text)).toEqual([status]);
    expect(await leftOf(running.ask, "ann")).toBe(status === 200 ? 999 : 1000);
  });

  test.each([
    "/admin/x",
    "/%61dmin/x",
    "/%41%64min/../admin/x",
    "//admin///x",
    "/./admin/x",
    "/a/b/../../admin/x",
    "/a/%2e%2E/admin/x",
    "/../admin/x",
    "/admin%2fx",
    "http://any.example//admin/x",
    "/admin/x?y=/../..",
    "/admin/%zz",
    "/admin/%ff",
    "/admin/.",
  ])("%s of a proxied request meets the rule of /admin/*", async (path) => {
    const { ask } = await startService(document);
    const headers = { "x-forwarded-uri": path };
    const reply = await ask("/v1/authz", undefined, { headers });
    expect(reply.headers["ratelimit-policy"]).toMatch(/^"admin"/);
  });

  test.each(["/static/../x", "/admin/../x", "/admin/..%2fx", "/administrators", "/%2561dmin/x"])(
    "%s does not",
    async (path) => {
      const { ask } = await startService(document);
      const headers = { "x-forwarded-uri": path };
      const reply = await ask("/v1/authz", undefined, { headers });
      expect(reply.headers["ratelimit-policy"]).toBeUndefined();
    },
  );
});

describe("the head of a request", () => {
  test.each([
    ["Content-Encoding: gzip", 415],
    ["Content-Encoding: identity, br", 415],
    ["Content-Encoding: identity", 200],
    ["Content-Type: application/json; charset=utf-16", 200],
    ["Content-Type: text/plain, application/json", 415],
    ["Content-Type: application/x-www-form-urlencoded", 415],
    ["Content-Type: ", 415],
    ["Expect: 200-ok", 417],
    ["Upgrade: h2c", 200],
    ["Trailer: Authorization", 200],
    ["X-Http-Method-Override: GET", 200],
  ])("%s is %d", async (field, status) => {
    const running = await startService(document);
    const text = await answerTo(running, post(ASKED, field));
    expect(statusesIn(text)).toEqual([status]);
    expect(await leftOf(running.ask, "ann")).toBe(status === 200 ? 999 : 1000);
  });

  test("a compressed body is refused with the reason, and not unpacked", async () => {
    const { ask } = await startService(document);
    const bomb = gzipSync(Buffer.alloc(1e6, " "));
    for (const path of ["/v1/consume", "/json", "/v1/store"]) {
      const reply = await ask(path, bomb, { headers: { "content-encoding": "gzip" } });
      expect(reply).toMatchObject({ status: 415, headers: { "accept-encoding": "identity" } });
      expect(reply.body["detail"]).toContain("Content-Encoding");
    }
  });

  test("of fields that stand twice the first one counts, and no second token opens", async () => {
    const running = await startService(document, {}, withTokens);
    const fields = (...tokens: readonly string[]): readonly string[] =>
      tokens.map((token) => `Authorization: Bearer ${token}`);
    const { decide, read } = TOKENS;
    const statuses = [
      statusesIn(await answerTo(running, post(ASKED, ...fields(decide, read)))),
      statusesIn(await answerTo(running, post(ASKED, ...fields(read, decide)))),
      statusesIn(await answerTo(running, post(ASKED, ...fields(`x, Bearer ${decide}`)))),
    ];
    expect(statuses).toEqual([[200], [403], [401]]);
    const types = ["Content-Type: text/plain", "Content-Type: application/json"];
    const without = await startService(document);
    expect(statusesIn(await answerTo(without, post(ASKED, ...types)))).toEqual([415]);
  });

  test.each([
    ["the query", "POST /v1/consume?access_token=TOKEN HTTP/1.1", ""],
    ["a cookie", "POST /v1/consume HTTP/1.1", "Cookie: token=TOKEN"],
    ["the user's name of a URL", "POST http://of-decide:TOKEN@a/v1/consume HTTP/1.1", ""],
    ["another field", "POST /v1/consume HTTP/1.1", "Proxy-Authorization: Bearer TOKEN"],
    ["Basic", "POST /v1/consume HTTP/1.1", "Authorization: Basic TOKEN"],
  ])("a token in %s is none, and the log does not have it", async (_, line, field) => {
    const running = await startService(document, { logLevel: "debug" }, withTokens);
    const put = (text: string): string => text.replace("TOKEN", TOKENS.decide);
    const fields = field === "" ? [] : [put(field)];
    const text = await answerTo(running, bytesOf(put(line), ASKED, ...fields));
    expect(statusesIn(text)).toEqual([401]);
    expect(text + running.lines.join("")).not.toContain(TOKENS.decide);
  });

  test("a trailer is no head", async () => {
    const running = await startService(document, {}, withTokens);
    const head =
      "POST /v1/consume HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked";
    const trailer = `Authorization: Bearer ${TOKENS.decide}`;
    const chunk = `${ASKED.length.toString(16)}\r\n${ASKED}\r\n0\r\n`;
    const text = await answerTo(running, `${head}\r\n\r\n${chunk}${trailer}\r\n\r\n`);
    expect(statusesIn(text)).toEqual([401]);
  });
});

describe("whoever waits for 100 Continue", () => {
  const waiting = "Expect: 100-continue";

  test("gets 100 Continue if the body will be read", async () => {
    const running = await startService(document);
    const text = await answerTo(running, post(ASKED, waiting));
    expect(statusesIn(text)).toEqual([100, 200]);
  });

  test.each([
    ["without a token", 401, "POST /v1/consume HTTP/1.1", []],
    ["at another path", 404, "POST /v1/nothing HTTP/1.1", []],
    ["by another method", 405, "PUT /v1/consume HTTP/1.1", []],
    ["of another type", 415, "POST /v1/consume HTTP/1.1", ["Content-Type: text/plain"]],
  ])("%s is answered at once, and nothing is read", async (_, status, line, fields) => {
    const env = status === 401 ? withTokens : {};
    const running = await startService(document, {}, env);
    const bytes = bytesOf(line, ASKED, waiting, ...fields).replace("Connection: close\r\n", "");
    const head = bytes.slice(0, bytes.indexOf("\r\n\r\n") + 4);
    const text = await answerTo(running, head);
    expect(statusesIn(text)).toEqual([status]);
  });

  test("with more than is read is answered at once", async () => {
    const running = await startService(document, { maxBody: "2048" });
    const head = `POST /v1/consume HTTP/1.1\r\nHost: a\r\n${waiting}\r\nContent-Length: 2049\r\n\r\n`;
    expect(statusesIn(await answerTo(running, head))).toEqual([413]);
  });
});

describe("other ways to speak HTTP", () => {
  test("HTTP/1.0, with a host and without", async () => {
    const running = await startService(document);
    const text = await answerTo(running, bytesOf("POST /v1/consume HTTP/1.0", ASKED));
    expect(statusesIn(text)).toEqual([200]);
    expect(text).toContain("\r\nConnection: close\r\n");
    const bare = await answerTo(running, "GET /healthz HTTP/1.0\r\n\r\n");
    expect(statusesIn(bare)).toEqual([200]);
  });

  test("HEAD has no body, and OPTIONS, TRACE and PUT are none of a path's methods", async () => {
    const running = await startService(document);
    const asked = (method: string, path: string): Promise<string> =>
      answerTo(running, `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const head = await asked("HEAD", "/v1/authz");
    expect(statusesIn(head)).toEqual([200]);
    expect(head).toMatch(/\r\n\r\n$/);
    expect((await asked("HEAD", "/nothing")).split("\r\n\r\n")).toHaveLength(2);
    for (const method of ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "HEAD", "GET"]) {
      const text = await asked(method, "/v1/consume");
      expect(statusesIn(text)).toEqual([405]);
      expect(text).toContain("\r\nAllow: POST\r\n");
      expect(text).not.toMatch(/access-control/i);
    }
    expect(await asked("CONNECT", "a:80")).toBe("");
  });

  test("many requests at once on one connection are each answered, in their order", async () => {
    const running = await startService(document);
    const asked = (path: string, body: string): string =>
      bytesOf(`POST ${path} HTTP/1.1`, body).replace("Connection: close\r\n", "");
    const each = [
      asked("/v1/consume", ASKED),
      asked("/v1/nothing", ASKED),
      asked("/v1/consume", "{"),
      asked("/v1/consume", ASKED),
    ].join("");
    const last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const text = await answerTo(running, each.repeat(50) + last);
    const expected = Array.from({ length: 50 }, () => [200, 404, 400, 200]).flat();
    expect(statusesIn(text)).toEqual([...expected, 200]);
    expect(await leftOf(running.ask, "ann")).toBe(900);
  });
});

test.each(["end", "destroy", "resetAndDestroy"] as const)(
  "whoever goes away in the middle of a body, by %s, is nobody's error",
  async (how) => {
    const running = await startService(document, { logLevel: "debug" });
    const bytes = post(ASKED.slice(0, 9)).replace(/Content-Length: \d+/, "Content-Length: 50");
    const socket = connect(Number(new URL(running.addresses[0] as string).port), "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes, () => socket[how]());
    await closed;
    expect((await running.ask("/healthz")).status).toBe(200);
    expect(await leftOf(running.ask, "ann")).toBe(1000);
    expect(running.lines.join("")).not.toContain("request failed");
  },
);

describe("numbers", () => {
  test.each(["9007199254740993", "-9007199254740992", "1e300", "1e999", "-1e999"])(
    "%s is no key: others would share it",
    async (number) => {
      const { ask } = await startService(document);
      for (const body of [`{"rule":"api","key":${number}}`, `{"entries":{"user":${number}}}`]) {
        const reply = await ask("/v1/consume", body);
        expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
        expect(reply.body["detail"]).toContain("as a text");
      }
    },
  );

  test("that are exact are the texts that they are printed as", async () => {
    const { ask } = await startService(document);
    for (const number of ["9007199254740991", "-7", "0.5", "0"]) {
      await ask("/v1/consume", `{"rule":"api","key":${number}}`);
      expect(await leftOf(ask, number)).toBe(999);
    }
  });

  test.each(["1e999", "-1e999", "1e16", "9007199254740993", "0.0001", "-1", "null", '"1"', "[1]"])(
    "%s is no cost",
    async (cost) => {
      const { ask } = await startService(document);
      const reply = await ask("/v1/consume", `{"rule":"api","key":"ann","cost":${cost}}`);
      expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
      expect(await leftOf(ask, "ann")).toBe(1000);
    },
  );

  test.each(["NaN", "Infinity", "0x10", "01", "+1", "1_000", ".5"])(
    "%s is no JSON",
    async (cost) => {
      const { ask } = await startService(document);
      const reply = await ask("/v1/consume", `{"rule":"api","key":"ann","cost":${cost}}`);
      expect(reply).toMatchObject({ status: 400, body: { reason: "bad-json" } });
    },
  );

  test.each(["1e3", "NaN", "Infinity", "0x1", "-1", "+1", "%31%00", "1.0001", "1_0"])(
    "%s is no cost of a parameter",
    async (cost) => {
      const { ask } = await startService(document);
      const headers = { "x-sluice-key": "ann" };
      const reply = await ask(`/v1/authz?rule=api&cost=${cost}`, undefined, { headers });
      expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
    },
  );
});

describe("bodies", () => {
  test("of a name that stands twice the last value counts, as JSON.parse reads it", async () => {
    const { ask } = await startService(document);
    await ask("/v1/consume", '{"rule":"api","key":"ben","key":"ann","cost":9,"cost":2}');
    expect([await leftOf(ask, "ann"), await leftOf(ask, "ben")]).toEqual([998, 1000]);
  });

  test("half characters are keys of their own", async () => {
    const { ask } = await startService(document);
    await ask("/v1/consume", String.raw`{"rule":"api","key":"\ud800"}`);
    const others = ["\u{fffd}", "?", "%uD800", "\\ud800"];
    for (const key of others) expect(await leftOf(ask, key)).toBe(1000);
    const other = await ask("/v1/peek", String.raw`{"rule":"api","key":"\ud801","cost":0}`);
    expect(other.body["remaining"]).toBe(1000);
    const same = await ask("/v1/peek", String.raw`{"rule":"api","key":"\ud800","cost":0}`);
    expect(same.body["remaining"]).toBe(999);
  });

  test.each([
    "/v1/consume",
    "/v1/batch",
    "/v1/peek",
    "/v1/explain",
    "/v1/settle",
    "/v1/reserve",
    "/v1/mode",
    "/json",
    "/v1/semaphores/acquire",
    "/v1/semaphores/renew",
    "/v1/semaphores/list",
    "/v1/semaphores/reset",
    "/v1/store",
  ])("deep ones at %s are refused like others that are wrong", async (path) => {
    const { ask, lines } = await startService(document);
    const levels = 50_000;
    for (const [open, shut] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const value = `${open.repeat(levels)}1${shut.repeat(levels)}`;
      for (const body of [value.slice(0, 200_000), `{"requests":${value},"key":${value}}`]) {
        const reply = await ask(path, body);
        expect([400, 413]).toContain(reply.status);
      }
    }
    expect(lines.join("")).not.toContain("request failed");
  });

  test("an entry of 200,000 characters against a pattern of stars takes no time", async () => {
    const { ask } = await startService(document);
    const entries = { agent: "a".repeat(200_000), user: "ann" };
    const reply = await ask("/v1/explain", { entries });
    expect(reply.status).toBe(200);
    expect(JSON.stringify(reply.body["rules"])).toContain('"entry":"agent"');
  });

  test("15,000 entries are looked up, and none is a rule's", async () => {
    const { ask } = await startService(document);
    const entries = Object.fromEntries(Array.from({ length: 15_000 }, (_, i) => [`n${i}`, i]));
    expect(await ask("/v1/consume", { entries })).toMatchObject({ status: 200 });
  });
});

describe("an idempotency key", () => {
  test("that comes again with another body gives nothing back, and charges nothing", async () => {
    const { ask } = await startService(document);
    await ask("/v1/consume", { rule: "api", key: "ann", cost: 10 });
    const refund = async (amount: number): Promise<unknown> =>
      (await ask("/v1/refund", { rule: "api", key: "ann", amount, idempotencyKey: "k" })).body[
        "refunded"
      ];
    expect([await refund(1), await refund(5), await refund(1)]).toEqual([1, 0, 0]);
    const settled = { rule: "api", key: "ann", reserved: 9, actual: 1, idempotencyKey: "k" };
    expect((await ask("/v1/settle", settled)).body["refunded"]).toBe(0);
    expect(await leftOf(ask, "ann")).toBe(991);
  });

  test("is one of the key that it gives back to", async () => {
    const { ask } = await startService(document);
    for (const key of ["ann", "ben"]) {
      await ask("/v1/consume", { rule: "api", key, cost: 10 });
      await ask("/v1/refund", { rule: "api", key, amount: 3, idempotencyKey: "k" });
      expect(await leftOf(ask, key)).toBe(993);
    }
  });

  test.each(["a b", "a\u{e9}", "", "x".repeat(65), "a\r\nX: y", "../a", "{a}"])(
    "%j is none",
    async (idempotencyKey) => {
      const { ask } = await startService(document);
      const body = { rule: "api", key: "ann", amount: 1, idempotencyKey };
      expect(await ask("/v1/refund", body)).toMatchObject({ status: 400 });
    },
  );
});

describe("names", () => {
  test.each(["a\r\nSet-Cookie: x=1", 'a"b', "a\u{0}", "\u{1b}[31m", "é", "a".repeat(65), ""])(
    "a rule that is called %j keeps the service from starting, and forges no line",
    async (name) => {
      const rules = [{ name, key: ["user"], policy: { ...HOUR, limit: 9 } }];
      const told = await startService({ rules }).then(
        () => "started",
        (error: unknown) => (error as Error).message,
      );
      expect(told).toMatch(/name/);
      // oxlint-disable-next-line no-control-regex -- these are what is looked for
      expect(told).not.toMatch(/[\r\u{0}\u{1b}]|\nSet-Cookie/u);
    },
  );

  test("that callers bring are on no line of the log but its own, and in no head", async () => {
    const running = await startService(document, { logLevel: "debug" });
    const forged = '\r\nSet-Cookie: x=1\r\n\r\n{"level":"error","message":"forged"}\n';
    const bodies = [
      { rule: forged, key: "ann" },
      { rule: "api", key: { [forged]: 1 } },
      { rule: "api", key: "ann", [forged]: 1 },
      { entries: { [forged]: {} } },
      { rule: "api", key: forged, plan: forged, slot: forged },
    ];
    for (const body of bodies) {
      const text = await answerTo(running, post(JSON.stringify(body)));
      expect(text.slice(0, text.indexOf("\r\n\r\n"))).not.toContain("Set-Cookie");
    }
    const headers = { "x-sluice-key": "a\tb", "x-forwarded-uri": "/%0d%0aSet-Cookie:x" };
    const reply = await running.ask("/v1/authz", undefined, { headers });
    expect(reply.headers).not.toHaveProperty("set-cookie");
    for (const line of running.lines) {
      expect(JSON.parse(line)).toMatchObject({ message: "answered" });
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(line).not.toContain("forged");
    }
  });

  test("what is wrong with a document with bad names is one line", async () => {
    const { path, lines } = await startService(document);
    writeFileSync(path, '{"rules":[{"name":"a\\nb\\u001b[2J","policy":{}}]}');
    await expect.poll(() => lines.join("")).toContain("policies not taken");
    for (const line of lines) {
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(line).not.toContain("\u{1b}");
    }
  });
});

/** Every route, and the scopes of which a token needs one: nothing but this table says it. */
const ROUTES: readonly (readonly [method: string, path: string, scopes: readonly Scope[]])[] = [
  ["POST", "/v1/consume", ["decide"]],
  ["POST", "/v1/batch", ["decide"]],
  ["POST", "/v1/consume-up-to", ["decide"]],
  ["POST", "/v1/peek", ["decide", "read"]],
  ["POST", "/v1/explain", ["decide", "read"]],
  ["POST", "/v1/penalize", ["decide"]],
  ["POST", "/v1/refund", ["decide"]],
  ["POST", "/v1/settle", ["decide"]],
  ["POST", "/v1/reserve", ["decide"]],
  ["POST", "/v1/cancel", ["decide"]],
  ["GET", "/v1/authz", ["decide"]],
  ["HEAD", "/v1/authz", ["decide"]],
  ["POST", "/v1/authz", ["decide"]],
  ["POST", "/json", ["decide"]],
  ["POST", "/v1/semaphores/acquire", ["decide"]],
  ["POST", "/v1/semaphores/renew", ["decide"]],
  ["POST", "/v1/semaphores/release", ["decide"]],
  ["POST", "/v1/semaphores/list", ["decide", "read"]],
  ["POST", "/v1/semaphores/reset", ["admin"]],
  ["POST", "/v1/store", ["store"]],
  ["GET", "/v1/policies", ["read"]],
  ["POST", "/v1/mode", ["admin"]],
  ["GET", "/metrics", ["read"]],
  ["GET", "/v1/openapi.json", SCOPES],
  ["GET", "/healthz", SCOPES],
  ["GET", "/readyz", SCOPES],
];

test("no scope opens a route that is not its own, and none opens nothing", async () => {
  const { ask } = await startService(document, {}, withTokens);
  const asked = async (method: string, path: string, token?: string): Promise<number> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const body = method === "POST" ? {} : undefined;
    return (await ask(path, body, { method, headers })).status;
  };
  for (const [method, path, scopes] of ROUTES) {
    const isOpen = scopes.length === SCOPES.length;
    const nobody = await asked(method, path);
    expect([path, nobody === 401]).toEqual([path, !isOpen]);
    for (const scope of SCOPES) {
      const status = await asked(method, path, TOKENS[scope]);
      expect([path, scope, status === 403]).toEqual([path, scope, !scopes.includes(scope)]);
      expect([path, scope, status]).not.toEqual([path, scope, 401]);
    }
  }
});

test("the table of scopes has every route of the service", async () => {
  const { service } = await startService(document);
  const { routesOf } = await import("../../src/serve/http/index.js");
  const paths = new Set(routesOf(service).map(({ path }) => path));
  expect(paths).toEqual(new Set(ROUTES.map(([, path]) => path)));
});

import { expect, onTestFinished, test } from "vitest";
import { PolicySet } from "sluice/policies";
import { dashboard, type DashboardOptions } from "../../src/dashboard/index.js";
import { openDashboard } from "../../src/dashboard/dashboard.js";
import type { DashboardProblem } from "../../src/dashboard/wire.js";
import { openBoard, RULES } from "../support/board.js";

const TOKENS = { read: "a-token-that-may-look-on", admin: "a-token-that-may-do-it-all" };

test("without a login there is no dashboard", async () => {
  const rules = new PolicySet({ source: RULES });
  onTestFinished(() => rules.close());
  expect(() => dashboard({ policies: rules })).toThrow("auth, or token");
  expect(() => dashboard({ policies: rules, token: "short" })).toThrow("16 to 256");
  expect(() =>
    dashboard({ policies: rules, tokens: TOKENS } as unknown as DashboardOptions),
  ).toThrow(/^tokens: .*only these options: policies, .*did you mean token\?/);
});

test("every answer says that it is not to be kept, framed or sniffed", async () => {
  const { ask } = openBoard();
  for (const path of ["", "api/state", "api/none", "api/document"]) {
    const { headers } = await ask(path);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  }
  const { headers, text } = await ask("");
  expect(headers.get("content-security-policy")).toMatch(
    /script-src 'sha256-[^']+'; style-src 'sha256-/,
  );
  expect(text).toContain("<!doctype html>");
});

test("the page is at its mount with a slash, and nothing is under other names", async () => {
  const { board, ask } = openBoard();
  const page = await board(new Request("http://h/a/javascript:x"));
  expect([page.status, page.headers.get("location")]).toEqual([308, "./javascript:x/"]);
  expect((await ask("api/nothing")).status).toBe(404);
  expect((await ask("api/")).status).toBe(404);
  expect((await ask("", {})).status).toBe(405);
  expect((await ask("api/key")).headers.get("allow")).toBe("POST");
});

test("a token logs in, and its session is a random name that is known by its hash", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  expect((await ask<DashboardProblem>("api/state")).body).toMatchObject({
    status: 401,
    canLogIn: true,
  });
  const login = await ask("api/login", { token: TOKENS.admin });
  const field = login.headers.get("set-cookie") ?? "";
  expect(login.status).toBe(204);
  expect(field).toMatch(/^sluice_session=[\w-]{43}; Max-Age=43200; HttpOnly; SameSite=Strict$/);
  const cookie = field.split(";")[0] as string;
  const asVisitor = { headers: { cookie: `other=1; ${cookie}` } };
  const { body } = await ask<{ visitor: unknown }>("api/state", undefined, asVisitor);
  expect(body.visitor).toEqual({ access: "admin", who: "admin token", canLogOut: true });
  await ask("api/logout", {}, asVisitor);
  expect((await ask("api/state", undefined, asVisitor)).status).toBe(401);
});

test.each([
  ["https", { headers: { origin: "https://limits.test" } }, {}],
  ["told so", {}, { secure: true }],
])("over TLS the cookie is for TLS alone: %s", async (_, asking, options) => {
  const { ask } = openBoard(RULES, { token: TOKENS, ...options });
  const login = await ask("api/login", { token: TOKENS.read }, asking);
  expect(login.headers.get("set-cookie")).toContain("; Secure");
});

test("who may read changes nothing, whatever is sent", async () => {
  const { ask, rules } = openBoard(RULES, { token: TOKENS.read });
  const { version } = rules;
  const headers = { authorization: `Bearer ${TOKENS.read}` };
  const bodies = {
    key: { rule: "api", entries: { user: "a" }, change: "block" },
    mode: { mode: "off" },
    publish: { text: '{"rules":[]}', base: version, how: "now" },
    rollback: { to: version, base: version },
  };
  for (const [name, body] of Object.entries(bodies)) {
    expect((await ask(`api/${name}`, body, { headers })).status).toBe(403);
  }
  expect((await ask("api/lookup", { entries: { user: "a" } }, { headers })).status).toBe(200);
  expect([rules.version, rules.status().mode]).toEqual([version, "enforce"]);
});

test.each([
  ["another site", { "sec-fetch-site": "cross-site" }, 403],
  ["a sibling site", { "sec-fetch-site": "same-site" }, 403],
  ["no page at all", { "sec-fetch-site": "none" }, 403],
  ["another site, to a browser that does not say", { origin: "http://evil.test" }, 403],
  ["a sandbox", { origin: "null" }, 403],
  ["nobody says", {}, 403],
  ["the page, to a browser that does not say", { origin: "http://limits.test" }, 204],
  ["the page", { "sec-fetch-site": "same-origin" }, 204],
])("a change that %s asks for", async (_, headers, status) => {
  const { board } = openBoard();
  const request = new Request("http://limits.test/api/mode", {
    method: "POST",
    headers: { host: "limits.test", "content-type": "application/json", ...headers },
    body: '{"mode":"shadow"}',
  });
  expect((await board(request)).status).toBe(status);
});

test.each([
  ["a form", { headers: { "content-type": "text/plain" }, raw: "{}" }, 415],
  ["no JSON", { raw: "{" }, 400],
  ["no object", { raw: "[]" }, 400],
  ["no UTF-8", { raw: '{"entries":{"user":"\ud800"}}' }, 200],
  ["too much", { raw: JSON.stringify({ entries: { user: "x".repeat(70_000) } }) }, 413],
  ["a long entry", { raw: JSON.stringify({ entries: { user: "x".repeat(5000) } }) }, 400],
  ["numbers", { raw: '{"entries":{"user":5}}' }, 400],
  [
    "a prototype",
    { raw: '{"entries":{"__proto__":"x","user":"a"},"__proto__":{"rule":"api"}}' },
    200,
  ],
])("a body of %s", async (_, asking, status) => {
  const { ask } = openBoard();
  expect((await ask("api/lookup", undefined, asking)).status).toBe(status);
  expect(({} as { rule?: unknown }).rule).toBeUndefined();
});

test("10,000 wrong tokens: the address is not looked at any more, and others are", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  const statuses = new Map<number, number>();
  for (let i = 0; i < 10_000; i++) {
    const asking = { address: "192.0.2.7" };
    const { status } = await ask("api/login", { token: `a wrong token, the ${i}th` }, asking);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  // Ten a minute, however long this takes.
  const [looked = 0, refused = 0] = [statuses.get(401), statuses.get(429)];
  expect(looked + refused).toBe(10_000);
  expect(looked).toBeGreaterThanOrEqual(10);
  expect(looked).toBeLessThan(1000);
  for (let i = 0; i < 10; i++) {
    await ask("api/login", { token: "one more wrong token" }, { address: "192.0.2.7" });
  }
  const late = await ask("api/login", { token: TOKENS.admin }, { address: "192.0.2.7" });
  expect([late.status, Number(late.headers.get("retry-after")) > 0]).toEqual([429, true]);
  const other = await ask("api/login", { token: TOKENS.admin }, { address: "192.0.2.8" });
  expect(other.status).toBe(204);
});

test("where nobody knows addresses, wrong tokens do not keep the right one out", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  for (let i = 0; i < 20; i++) await ask("api/login", { token: `a wrong token, the ${i}th` });
  expect((await ask("api/login", { token: "one more wrong token" })).status).toBe(429);
  expect((await ask("api/login", { token: TOKENS.read })).status).toBe(204);
});

test("a token is looked at up to 512 characters, and no door sees a longer one", async () => {
  const rules = new PolicySet({ source: RULES });
  const seen: number[] = [];
  const door = {
    enter: (token: string) => {
      seen.push(token.length);
      return { who: "ana", access: () => "read" as const };
    },
  };
  const board = openDashboard({ policies: rules }, door);
  onTestFinished(async () => {
    await board.close();
    await rules.close();
  });
  const statusOf = async (length: number): Promise<number> => {
    const headers = { authorization: `Bearer ${"x".repeat(length)}` };
    return (await board(new Request("http://limits.test/api/document", { headers }))).status;
  };
  expect([await statusOf(512), await statusOf(513)]).toEqual([200, 401]);
  expect(seen).toEqual([512]);
});

test("right tokens are not counted against their holder", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  const asking = { address: "192.0.2.7", headers: { authorization: `Bearer ${TOKENS.read}` } };
  for (let i = 0; i < 50; i++) {
    expect((await ask("api/document", undefined, asking)).status).toBe(200);
  }
});

test("an error shows nothing of the process, and its owner hears of it", async () => {
  const errors: unknown[] = [];
  const error = new Error("the password is hunter2");
  const { ask } = openBoard(RULES, {
    auth: () => {
      throw error;
    },
    onError: (each) => errors.push(each),
  });
  const { status, text } = await ask("api/state");
  expect([status, text.includes("hunter2"), errors]).toEqual([500, false, [error]]);
});

test.each(["yes", undefined, null, { access: "root" }, true])(
  "an app that answers %j lets nobody in",
  async (said) => {
    const { ask } = openBoard(RULES, { auth: () => said as "none" });
    expect((await ask("api/state")).status).toBe(401);
  },
);

test("addresses of one network of IPv6 are one, since a client has many of them", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  for (let i = 0; i < 11; i++) {
    await ask("api/login", { token: `a wrong token, the ${i}th` }, { address: `2001:db8::${i}` });
  }
  const logIn = (address: string) => ask("api/login", { token: TOKENS.admin }, { address });
  expect((await logIn("2001:db8::ffff")).status).toBe(429);
  expect((await logIn("2001:db8:0:1::1")).status).toBe(204);
});

test("the page's own host is what the client says, whatever the address of the request", async () => {
  const { board } = openBoard();
  const send = (host: string) =>
    board(
      new Request("http://localhost/api/mode", {
        method: "POST",
        headers: { host, origin: "http://limits.test", "content-type": "application/json" },
        body: '{"mode":"shadow"}',
      }),
    );
  expect((await send("limits.test")).status).toBe(204);
  expect((await send("localhost")).status).toBe(403);
});

test("another site logs nobody in or out", async () => {
  const { ask } = openBoard(RULES, { token: TOKENS });
  const elsewhere = { headers: { "sec-fetch-site": "cross-site" } };
  for (const [path, body] of [
    ["login", { token: TOKENS.admin }],
    ["logout", {}],
  ] as const) {
    const reply = await ask(`api/${path}`, body, elsewhere);
    expect([reply.status, reply.headers.get("set-cookie")]).toEqual([403, null]);
  }
});

test("an app may read the request that it is asked about, and names nobody at length", async () => {
  const { ask, state } = openBoard(RULES, {
    auth: async (request) => {
      await request.text();
      return { access: "admin", who: "x".repeat(500) };
    },
  });
  expect((await ask("api/mode", { mode: "shadow" })).status).toBe(204);
  expect((await state()).visitor.who).toBe("x".repeat(200));
});

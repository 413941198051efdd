/** The dashboard at / of the service. */
import { expect, test } from "vitest";
import { startService } from "../support/service.js";
import { RULES } from "../support/board.js";

const READ = "a-token-that-may-look-on";
const ADMIN = "a-token-that-may-do-it-all";
const env = {
  SLUICE_TOKENS: `eve decide 1234567890123456;rob read ${READ};ana read,admin ${ADMIN}`,
};
const page = { "content-type": "application/json", "sec-fetch-site": "same-origin" };

test("who has a token of the service logs in with it, as far as its scopes go", async () => {
  const { ask, lines } = await startService(RULES, {}, env);
  const answer = await ask("/");
  expect([answer.status, answer.headers["content-type"]]).toEqual([
    200,
    "text/html; charset=utf-8",
  ]);
  expect((await ask("/api/state")).status).toBe(401);
  const logIn = (token: string) => ask("/api/login", { token }, { headers: page });
  expect((await logIn("1234567890123456")).status).toBe(401);
  const cookies = await Promise.all(
    [READ, ADMIN].map(async (token) => {
      const [field = ""] = (await logIn(token)).headers["set-cookie"] ?? [];
      expect(field).toMatch(/HttpOnly; SameSite=Strict$/);
      expect(field).not.toContain(token);
      return field.split(";")[0] as string;
    }),
  );
  const state = await ask("/api/state", undefined, { headers: { cookie: cookies[0] } });
  expect(state.body).toMatchObject({ visitor: { access: "read", who: "rob" } });
  const block = { rule: "api", entries: { user: "ann" }, change: "block" };
  const as = (cookie: string | undefined) => ({ headers: { ...page, cookie } });
  expect((await ask("/api/key", block, as(cookies[0]))).status).toBe(403);
  expect((await ask("/api/key", block, as(cookies[1]))).status).toBe(200);
  const told = lines.find((line) => line.includes("changed on the dashboard")) ?? "";
  expect(JSON.parse(told)).toMatchObject({ who: "ana", action: "block", level: "info" });
  expect(lines.join("")).not.toContain("user=ann");
});

test("the semaphores that clients use are listed, and an admin ends their permits", async () => {
  const { ask, lines } = await startService(RULES, {}, env);
  const cookieOf = async (token: string): Promise<string | undefined> => {
    const login = await ask("/api/login", { token }, { headers: page });
    return (login.headers["set-cookie"] ?? [""])[0]?.split(";")[0];
  };
  const [reader, admin] = await Promise.all([cookieOf(READ), cookieOf(ADMIN)]);
  const as = (cookie: string | undefined) => ({ headers: { ...page, cookie } });
  const client = { headers: { authorization: "Bearer 1234567890123456" } };
  const job = { semaphore: "jobs", key: "export", limit: 2 };
  expect((await ask("/v1/semaphores/acquire", job, client)).status).toBe(200);
  const shown = async () => {
    const { body } = await ask("/api/state", undefined, { headers: { cookie: reader } });
    return body["semaphores"] as unknown as readonly { readonly semaphore: string }[];
  };
  await expect.poll(shown).toMatchObject([{ limit: 2, waiting: 0, canList: true }]);
  const [listed] = await shown();
  const asked = { semaphore: listed?.semaphore, key: "export" };
  expect(listed).not.toHaveProperty("held");
  expect((await ask("/api/permits", asked, as(reader))).body).toMatchObject({ held: 1, limit: 2 });
  expect((await ask("/api/endpermits", asked, as(reader))).status).toBe(403);
  expect((await ask("/api/endpermits", asked, as(admin))).body).toEqual({ ended: 1 });
  expect((await ask("/api/permits", asked, as(reader))).body).toMatchObject({ held: 0 });
  const told = lines.find((line) => line.includes("changed on the dashboard")) ?? "";
  expect(JSON.parse(told)).toMatchObject({ who: "ana", action: "reset" });
  const other = { semaphore: "sluice:other", key: "export" };
  expect((await ask("/api/permits", other, as(reader))).status).toBe(404);
});

test("a token that is taken from the list ends its sessions", async () => {
  const { ask, service } = await startService(RULES, {}, env);
  const login = await ask("/api/login", { token: READ }, { headers: page });
  const cookie = (login.headers["set-cookie"] ?? [""])[0]?.split(";")[0];
  const look = () => ask("/api/state", undefined, { headers: { cookie } });
  expect((await look()).status).toBe(200);
  const { Tokens } = await import("../../src/serve/tokens.js");
  service.tokens.replaceBy(Tokens.parse("rob read another-token-of-the-same"));
  expect((await look()).status).toBe(401);
});

test.each([
  ["without tokens", {}, {}, 404],
  ["with tokens, and off", { dashboard: "off" }, env, 404],
  ["without tokens, and on", { dashboard: "on" }, {}, 200],
])("%s the page is there, or not", async (_, flags, variables, status) => {
  const { ask, service } = await startService(RULES, flags, variables);
  expect((await ask("/")).status).toBe(status);
  const { token } = service.dashboard ?? {};
  if (status === 404) return;
  expect(token).toHaveLength(32);
  const headers = { authorization: `Bearer ${token}` };
  expect((await ask("/api/state", undefined, { headers })).status).toBe(200);
  // The rest of the service is as open as before.
  expect((await ask("/v1/policies")).status).toBe(200);
});

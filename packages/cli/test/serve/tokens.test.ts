/** Who may ask for what; and that nobody learns a token, from an answer or from the log. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSettings } from "../../src/serve/read-settings.js";
import { Tokens } from "../../src/serve/tokens.js";
import { startService, temporaryFolder } from "../support/service.js";

const document = { rules: [] };
const SECRETS = {
  gateway: "gateway-0123456789abcdef",
  prometheus: "prometheus-0123456789abc",
  operator: "operator-0123456789abcdef",
  worker: "worker-0123456789abcdef0",
};
const TOKENS = `# who may ask
gateway decide ${SECRETS.gateway}
prometheus read ${SECRETS.prometheus}  # scrapes
operator decide,read,admin ${SECRETS.operator}
worker store ${SECRETS.worker}
`;

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

test("each route wants its scope", async () => {
  const { ask } = await startService(document, {}, { SLUICE_TOKENS: TOKENS });
  const consumed = (token: string) => ask("/v1/consume", { entries: {} }, bearer(token));
  expect((await consumed(SECRETS.gateway)).status).toBe(200);
  expect(await consumed(SECRETS.prometheus)).toMatchObject({
    status: 403,
    body: { reason: "forbidden", detail: "decide is needed" },
  });
  expect((await consumed(SECRETS.worker)).status).toBe(403);
  const peeked = (token: string) => ask("/v1/peek", { entries: {} }, bearer(token));
  expect((await peeked(SECRETS.prometheus)).status).toBe(200);
  expect((await peeked(SECRETS.gateway)).status).toBe(200);
  expect((await ask("/metrics", undefined, bearer(SECRETS.prometheus))).status).toBe(200);
  expect((await ask("/metrics", undefined, bearer(SECRETS.gateway))).status).toBe(403);
  const switched = (token: string) => ask("/v1/mode", { mode: null }, bearer(token));
  expect((await switched(SECRETS.operator)).status).toBe(200);
  expect((await switched(SECRETS.gateway)).status).toBe(403);
  for (const path of ["/healthz", "/readyz", "/v1/openapi.json"]) {
    expect((await ask(path)).status).toBe(200);
  }
});

test.each([
  ["none", undefined],
  ["an empty one", ""],
  ["no bearer", `Basic ${SECRETS.gateway}`],
  ["another", "Bearer nobody-0123456789abcdef"],
  ["a part", `Bearer ${SECRETS.gateway.slice(0, -1)}`],
  ["more than it", `Bearer ${SECRETS.gateway}0`],
  ["another case", `Bearer ${SECRETS.gateway.toUpperCase()}`],
  ["two", `Bearer ${SECRETS.gateway} ${SECRETS.gateway}`],
  ["a long one", `Bearer ${"a".repeat(8000)}`],
  ["a name", "Bearer gateway"],
])("with %s nobody is let in", async (_, authorization) => {
  const { ask, lines } = await startService(
    document,
    { logLevel: "debug" },
    { SLUICE_TOKENS: TOKENS },
  );
  const headers = authorization === undefined ? {} : { authorization };
  const reply = await ask("/v1/consume", { entries: { user: "ann-of-the-hills" } }, { headers });
  expect(reply).toMatchObject({
    status: 401,
    headers: { "www-authenticate": 'Bearer realm="sluice"' },
    body: { reason: "unauthorized" },
  });
  const said = lines.join("") + reply.text;
  for (const secret of [...Object.values(SECRETS), "nobody-0", "ann-of"]) {
    expect(said).not.toContain(secret);
  }
  expect(said).toContain('"path":"/v1/consume","status":401');
});

describe("the list", () => {
  test("may come from a file, and is never of the command line", async () => {
    const file = join(temporaryFolder(), "tokens");
    writeFileSync(file, TOKENS);
    const { ask } = await startService(document, { tokensFile: file });
    expect((await ask("/v1/consume", { entries: {} })).status).toBe(401);
    expect((await ask("/v1/consume", { entries: {} }, bearer(SECRETS.gateway))).status).toBe(200);
    const both = { SLUICE_TOKENS: TOKENS };
    await expect(startService(document, { tokensFile: file }, both)).rejects.toThrow("enough");
    writeFileSync(file, "# nobody yet\n");
    await expect(startService(document, { tokensFile: file })).rejects.toThrow("has no token");
    await expect(startService(document, { tokensFile: `${file}x` })).rejects.toThrow("ENOENT");
  });

  test.each(["", "  ", "# nobody"])(
    "is refused where it is given with nothing in it: %j",
    async (text) => {
      const env = { SLUICE_TOKENS: text };
      await expect(startService(document, {}, env)).rejects.toThrow(
        /SLUICE_TOKENS (?:is empty|has no token)/,
      );
    },
  );

  test("is read again when it is told to, and stays where that cannot be", async () => {
    const file = join(temporaryFolder(), "tokens");
    writeFileSync(file, `gateway decide ${SECRETS.gateway}`);
    const { service, ask, lines } = await startService(document, { tokensFile: file });
    const status = async (token: string): Promise<number> =>
      (await ask("/v1/consume", { entries: {} }, bearer(token))).status;
    writeFileSync(file, "gateway decide short");
    await service.readTokensAgain();
    expect([await status(SECRETS.gateway), await status(SECRETS.operator)]).toEqual([200, 401]);
    expect(lines.join("")).toContain("tokens not taken");
    writeFileSync(file, `gateway decide ${SECRETS.operator}`);
    await service.readTokensAgain();
    expect([await status(SECRETS.gateway), await status(SECRETS.operator)]).toEqual([401, 200]);
  });

  test.each([
    ["a decide", "line 1"],
    ["a decide short", "16 to 256"],
    [`a rule ${SECRETS.gateway}`, "decide, read, admin, store"],
    [`a  ${SECRETS.gateway}`, "line 1"],
    [`a decide ${SECRETS.gateway} b`, "line 1"],
    [`a decide ${"x".repeat(15)}`, "16 to 256"],
    [`a decide ${"x".repeat(257)}`, "16 to 256"],
    [`a decide ${SECRETS.gateway}é`, "characters"],
    [`a decide ${SECRETS.gateway}\na read ${SECRETS.worker}`, "one name"],
    [`a decide ${SECRETS.gateway}\nb read ${SECRETS.gateway}`, "a and b have one token"],
  ])("is refused where it is wrong: %j", (text, why) => {
    expect(() => Tokens.parse(text)).toThrow(why);
    let said = "";
    try {
      Tokens.parse(text);
    } catch (error) {
      said = String(error);
    }
    for (const secret of Object.values(SECRETS)) expect(said).not.toContain(secret);
  });
});

describe("settings", () => {
  test("come from flags, else from the environment, else from the file, else from the table", async () => {
    const file = join(temporaryFolder(), "service.yaml");
    writeFileSync(file, "namespace: file\nmaxBody: 2048\ndrainDelay: 1m\nlisten: [a:1, b:2]\n");
    const env = { SLUICE_NAMESPACE: "env", SLUICE_MAX_BODY: "4096", SLUICE_CLUSTER: "true" };
    const settings = await readSettings({ config: file, namespace: "flag" }, env);
    expect(settings).toMatchObject({
      namespace: "flag",
      maxBody: 4096,
      drainDelay: 60_000,
      listen: ["a:1", "b:2"],
      cluster: true,
      logLevel: "info",
      redis: undefined,
    });
  });

  test.each([
    [{ maxBody: "1" }, {}, "--max-body must be a whole number from 1024"],
    [{}, { SLUICE_DRAIN_DELAY: "soon" }, "SLUICE_DRAIN_DELAY must be a span such as 250ms"],
    [{ mode: "enforce" }, {}, "--mode must be shadow or off"],
    [{ mode: "shadw" }, {}, "--mode must be shadow or off (did you mean shadow?)"],
    [{ trust: "-1" }, {}, "--trust must be"],
    [{ config: "/nowhere.json" }, {}, "ENOENT"],
  ])("are refused where they are wrong: %j %j", async (flags, env, why) => {
    await expect(readSettings(flags, env)).rejects.toThrow(why);
  });

  test("of a file must be known, and may hold no token", async () => {
    const file = join(temporaryFolder(), "service.json");
    for (const [text, why] of [
      ['{"tokens":"x"}', '"tokens", which is no setting'],
      ['{"maxBodies":1}', '"maxBodies", which is no setting for a file (did you mean maxBody?)'],
      ["[]", "an object of settings"],
      ["{secret", "it is no JSON"],
    ] as const) {
      writeFileSync(file, text);
      await expect(readSettings({ config: file }, {})).rejects.toThrow(why);
    }
  });
});

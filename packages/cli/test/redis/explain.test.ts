/** What a request meets, by the command line: in a file, and with what a real Redis holds. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RateLimiter } from "sluice";
import { compilePolicies, parsePolicies, type PoliciesDocument } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

let directory: string;
let store: RedisStore;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-explain-"));
  store = await RedisStore.connect(inject("redisUrl"));
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await store.close();
});

const window = (limit: number): object => ({ algorithm: "sliding-log", limit, window: "1d" });
const CONTENT = {
  plans: { pro: { api: { limit: 1000 } } },
  rules: [
    {
      name: "api",
      match: { path: "/v1/*" },
      key: ["user"],
      policy: window(9),
      candidate: { policy: window(5) },
    },
    { name: "login", match: { path: ["/login", "/join"] }, policy: window(5) },
    { name: "team", key: ["team"], policy: window(5) },
    { name: "address", key: ["address"], onMissing: "deny", policy: window(5) },
    { name: "gone", mode: "off", policy: window(5) },
    { name: "part", key: ["user"], rollout: { percent: 0 }, cost: 2, policy: window(5) },
  ],
  overrides: [
    { rule: "api", key: "user=evil", mode: "deny", comment: "ticket 7" },
    { rule: "api", key: "user=probe-*", mode: "exempt" },
  ],
};

function file(content: object = CONTENT): string {
  const path = join(directory, "policies.json");
  writeFileSync(path, JSON.stringify(content));
  return path;
}

async function sluice(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const process = fakeProcess({ env });
  const code = await run(["explain", ...argv], process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

const REQUEST = ["path=/v1/items", "user=ann"];

describe("of a file", () => {
  test("says of a version that is not in force yet when it will be", async () => {
    const firstLine = async (activeFrom: string): Promise<string | undefined> => {
      const { stdout } = await sluice([...REQUEST, "--policies", file({ ...CONTENT, activeFrom })]);
      return stdout.split("\n")[0]?.replace(/.*, version [^,]+/, "");
    };
    expect(await firstLine("9000-01-01T01:00:00+01:00")).toBe(
      ", which comes into force at 9000-01-01T00:00:00Z",
    );
    expect(await firstLine("2020-01-01T00:00:00Z")).toBe("");
  });

  test("says of every rule whether it applies, and why not", async () => {
    const { code, stdout } = await sluice([...REQUEST, "--policies", file()]);
    expect(code).toBe(0);
    expect(
      stdout.replaceAll(`${directory}/`, "").replace(/version \S+/, "version VERSION"),
    ).toMatchInlineSnapshot(`
      "policies.json, version VERSION
      request path=/v1/items user=ann

      api  enforce, key user=ann, cost 1
        sliding-log "api": 9 in any 1 d
        beside it sliding-log "api.candidate": 5 in any 1 d

      login  does not apply: path is not "/login" or "/join"

      team  does not apply: there is no entry team

      address  enforce, cost 1
        denies: an entry of its key is absent

      gone  does not apply: it is off

      part  shadow, key user=ann, cost 2
        the rollout has not reached the key at 52.9 %
        sliding-log "part": 5 in any 1 d
      "
    `);
  });

  test.each([
    [
      "user=evil",
      /^ {2}override \{"rule":"api","key":"user=evil".*"ticket 7"\}\n {2}denies: the override says so$/m,
    ],
    ["user=probe-3", /^ {2}override .*\n {2}exempt: it is not asked$/m],
  ])("names the override of %s", async (entry, text) => {
    const { stdout } = await sluice(["path=/v1/items", entry, "--policies", file()]);
    expect(stdout).toMatch(text);
  });

  test.each([
    [{ path: { not: ["/join", "/login"] } }, 'path may not be "/join" or "/login"'],
    [{ path: { is: "/*", not: "/join" } }, 'path is not "/*", or is "/join"'],
  ])("says what %j asks", async (match, why) => {
    const rules = [{ name: "api", match, policy: window(1) }];
    const { stdout } = await sluice(["path=/join", "--policies", file({ rules })]);
    expect(stdout).toContain(`api  does not apply: ${why}`);
    expect(stdout.endsWith("\n\nno rule applies: it passes\n")).toBe(true);
  });

  test("takes a plan and a cost", async () => {
    const { stdout } = await sluice([
      ...REQUEST,
      "--plan",
      "pro",
      "--cost",
      "3",
      "--policies",
      file(),
      "--json",
    ]);
    const { rules } = JSON.parse(stdout) as { rules: readonly object[] };
    expect(rules[0]).toMatchObject({
      rule: "api",
      match: { cost: 3, policy: { limit: 1000 }, candidate: { limit: 1000 } },
      override: null,
    });
    expect(rules[5]).toMatchObject({ rule: "part", match: { cost: 2, mode: "shadow" } });
  });

  test.each([
    [[], "a document is needed"],
    [["user", "--policies", "p.json"], '"user" is no entry, such as user=acme'],
    [["a=1", "a=2", "--policies", "p.json"], 'the entry "a" is given twice'],
    [["a=1", "--policies", "p.json", "--cost", "many"], '--cost "many" is not a number'],
    [["a=1", "--policies", "/no/such.json"], "/no/such.json: cannot be read"],
  ])("refuses %j", async (argv, why) => {
    const { code, stdout, stderr } = await sluice(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(why);
  });
});

describe("with Redis", () => {
  test("shows what each rule and its candidate would answer, and counts nothing", async () => {
    const namespace = `explain-${randomUUID()}`;
    const { document } = parsePolicies(CONTENT);
    await used(document, namespace, 4);
    const env = { SLUICE_REDIS_URL: inject("redisUrl") };
    const argv = [...REQUEST, "--policies", file(), "--namespace", namespace];
    for (let again = 0; again < 2; again++) {
      const { code, stdout } = await sluice([...argv, "--json"], env);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        rules: [
          {
            answer: { allowed: true, remaining: 5 },
            candidateAnswer: { allowed: true, remaining: 1 },
          },
          {},
          {},
          {},
          {},
          { answer: { remaining: 5 } },
        ],
      });
    }
    const { stdout } = await sluice([...argv, "--cost", "2"], env);
    expect(stdout).toContain("a call of cost 2 would be denied: too little is left");
  });

  test("takes the published document, and says where there is none", async () => {
    const name = `explain-${randomUUID()}`;
    const env = { SLUICE_REDIS_URL: inject("redisUrl") };
    expect(await sluice([...REQUEST, "--name", name], env)).toMatchObject({ code: 1, stdout: "" });
    const process = fakeProcess({ env });
    expect(
      await run(["policies", "push", file(), "--expect", "0", "--name", name], process.io),
    ).toBe(0);
    const { code, stdout } = await sluice([...REQUEST, "--name", name], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/, version 1\nrequest path=\/v1\/items user=ann\n/);
  });
});

/** Takes units of ann's, as a service does that follows the document. */
async function used(document: PoliciesDocument, namespace: string, cost: number): Promise<void> {
  const [met] = compilePolicies(document).match({ entries: { path: "/v1/items", user: "ann" } }, 0);
  for (const policy of [met?.policy, met?.candidate]) {
    if (policy === undefined) continue;
    const limiter = new RateLimiter({ store, namespace, policy, timeout: "30s" });
    await limiter.consume(met?.identity ?? "", { cost });
  }
}

/** Documents of policies by the command line, in files and in a real Redis. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-policies-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function file(name: string, content: object | string): string {
  const path = join(directory, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const rule = (limit: number, more: object = {}): object => ({
  name: "api",
  key: ["user"],
  policy: { algorithm: "token-bucket", limit, period: "1m" },
  ...more,
});
const documentOf = (limit: number): object => ({ rules: [rule(limit)] });

async function sluice(...argv: readonly string[]) {
  const env = { SLUICE_REDIS_URL: inject("redisUrl"), USER: "ana" };
  const process = fakeProcess({ env });
  const code = await run(["policies", ...argv], process.io);
  return {
    code,
    stdout: process.stdout().replaceAll(`${directory}/`, ""),
    stderr: process.stderr().replaceAll(`${directory}/`, ""),
  };
}

describe("check", () => {
  test("of a valid document counts what is in it", async () => {
    const overrides = [{ rule: "api", key: "user=ann", mode: "deny" }];
    const good = file("good.json", { rules: [rule(5)], overrides });
    expect(await sluice("check", good)).toEqual({
      code: 0,
      stdout: "good.json  valid: 1 rule, 1 override\n",
      stderr: "",
    });
  });

  test("of YAML names line, field, value and what is allowed", async () => {
    const bad = file(
      "bad.yaml",
      "rules:\n  - name: api\n    policy:\n      algorithm: gcra\n      limt: 5\n      period: 1 month\n",
    );
    const { code, stdout } = await sluice("check", bad);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^bad\.yaml:[45] rules\[0\]\.policy\.limt.*limit/m);
    expect(stdout).toMatch(/^bad\.yaml {2}not valid: \d+ problems?$/m);
  });

  test("warns, and with --strict fails, of an override whose time is over", async () => {
    const overrides = [
      { rule: "api", key: "user=ann", mode: "deny", until: "2020-01-01T00:00:00Z" },
    ];
    const over = file("over.json", { rules: [rule(5)], overrides });
    const warned = await sluice("check", over);
    expect(warned).toMatchObject({ code: 0 });
    expect(warned.stdout).toMatch(/^warning over\.json:1 overrides\[0\]/);
    expect(await sluice("check", over, "--strict")).toMatchObject({ code: 1 });
    const json = await sluice("check", over, file("broken.json", "{"), "--json");
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({
      passed: false,
      documents: [
        { valid: true, rules: 1, warnings: [{ path: "overrides[0].until" }] },
        { valid: false, problems: [{ line: 1 }] },
      ],
    });
  });

  test("reads standard input, and says what cannot be read", async () => {
    const process = fakeProcess({ stdin: JSON.stringify(documentOf(5)) });
    expect(await run(["policies", "check", "-"], process.io)).toBe(0);
    expect(process.stdout()).toBe("-  valid: 1 rule, 0 overrides\n");
    expect(await sluice("check", join(directory, "none.json"))).toMatchObject({ code: 2 });
  });
});

describe("diff", () => {
  test("shows rules, plans and overrides that are new, gone or changed, field by field", async () => {
    const old = file("old.json", {
      rules: [rule(100), rule(1, { name: "gone" })],
      overrides: [{ rule: "api", key: "user=ann", mode: "deny" }],
    });
    const now = file("now.json", {
      mode: "shadow",
      rules: [rule(50, { comment: "halved" }), rule(1, { name: "new" })],
      overrides: [{ rule: "api", key: "user=ann", mode: "exempt" }],
    });
    const { code, stdout } = await sluice("diff", old, now);
    expect(code).toBe(0);
    expect(stdout).toMatchInlineSnapshot(`
      "+ setting mode
          "shadow"
      ~ rule api
          policy.limit: 100 → 50
          comment: (absent) → "halved"
      + rule new
          name: "new"
          key: ["user"]
          policy.algorithm: "token-bucket"
          policy.limit: 1
          policy.period: "1m"
      - rule gone
          name: "gone"
          key: ["user"]
          policy.algorithm: "token-bucket"
          policy.limit: 1
          policy.period: "1m"
      ~ override api user=ann
          mode: "deny" → "exempt"
      "
    `);
    expect(await sluice("diff", old, old)).toMatchObject({ code: 0, stdout: "nothing changes\n" });
    const json = await sluice("diff", old, now, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ changes: { length: 5 } });
  });
});

describe("a published document", () => {
  test("is pushed over the version that is expected, pulled, listed and rolled back", async () => {
    const name = `cli-${randomUUID()}`;
    const [first, second] = [file("100.json", documentOf(100)), file("50.json", documentOf(50))];
    expect(await sluice("pull", "--name", name)).toMatchObject({ code: 1, stdout: "" });
    expect(await sluice("history", "--name", name)).toMatchObject({ code: 0 });
    const asked = await sluice("push", first, "--name", name);
    expect(asked.code).toBe(2);
    expect(asked.stdout).toContain("+ rule api");
    expect(asked.stderr).toBe(
      "sluice: nothing was published: nothing is published yet. To publish this, add --expect 0\n",
    );
    const pushed = await sluice(
      "push",
      first,
      "--name",
      name,
      "--expect",
      "0",
      "--comment",
      "first",
    );
    expect(pushed.code).toBe(0);
    expect(pushed.stdout).toMatch(/published "cli-\S+" on redis:\/\/\S+: version 1, after 0\n$/);
    expect(await sluice("push", first, "--name", name, "--expect", "1")).toMatchObject({
      code: 0,
      stdout: "nothing changes\nversion 1 stays in force\n",
    });
    const changed = await sluice(
      "push",
      second,
      "--name",
      name,
      "--expect",
      "1",
      "--by",
      "ben",
      "--json",
    );
    expect(JSON.parse(changed.stdout)).toMatchObject({ published: true, version: 2, expected: 1 });

    // The other editor had read version 1.
    const late = await sluice("push", first, "--name", name, "--expect", "1");
    expect(late.code).toBe(1);
    expect(late.stderr).toMatch(
      /^sluice: nothing was published: version 1 was expected, and version 2 is in force \([-\d]+ [:\d]+ UTC by ben\)/,
    );
    const against = await sluice("diff", first, "--name", name);
    expect(against.stdout).toBe("~ rule api\n    policy.limit: 50 → 100\n");

    const pulled = await sluice("pull", "--name", name);
    expect(JSON.parse(pulled.stdout)).toEqual({ version: 2, ...documentOf(50) });
    const earlier = await sluice("pull", "--name", name, "--version", "1");
    expect(JSON.parse(earlier.stdout)).toEqual({ version: 1, ...documentOf(100) });
    expect(await sluice("pull", "--name", name, "--version", "9")).toMatchObject({ code: 1 });

    const back = await sluice("rollback", "1", "--name", name, "--comment", "too tight");
    expect(back.code).toBe(0);
    expect(back.stdout).toMatch(
      /^~ rule api\n {4}policy\.limit: 50 → 100\npublished \S+ on \S+: version 3, which is version 1 again\n$/,
    );
    expect(await sluice("rollback", "9", "--name", name)).toMatchObject({ code: 1 });
    const history = await sluice("history", "--name", name);
    expect(
      history.stdout.split("\n").map((row) => row.replaceAll(/[-\d]{10} [:\d]{8}| {2,}/g, " ")),
    ).toEqual([
      "version published by comment",
      "3   UTC ana too tight",
      "2   UTC ben",
      "1   UTC ana first",
      "",
    ]);
    const json = await sluice("history", "--name", name, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      versions: [
        { version: 3, by: "ana" },
        { version: 2, by: "ben" },
        { version: 1, comment: "first" },
      ],
    });
  });

  test("is not pushed where it is not valid", async () => {
    const name = `cli-${randomUUID()}`;
    const bad = file("bad.json", { rules: [{ name: "api" }] });
    const { code, stdout, stderr } = await sluice("push", bad, "--name", name, "--expect", "0");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("bad.json:1 rules[0]");
    expect(await sluice("pull", "--name", name)).toMatchObject({ code: 1 });
  });
});

test.each([
  [[], "Usage: sluice policies <command>"],
  [["pushh"], "unknown command policies pushh (did you mean push?)"],
  [["--redis"], "unknown option policies --redis"],
  [["check"], "FILE is missing"],
  [["diff"], "OLD and NEW are needed"],
  [["push"], "FILE is missing"],
  [["push", "a", "b"], "unexpected argument b"],
  [["push", "a", "--expect", "-1"], "--expect needs a value"],
  [["pull", "a"], "unexpected argument a"],
  [["pull", "--version", "0"], '--version "0" is not a whole number of at least 1'],
  [["rollback"], "VERSION is missing"],
  [["rollback", "one"], "VERSION is a number such as 41, not one"],
])("policies %j is refused", async (argv, why) => {
  const { code, stdout, stderr } = await sluice(...argv);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(why);
});

test("help names the commands, and each has its own", async () => {
  const help = await sluice("--help");
  expect(help.code).toBe(0);
  for (const name of ["check", "diff", "push", "pull", "history", "rollback"]) {
    expect(help.stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
    expect((await sluice(name, "--help")).stdout).toContain(`Usage: sluice policies ${name}`);
  }
});

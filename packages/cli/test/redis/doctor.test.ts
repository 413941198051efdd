/** What `sluice doctor` says, and tells the shell, of real servers. */
import { expect, inject, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

async function doctor(...argv: string[]) {
  const process = fakeProcess({ columns: 80 });
  const code = await run(["doctor", ...argv], process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

/** The same, when round trips are quick: of those that are not, as on a busy machine, it warns. */
async function doctorAtRest(...argv: string[]) {
  for (let tries = 1; ; tries++) {
    const said = await doctor(...argv);
    if (tries === 30 || !/^[!✗] (?:round-trip|clock)/m.test(said.stdout)) return said;
  }
}

async function started(...args: readonly string[]) {
  const server = await startRedis({ args });
  onTestFinished(() => server.stop());
  return server.url;
}

test("a server that is fine: 0, a line a finding, and a page for each note", async () => {
  const { code, stdout, stderr } = await doctorAtRest("--redis", inject("redisUrl"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^redis:\/\/\S+\n\n/);
  expect(stdout).toMatch(/^✓ eviction +maxmemory-policy noeviction/m);
  expect(stdout).toMatch(/^· memory {2,}maxmemory is not set[^✓]*\n +docs\/redis\.md#memory$/m);
  expect(stdout).toMatch(/\n\n\d notes; \d+ as they should be\n$/);
  expect(Math.max(...stdout.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
});

test("a warning: 1", async () => {
  const url = await started("--maxmemory-policy", "volatile-lru", "--maxmemory", "1gb");
  const { code, stdout } = await doctorAtRest("--redis", url);
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^! eviction +maxmemory-policy volatile-lru[^✓]*docs\/redis\.md#eviction$/m,
  );
  expect(stdout).toContain("1 warning, ");
});

test("an error: 2, and no password", async () => {
  const url = (await started("--requirepass", "s3cret")).replace("//", "//default:wr0ng@");
  const { code, stdout, stderr } = await doctor("--redis", url);
  expect({ code, stderr }).toEqual({ code: 2, stderr: "" });
  expect(stdout).toMatch(/^redis:\/\/default:\*\*\*@/);
  expect(stdout).toMatch(/^✗ connection {2}The store does not answer: /m);
  expect(stdout).toContain("1 error; 0 as they should be");
  expect(stdout).not.toContain("wr0ng");
  const json = await doctor("--json", "--redis", url);
  expect(json.code).toBe(2);
  expect(JSON.parse(json.stdout)).toMatchObject({
    findings: [{ id: "connection", severity: "error", page: "docs/redis.md#connecting" }],
  });
  expect(json.stdout).toContain("default:***@");
  expect(json.stdout).not.toContain("wr0ng");
});

test("the permissions of another user", async () => {
  const { code, stdout } = await doctor("--user", "nobody", "--redis", inject("redisUrl"));
  expect(code).toBe(1);
  expect(stdout).toMatch(/^! unchecked +Whether nobody may run/m);
});

test.each([
  [[], "a store outside this process is needed"],
  [["more", "--redis", "redis://127.0.0.1:1"], "unexpected argument more"],
  [["--redis", "http://127.0.0.1:1"], "url"],
])("%j is refused", async (argv, why) => {
  const { code, stdout, stderr } = await doctor(...argv);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(why);
});

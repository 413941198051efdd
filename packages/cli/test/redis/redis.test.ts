/** The commands on a real Redis. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { RateLimiter, tokenBucket } from "sluice";
import { RedisStore } from "sluice/redis";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { buildProgram, type BuiltProgram } from "../../../sluice/test/support/built.js";
import { eventually } from "../../../sluice/test/support/eventually.js";
import { startNode } from "../../../sluice/test/support/processes.js";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

const POLICY = ["--limit", "10", "--period", "1h", "--namespace", "cli"];

const SHARED = `shared-${randomUUID()}`;

async function sluice(...argv: string[]) {
  const env = { SLUICE_REDIS_URL: inject("redisUrl"), SLUICE_HMAC_SECRET: "0123456789abcdef" };
  const process = fakeProcess({ env });
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

async function json(...argv: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await sluice(...argv, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** For commands that give the store no more than 250 ms, and change nothing when they are repeated. */
const jsonEventually = (...argv: string[]): Promise<unknown> => eventually(() => json(...argv));

describe("on Redis", () => {
  test("an exercise shares its key with whoever inspects and resets it", async () => {
    const load = ["--calls", "4", "--delay", "0", "--timeout", "30s"];
    expect(await json("exercise", SHARED, ...POLICY, ...load)).toMatchObject({
      allowed: 4,
      denied: 0,
    });
    expect(await jsonEventually("inspect", SHARED, ...POLICY)).toMatchObject({
      decision: { allowed: true, remaining: 6 },
    });
    expect(await jsonEventually("inspect", SHARED, ...POLICY, "--cost", "7")).toMatchObject({
      decision: { allowed: false, reason: "quota", remaining: 6 },
    });
    expect(await jsonEventually("reset", SHARED, ...POLICY)).toMatchObject({
      key: SHARED,
      reset: true,
    });
    expect(await jsonEventually("inspect", SHARED, ...POLICY)).toMatchObject({
      decision: { remaining: 10 },
    });
  });

  test("inspect and reset find the keys of limiters with another identity", async () => {
    const hmacSecret = "0123456789abcdef";
    const store = await RedisStore.connect(inject("redisUrl"));
    const policy = tokenBucket({ limit: 10, period: "1h" });
    const key = `secret-${randomUUID()}`;
    const cases = [
      ["plain", "plain"],
      ["hmac", { hmacSecret }],
    ] as const;
    for (const [how, identity] of cases) {
      const limiter = new RateLimiter({
        store,
        policy,
        identity,
        namespace: "cli",
        timeout: "30s",
      });
      await limiter.consume(key, { cost: 4 });
      const argv = ["--identity", how];
      expect(await jsonEventually("inspect", key, ...POLICY, ...argv)).toMatchObject({
        decision: { remaining: 6 },
      });
      await jsonEventually("reset", key, ...POLICY, ...argv);
      expect((await limiter.peek(key)).remaining).toBe(10);
    }
    await store.close();
  });

  test("inspect and reset find the key in the slot that calls give it, and not without", async () => {
    const store = await RedisStore.connect(inject("redisUrl"));
    const policy = tokenBucket({ limit: 10, period: "1h" });
    const key = `slot-${randomUUID()}`;
    const limiter = new RateLimiter({ store, policy, namespace: "cli", timeout: "30s" });
    await limiter.consume(key, { cost: 4, slot: "org:7" });
    const remaining = async (...argv: string[]): Promise<unknown> =>
      jsonEventually("inspect", key, ...POLICY, ...argv);
    expect(await remaining()).toMatchObject({ decision: { remaining: 10 } });
    expect(await remaining("--slot", "org:7")).toMatchObject({
      slot: "org:7",
      decision: { remaining: 6 },
    });
    const { stdout } = await eventually(() => sluice("inspect", key, ...POLICY, "--slot=org:7"));
    expect(stdout).toContain(`key ${key} in slot org:7 on `);
    await jsonEventually("reset", key, ...POLICY);
    expect(await remaining("--slot", "org:7")).toMatchObject({ decision: { remaining: 6 } });
    await jsonEventually("reset", key, ...POLICY, "--slot", "org:7");
    expect(await remaining("--slot", "org:7")).toMatchObject({ decision: { remaining: 10 } });
    await store.close();
    const process = fakeProcess({ env: { SLUICE_REDIS_URL: inject("redisUrl") } });
    expect(await run(["inspect", "k", ...POLICY, "--slot", ""], process.io)).toBe(2);
    expect(process.stderr()).toMatch(/slot/);
  });

  test.each([
    ["rot13", /--identity is sha256, plain or hmac$/m],
    ["sha25", /--identity is sha256, plain or hmac \(did you mean sha256\?\)/],
    ["hmac", /needs the secret in SLUICE_HMAC_SECRET/],
  ])("--identity %s without more is a usage error", async (how, message) => {
    const process = fakeProcess({ env: { SLUICE_REDIS_URL: inject("redisUrl") } });
    expect(await run(["inspect", "k", ...POLICY, "--identity", how], process.io)).toBe(2);
    expect(process.stderr()).toMatch(message);
  });

  test("inspect tells people what is left, under each of several policies", async () => {
    const policies = [
      { name: "burst", algorithm: "gcra", limit: 5, period: "1s", burst: 5 },
      { name: "daily", algorithm: "calendar-window", limit: 100, unit: "day" },
    ];
    const argv = ["inspect", "several", "--policy", JSON.stringify(policies), "--cost", "6"];
    const { stdout } = await eventually(async () => {
      const ended = await sluice(...argv);
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      return ended;
    });
    expect(stdout).toMatch(/gcra "burst".*\n.*5 of 5 left, full\n.*can never fit/);
    expect(stdout).toMatch(
      /calendar-window "daily".*\n.*100 of 100 left, full\n.*would be allowed/,
    );
  });

  test("reset says what it did", async () => {
    const { stdout } = await eventually(async () => {
      const ended = await sluice("reset", SHARED, ...POLICY);
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      return ended;
    });
    expect(stdout).toMatch(/^key shared-.* on redis:\/\/.*: reset, under 1 policy\n$/);
  });
});

describe("a Redis that cannot be reached", () => {
  for (const argv of [
    ["exercise", "k"],
    ["inspect", "k"],
    ["reset", "k"],
  ]) {
    test(`fails sluice ${argv[0]} without showing the password`, async () => {
      // Nothing listens on port 1.
      const url = "redis://ann:s3cret@127.0.0.1:1";
      const { code, stdout, stderr } = await sluice(
        ...argv,
        "--limit",
        "1",
        "--period",
        "1s",
        "--redis",
        url,
      );
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^sluice: .*127\.0\.0\.1:1/);
      expect(stderr).not.toContain("s3cret");
    });
  }
});

describe("the program", () => {
  let built: BuiltProgram;
  beforeAll(async () => {
    built = await buildProgram(["redis"]);
  });
  afterAll(() => built.remove());

  test("ends at Ctrl-C with what it did, and its log whole", async () => {
    const log = join(built.directory, "interrupted.jsonl");
    const argv = [
      "exercise",
      "interrupted",
      "--calls",
      "100000",
      "--delay",
      "10ms",
      "--log",
      log,
      "--json",
    ];
    const { child, ended } = startNode([built.cli, ...argv]);
    while ((await readFile(log, "utf8").catch(() => "")).split("\n").length < 5) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(stdout) as { attempted: number; interrupted: boolean };
    expect(result.interrupted).toBe(true);
    const records = (await readFile(log, "utf8")).trimEnd().split("\n").length - 1;
    expect(records).toBe(result.attempted);
  });

  test("minds no reader that has seen enough", async () => {
    const { child, ended } = startNode([built.cli, "exercise", "--help"]);
    child.stdout?.destroy();
    await once(child, "exit");
    expect((await ended).stderr).toBe("");
  });

  test("exits with the command's code", async () => {
    expect((await startNode([built.cli, "exercise", "--nonsense"]).ended).code).toBe(2);
    const none = join(built.directory, "none.jsonl");
    expect((await startNode([built.cli, "audit", none]).ended).code).toBe(2);
  });
});

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Decision, MemoryStore, RateLimiter, tokenBucket } from "sluice";
import { headerLine, keyId, recordLine } from "sluice/audit";
import { ManualClock } from "sluice/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FakeOptions, fakeProcess } from "../test/io.js";
import { run } from "./run.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-cli-"));
});
afterAll(() => rm(directory, { recursive: true }));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function sluice(argv: readonly string[], options: FakeOptions = {}): Promise<Finished> {
  const process = fakeProcess(options);
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

/** A few quick calls in memory, as a result in JSON. */
async function exercise(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await sluice([
    "exercise",
    "demo",
    "--delay",
    "0",
    "--json",
    ...argv,
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("sluice", () => {
  test("without a command shows the commands and fails as a wrong command line", async () => {
    const { code, stdout, stderr } = await sluice([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("exercise  call a limiter");
  });

  test("shows help where it is asked for", async () => {
    for (const argv of [["--help"], ["help"], ["-h"]]) {
      const { code, stdout, stderr } = await sluice(argv);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain("Commands:");
    }
    for (const name of ["exercise", "audit", "inspect", "reset"]) {
      for (const argv of [
        [name, "--help"],
        [name, "-h"],
        ["help", name],
      ]) {
        const { code, stdout } = await sluice(argv);
        expect(code).toBe(0);
        expect(stdout).toContain(`Usage: sluice ${name}`);
        expect(stdout).toMatch(/Examples?:/);
        expect(stdout).toContain("Exit codes: 0");
      }
    }
  });

  test("keeps to ASCII where the terminal has nothing else", async () => {
    const { stdout } = await sluice(["audit", "--help"], { env: { LANG: "C" } });
    expect(stdout).toMatch(/^[\n -~]*$/);
  });

  test("shows its version", async () => {
    const { code, stdout } = await sluice(["--version"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  const wrongs: [argv: string[], message: string | RegExp][] = [
    [
      ["exercize"],
      "sluice: unknown command exercize (did you mean exercise?)\nSee sluice --help\n",
    ],
    [["benhc"], /unknown command benhc \(did you mean bench\?\)/],
    [["constructor"], /^sluice: unknown command constructor\n/],
    [["--verbose"], /^sluice: unknown option --verbose/],
    [["exercise"], "sluice: <key> is missing\nSee sluice exercise --help\n"],
    [["exercise", "k", "--limt", "1"], /unknown option --limt \(did you mean --limit\?\)/],
    [["exercise", "k", "--calls", "0"], /--calls "0" is not a whole number from 1/],
    [["exercise", "k", "--cost", "0.0001"], /--cost "0.0001" is not a number of whole thousandths/],
    [["exercise", "k", "--namespace", "a b"], /namespace: "a b" is not allowed/],
    [["exercise", "\ud800"], /key: .* is not allowed/],
    [["audit"], /FILE is missing/],
    [["audit", "a", "a"], /given twice/],
    [["inspect", "k", "--limit", "1", "--period", "1s"], /a store outside this process is needed/],
    [["reset", "k", "--limit", "1", "--period", "1s"], /Give --redis URL or set SLUICE_REDIS_URL/],
    [["reset", "k", "--redis", "redis://h"], /--limit is missing/],
    [["inspect", "k", "--limit", "1", "--period", "1s", "--redis", ""], /--redis needs a URL/],
  ];
  for (const [argv, message] of wrongs) {
    test(`exits with 2 and says why: ${JSON.stringify(argv)}`, async () => {
      const { code, stdout, stderr } = await sluice(argv);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(message);
    });
  }

  test("never repeats a password", async () => {
    const url = "redis://ann:s3cret@host";
    const results = [
      await sluice(["inspect", "k", url]),
      await sluice(["exercise", "k", `--redis=${url}`, "--limit", "x"]),
      await sluice(["exercise", "k", url], { env: { SLUICE_REDIS_URL: url } }),
    ];
    for (const { code, stderr } of results) {
      expect(code).toBe(2);
      expect(stderr).not.toContain("s3cret");
    }
  });
});

describe("sluice exercise", () => {
  test("counts what a limiter in memory allows and denies", async () => {
    const result = await exercise(
      "--limit",
      "3",
      "--period",
      "1h",
      "--calls",
      "40",
      "--concurrency",
      "4",
    );
    expect(result).toMatchObject({
      key: "demo",
      keyId: keyId("demo"),
      store: "memory",
      attempted: 40,
      allowed: 3,
      denied: 37,
      degraded: 0,
      failed: 0,
      failures: [],
      interrupted: false,
      log: null,
    });
    const { p50, p99, max } = result["latencyUs"] as Record<"p50" | "p99" | "max", number>;
    expect([p50, p99, max]).toEqual([p50, p99, max].sort((a, b) => a - b));
  });

  test("reports and plots for people", async () => {
    const argv = ["exercise", "demo", "--calls", "30", "--delay", "0", "--period", "1h"];
    const { code, stdout, stderr } = await sluice(argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("policy     token-bucket");
    expect(stdout).toMatch(/attempted {2}30 \(.*\/s\) in .*, one at a time/);
    expect(stdout).toMatch(/allowed {4}10 \(/);
    expect(stdout).toMatch(/20 denied, per/);
    expect(stdout).not.toContain("\u001b");
  });

  test("that waits reports for people how late starts came", async () => {
    const policy = ["--limit", "100", "--period", "100ms", "--burst", "2"];
    const load = ["--calls", "5", "--delay", "0", "--concurrency", "5", "--wait", "10s"];
    const { code, stdout } = await sluice(["exercise", "demo", ...policy, ...load]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}allowed {4}5 /m);
    expect(stdout).toMatch(/^ {2}lateness {3}p50 \S+ \S+, p99 \S+ \S+, longest \S+ \S+$/m);
    expect((await sluice(["exercise", "demo", "--calls", "1"])).stdout).not.toContain("lateness");
  });

  test.each([
    ["a bucket", ["--limit", "2"]],
    [
      "a queue that has no room",
      ["--algorithm", "leaky-bucket", "--limit", "2", "--capacity", "2"],
    ],
  ])("counts who would wait too long as denied, and logs the decision: %s", async (of, policy) => {
    const log = join(directory, `${of}.jsonl`);
    const load = ["--calls", "5", "--delay", "0", "--wait", "0", "--log", log];
    const argv = ["exercise", "k", ...policy, "--period", "1h", ...load, "--json"];
    const { code, stdout } = await sluice(argv);
    expect(code).toBe(0);
    const { allowed, denied, failed } = JSON.parse(stdout) as Record<string, number>;
    expect(failed).toBe(0);
    expect((allowed ?? 0) + (denied ?? 0)).toBe(5);
    expect(denied).toBeGreaterThan(0);
    expect((await sluice(["audit", log])).stdout).toContain("PASSED");
  });

  test("shows its progress on stderr, to people only", async () => {
    const argv = ["exercise", "demo", "--calls", "30", "--delay", "0"];
    const { stderr, stdout } = await sluice(argv, { isTTY: true });
    expect(stderr).toMatch(/█|░/);
    expect(stderr.endsWith("\r\u001b[2K")).toBe(true);
    expect(stdout).toContain("\u001b[36m");
    expect((await sluice(argv, { isTTY: true, env: { NO_COLOR: "1" } })).stdout).not.toContain(
      "\u001b",
    );
  });

  test("ends cleanly when interrupted, with what was done", async () => {
    const process = fakeProcess();
    const file = join(directory, "interrupted.jsonl");
    const argv = [
      "exercise",
      "demo",
      "--calls",
      "100000",
      "--delay",
      "10m",
      "--log",
      file,
      "--json",
    ];
    const running = run(argv, process.io);
    while ((await readFile(file, "utf8").catch(() => "")).split("\n").length < 3) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.interrupt();
    expect(await running).toBe(0);
    expect(JSON.parse(process.stdout())).toMatchObject({ attempted: 1, interrupted: true });
    expect((await sluice(["audit", file])).code).toBe(0);
  });

  test("fails before the first call where the log cannot be written", async () => {
    const { code, stderr } = await sluice([
      "exercise",
      "demo",
      "--log",
      join(directory, "no", "such.jsonl"),
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sluice: ENOENT/);
  });

  test("logs no raw key", async () => {
    const file = join(directory, "hashed.jsonl");
    await exercise("--calls", "5", "--log", file);
    const text = await readFile(file, "utf8");
    expect(text).toContain(keyId("demo"));
    expect(text).not.toContain("demo");
  });
});

describe("sluice audit", () => {
  const policies: [title: string, argv: string[]][] = [
    ["token bucket", ["--limit", "1000", "--period", "1s", "--burst", "3"]],
    ["token bucket, interval", ["--limit", "7", "--period", "3ms", "--refill", "interval"]],
    ["gcra", ["--algorithm", "gcra", "--limit", "0.7", "--period", "1ms", "--cost", "0.3"]],
    [
      "leaky bucket",
      ["--algorithm", "leaky-bucket", "--limit", "7", "--period", "3ms", "--capacity", "5"],
    ],
    ["fixed window", ["--algorithm", "fixed-window", "--limit", "20", "--period", "2ms"]],
    [
      "fixed window, first",
      ["--algorithm", "fixed-window", "--limit", "20", "--period", "2ms", "--align", "first"],
    ],
    ["calendar window", ["--algorithm", "calendar-window", "--limit", "90", "--unit", "minute"]],
    ["sliding window", ["--algorithm", "sliding-window", "--limit", "20", "--period", "2ms"]],
    ["sliding log", ["--algorithm", "sliding-log", "--limit", "20", "--period", "2ms"]],
    ["no limit", ["--algorithm", "unlimited"]],
    ["nothing", ["--limit", "0", "--period", "1s"]],
    [
      "two policies",
      [
        "--policy",
        '[{"name":"a","algorithm":"gcra","limit":9,"period":"1ms"},{"name":"b","algorithm":"sliding-log","limit":50,"window":"1m"}]',
      ],
    ],
  ];
  for (const [title, argv] of policies) {
    test(`passes the log of an exercise: ${title}`, async () => {
      const file = join(directory, `${title}.jsonl`);
      const { allowed } = await exercise(
        ...argv,
        "--calls",
        "600",
        "--concurrency",
        "3",
        "--log",
        file,
      );
      const { code, stdout } = await sluice(["audit", file, "--json"]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ passed: true, tally: { records: 600, allowed } });
      const text = await sluice(["audit", file]);
      expect(text).toMatchObject({ code: 0, stderr: "" });
      expect(text.stdout).toContain("✓ replay matches: all 600 decisions are the kernel's own");
      expect(text.stdout).toMatch(/PASSED\n$/);
    });
  }

  test("reads standard input", async () => {
    const log = await brokenLog("sound", (limiter) => limiter.consumeSync("k"));
    const stdin = await readFile(log, "utf8");
    const { code, stdout } = await sluice(["audit", "-"], { stdin });
    expect(code).toBe(0);
    expect(stdout).toContain("from (standard input)");
  });

  test("audits against another policy on demand", async () => {
    const log = await brokenLog("strict", (limiter) => limiter.consumeSync("k"));
    const policy = JSON.stringify(tokenBucket({ limit: 10, period: "1s", burst: 1 }));
    const { code, stdout } = await sluice(["audit", log, "--policy", policy]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/✗ bound {2}is refuted: ≤ 1 \+ 10·D \/ 1 s in every interval/);
    expect(stdout).toMatch(/admitted 5, at most 1\.04 allowed: 3\.96 too many/);
  });

  test("names a file that is no log", async () => {
    const file = join(directory, "noise.jsonl");
    await writeFile(file, "hello\n");
    expect(await sluice(["audit", file])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: `sluice: ${file}:1: not a line of JSON (cut short?): "hello"\n`,
    });
    const missing = join(directory, "missing.jsonl");
    expect((await sluice(["audit", missing])).stderr).toContain(
      `${missing}: cannot be read: ENOENT`,
    );
  });

  test("shows the first keys of many, and all of them as JSON", async () => {
    const log = await brokenLog("many", (limiter, call) => limiter.consumeSync(`k${call}`), true);
    const { stdout } = await sluice(["audit", log]);
    expect(stdout).toContain("and 2 more keys, all passed");
    const json = JSON.parse((await sluice(["audit", log, "--json"])).stdout) as { keys: unknown[] };
    expect(json.keys).toHaveLength(12);
  });
});

describe("sluice audit refutes a limiter that is broken", () => {
  test("by one unit too many", async () => {
    const generous = tokenBucket({ limit: 10, period: "1s", burst: 6 });
    const log = await brokenLog("generous", (limiter) =>
      limiter.consumeSync("k", { policy: generous }),
    );
    const { code, stdout } = await sluice(["audit", log]);
    expect(code).toBe(1);
    expect(stdout).toContain("✗ bound  is refuted: ≤ 5 + 10·D / 1 s");
    expect(stdout).toMatch(/admitted 6, at most 5\.05 allowed: 0\.95 too many/);
    // Its first answer already promises too much.
    expect(stdout).toContain(`✗ replay fails at ${log}:2, after 0 decisions that match`);
    expect(stdout).toMatch(/REFUTED on 1 of 1 key\n$/);
  });

  test("by one unit too many, however it hides it", async () => {
    let taken = 0;
    const log = await brokenLog("secretive", (limiter) => {
      const decision = limiter.consumeSync("k");
      if (decision.allowed || taken++ > 0) return decision;
      return { ...decision, allowed: true, reason: "ok", retryAfterMs: 0 };
    });
    const { code, stdout } = await sluice(["audit", log]);
    expect(code).toBe(1);
    expect(stdout).toContain("✗ bound  is refuted");
    expect(stdout).toContain(`✗ replay fails at ${log}:7, after 5 decisions that match`);
  });

  test("by denying everything", async () => {
    const log = await brokenLog("stingy", (limiter) => ({
      ...limiter.consumeSync("k"),
      allowed: false,
      reason: "quota",
    }));
    const { code, stdout } = await sluice(["audit", log]);
    expect(code).toBe(1);
    expect(stdout).toContain("✓ bound  holds");
    expect(stdout).toContain(`✗ replay fails at ${log}:2, after 0 decisions that match`);
    expect(stdout).toMatch(/logged {2}denied, reason quota, granted 0, remaining 4/);
    expect(stdout).toMatch(/kernel {2}allowed, reason ok, granted 1, remaining 4/);
  });

  test("by a wrong remaining", async () => {
    let calls = 0;
    const log = await brokenLog("miscounting", (limiter) => {
      const decision = limiter.consumeSync("k");
      calls += 1;
      return calls === 3 ? { ...decision, remaining: decision.remaining + 1 } : decision;
    });
    const { code, stdout } = await sluice(["audit", log]);
    expect(code).toBe(1);
    expect(stdout).toContain("✓ bound  holds");
    expect(stdout).toContain(`✗ replay fails at ${log}:4, after 2 decisions that match`);
    expect(stdout).toMatch(/logged .*remaining 3/);
    expect(stdout).toMatch(/kernel .*remaining 2/);
  });
});

/** The log of twelve calls, 1 ms apart, to a limiter of 5 units and 10 a second, or to what is made of it. */
async function brokenLog(
  name: string,
  consume: (limiter: RateLimiter<MemoryStore>, call: number) => Decision,
  manyKeys = false,
): Promise<string> {
  const clock = new ManualClock();
  const policy = tokenBucket({ limit: 10, period: "1s", burst: 5 });
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  const lines = [headerLine([policy])];
  for (let call = 0; call < 12; call++) {
    const key = manyKeys ? keyId(`k${call}`) : keyId("k");
    lines.push(recordLine({ key, cost: 1 }, consume(limiter, call)));
    clock.advance(1);
  }
  const file = join(directory, `${name}.jsonl`);
  await writeFile(file, lines.join(""));
  return file;
}

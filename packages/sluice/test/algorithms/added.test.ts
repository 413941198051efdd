/**
 * An algorithm is a folder and a line: this test puts the line into the list, and the folder's tools.ts among those
 * that `npm run generate` finds, and changes nothing else.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import { run } from "../../../cli/src/run.js";
import { InvalidOptionError, MemoryStore, parsePolicy, RateLimiter } from "../../src/index.js";
import { ManualClock, storeConformance } from "../../src/testing/index.js";
import { makeTrace } from "../../src/testing/trace.js";
import { record, START_US } from "../support/records.js";
import { fakeProcess } from "../../../cli/test/io.js";

vi.mock("../../src/algorithms/list.js", async (original) => {
  const { algorithms } = await original<{ algorithms: readonly unknown[] }>();
  const { cooldownAlgorithm } = await import("./cooldown/policy.js");
  return { algorithms: [...algorithms, cooldownAlgorithm] };
});

vi.mock("../../src/algorithms/generated.js", async (original) => {
  const { algorithmTools } = await original<{ algorithmTools: readonly unknown[] }>();
  const { cooldownTools } = await import("./cooldown/tools.js");
  return { algorithmTools: [...algorithmTools, cooldownTools] };
});

const options = { algorithm: "cooldown", limit: 2, period: "1s" };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-added-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function sluice(...argv: readonly string[]) {
  const process = fakeProcess();
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

describe("an algorithm that was added", () => {
  test("is parsed, and named among those there are", () => {
    expect(parsePolicy(options)).toEqual({ ...options, name: "cooldown", period: 1000 });
    expect(() => parsePolicy({ ...options, limit: -1 })).toThrow(InvalidOptionError);
    expect(() => parsePolicy({ algorithm: "warmup" })).toThrow('or "unlimited" or "cooldown"');
  });

  test("decides for a limiter in memory", async () => {
    const clock = new ManualClock();
    const policy = parsePolicy(options);
    await using limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    expect(limiter.consumeSync("k", { cost: 2 }).allowed).toBe(true);
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: false, retryAfterMs: 1000 });
    clock.advance(1000);
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: true, remaining: 1 });
  });

  test("has its bound proved, and refuted", () => {
    const policy = parsePolicy(options);
    const [first, second] = [
      record({ atUs: START_US, granted: 1 }),
      record({ atUs: START_US + 999_999, granted: 1 }),
    ];
    expect(checkBound(policy, [first, second]).holds).toBe(true);
    const third = record({ atUs: START_US + 999_999, granted: 0.001 });
    expect(checkBound(policy, [first, second, third]).holds).toBe(false);
  });

  test("is known to the command line, from its options to the audit of its log", async () => {
    const log = join(directory, "cooldown.jsonl");
    const policy = ["--algorithm", "cooldown", "--limit", "3", "--period", "5ms"];
    const load = ["--calls", "20", "--delay", "1ms", "--log", log];
    const exercised = await sluice("exercise", "k", ...policy, ...load);
    expect(exercised).toMatchObject({ code: 0, stderr: "" });
    expect(exercised.stdout).toContain('cooldown "cooldown": 3, then 5 ms of rest');
    const audited = await sluice("audit", log);
    expect(audited.code).toBe(0);
    expect(audited.stdout).toContain("≤ 3 in any 5 ms");
    expect(audited.stdout).toContain("PASSED");
    const { stderr } = await sluice("exercise", "k", "--algorithm", "cooldown", "--burst", "3");
    expect(stderr).toContain("--burst is for token-bucket, gcra; the algorithm is cooldown");
    expect((await sluice("exercise", "--help")).stdout).toContain(
      "sliding-log, unlimited, cooldown",
    );
  });

  test("is refuted by the command line where its log shows too much", async () => {
    const log = join(directory, "broken.jsonl");
    const line = { key: "k", cost: 1, allowed: true, granted: 1, remaining: 0, retryAfterMs: 0 };
    const lines = [0, 10, 20].map((atUs) =>
      JSON.stringify({ atUs, ...line, resetAfterMs: 1000, reason: "ok", source: "store" }),
    );
    await writeFile(log, [`{"sluice":1,"policy":${JSON.stringify(options)}}`, ...lines].join("\n"));
    const { code, stdout } = await sluice("audit", log);
    expect(code).toBe(1);
    expect(stdout).toContain("is refuted: ≤ 2 in any 1 s");
  });

  test("is drawn by the random traces, and conforms in memory with its worked examples", async () => {
    const traces = Array.from({ length: 100 }, (_, seed) => makeTrace(seed, 1));
    const drawn = traces.flatMap(({ variants }) => variants.flat());
    expect(drawn.map(({ algorithm }): string => algorithm)).toContain("cooldown");
    const cases = storeConformance({
      createStore: (clock) => new MemoryStore({ clock }),
      traces: 20,
      tracesPerCase: 20,
    });
    expect(cases.map(({ name }) => name)).toContain(
      "cooldown: what is admitted puts off the end of the rest, what is denied does not",
    );
    for (const { run: play } of cases) await play();
  });
});

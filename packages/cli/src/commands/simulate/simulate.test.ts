import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixedWindow, MemoryStore, RateLimiter } from "sluice";
import { AttemptLog } from "sluice/log";
import { consumeRulesUpTo, PolicySet, resetRuleKey } from "sluice/policies";
import { ManualClock } from "sluice/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fakeProcess } from "../../../test/io.js";
import { run } from "../../run.js";

const START_MS = 1_767_225_600_000;
const HOUR_MS = 3_600_000;

let directory: string;
let log: string;

/** Users 0 to 19 call as often as their number in each of 48 hours, of which 12 are allowed. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-simulate-"));
  log = join(directory, "api.jsonl");
  const clock = new ManualClock(START_MS);
  const policy = fixedWindow({ name: "api", limit: 12, window: "1h" });
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  const attempts = new AttemptLog({ file: log });
  attempts.add(limiter, { name: "edge" });
  for (let hour = 0; hour < 48; hour++) {
    for (let user = 0; user < 20; user++) {
      for (let call = 0; call < user; call++) limiter.consumeSync(`user:${user}`);
    }
    clock.advance(HOUR_MS);
  }
  await attempts.close();
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function sluice(argv: readonly string[], options: Parameters<typeof fakeProcess>[0] = {}) {
  const process = fakeProcess(options);
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

const POLICY = ["--policy", "fixed-window:name=api,limit=10,period=1h"];

describe("sluice simulate", () => {
  test("shows what changes, on which keys, and when", async () => {
    const { code, stdout, stderr } = await sluice(["simulate", log, ...POLICY, "--suggest", "90"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(
      stdout
        .replace(log, "api.jsonl")
        .replaceAll(/edge@\S+/g, "edge")
        .replace(/^replay .*/m, "replay  SPAN"),
    ).toMatchInlineSnapshot(`
      "read    9,120 attempts on 19 keys from api.jsonl
      time    2026-01-01 00:00:00.000000 → 2026-01-02 23:00:00.000000 UTC, 1 d 23 h
      replay  SPAN
      before  the answers in the log
      after   fixed-window "api": 10 in each window of 1 h, aligned to the clock
      note    callers who retry behave differently: the attempts are those of the log

                               before           after
      attempts denied  1,344 (14.7 %)  2,160 (23.7 %)
      keys touched         7 (36.8 %)      9 (47.4 %)

      newly denied   816 attempts on 9 keys
      newly allowed  0 attempts on 0 keys

      denied by rule  attempts  before  after  newly denied  newly allowed  keys touched
      api                9,120   1,344  2,160           816              0       9 of 19

      denied most anew, by id                   attempts  before  after  newly denied  newly allowed
      edge YTNloFbgwaInyUizXsdGoQ       576       0     96            96              0
      edge Z2fYZMFkohyLkA8pq8WvQQ       624      48    144            96              0
      edge YjkGITUhB7pGmvgih0u0Uw       672      96    192            96              0
      edge lEkXH2abyuMKEYXCaYAFtA       720     144    240            96              0
      edge gAXha-r4Nb702KX81UMSAQ       768     192    288            96              0
      edge 4L0kDQVzGoqDCsRiZNvYVQ       816     240    336            96              0
      edge 8lbpSfTkC6NOqdaj0LqFJg       864     288    384            96              0
      edge zjWS3NlRMTQizVLbwjOj9A       912     336    432            96              0
      edge p4iS2ZOw6nhaLy-tPbW-yw       528       0     48            48              0

            6,960 allowed, per 1 h
        160 ┤▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅
            │████████████████████████████████████████████████
         80 ┤████████████████████████████████████████████████
            │████████████████████████████████████████████████
          0 └────────────────────────────────────────────────
            2,160 denied, per 1 h
         50 ┤▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅
            │████████████████████████████████████████████████
         25 ┤████████████████████████████████████████████████
            │████████████████████████████████████████████████
          0 └┬───────────┬───────────┬───────────┬───────────
             0 d         0.5 d       1 d         1.5 d       2 d

      newly denied   ████████████████████████████████████████████████
                     most: 17 in the 1 h from 2026-01-01 00:00:00 UTC

      the least limits that deny nothing to 90 % of the keys
        api: fixed-window "api": 18 in each window of 1 h, aligned to the clock
          touches 1 of 19 keys; the limit simulated touches 9
        with the same period or window, the bucket in proportion, each rule by itself
      "
    `);
  });

  test("finds nothing to change by the policy of the log", async () => {
    const argv = [
      "simulate",
      log,
      "--policy",
      "fixed-window:name=api,limit=12,period=1h",
      "--json",
    ];
    const { code, stdout } = await sluice(argv);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      all: { attempts: 9120, keys: 19, newlyDenied: 0, newlyAllowed: 0, deniedAfter: 28 * 48 },
      rules: [{ rule: "api", votes: true, deniedBefore: 28 * 48 }],
      keys: [],
      durationMs: expect.any(Number) as unknown,
      attemptsPerSecond: expect.any(Number) as unknown,
      timeline: { stepUs: 3_600_000_000 },
      suggestions: null,
    });
  });

  test("shows on a terminal how far it is", async () => {
    const { code, stdout, stderr } = await sluice(["simulate", log, ...POLICY], { isTTY: true });
    expect(code).toBe(0);
    expect(stderr).toContain("bytes read");
    expect(stderr.endsWith("\r\u001b[2K")).toBe(true);
    expect(stdout).toContain("\u001b[31m");
  });

  test("reads standard input", async () => {
    const { code, stdout } = await sluice(["simulate", "-", "--limit", "1", "--period", "1h"], {
      stdin:
        '{"sluice":1,"policy":{"algorithm":"gcra","limit":9,"period":"1s"}}\n' +
        '{"atUs":1,"key":"k","cost":1,"allowed":true,"granted":1,"remaining":0,"retryAfterMs":0,"resetAfterMs":1,"reason":"ok","source":"store"}\n',
    });
    expect(code).toBe(0);
    expect(stdout).toContain("read    1 attempt on 1 key from (standard input)");
  });

  test("of a log with several limiters wants to know which", async () => {
    const both = join(directory, "both.jsonl");
    const attempts = new AttemptLog({ file: both });
    for (const name of ["one", "two"]) {
      const limiter = new RateLimiter({ policy: fixedWindow({ limit: 1, window: "1h" }) });
      attempts.add(limiter, { name });
      limiter.consumeSync("k");
    }
    await attempts.close();
    const { code, stderr } = await sluice(["simulate", both, ...POLICY]);
    expect(code).toBe(2);
    expect(stderr).toContain("the logs are of the limiters one, two: say which with --limiter");
    const one = await sluice(["simulate", both, ...POLICY, "--limiter", "one", "--json"]);
    expect(JSON.parse(one.stdout)).toMatchObject({ all: { attempts: 1 } });
  });

  test.each([
    [[], "LOG is missing"],
    [["a", "a", ...POLICY], "a LOG is given twice"],
    [["a"], "--limit is missing"],
    [["a", ...POLICY, "--suggest", "0"], "--suggest 0 would let a limit deny every key"],
    [["a", ...POLICY, "--suggest", "101"], '--suggest "101" is not a number from 0 to 100'],
    [["/no/such.jsonl", ...POLICY], "/no/such.jsonl: cannot be read"],
    [["a", "--policy", "gcra:limit"], '--policy "limit" is not OPTION=VALUE'],
    [["a", "--policy", "gcra:perod=1s"], '--policy has no option "perod" (did you mean period?)'],
    [["a", "--policy", "bucket:limit=1"], '--algorithm "bucket" is not one of'],
  ])("refuses %j", async (argv, why) => {
    const options = argv.length === 0 ? POLICY : [];
    const { code, stdout, stderr } = await sluice(["simulate", ...argv, ...options]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(why);
  });

  test("refuses a log that is none, by its line", async () => {
    const file = join(directory, "none.jsonl");
    writeFileSync(file, "hello\n");
    const { code, stderr } = await sluice(["simulate", file, ...POLICY]);
    expect(code).toBe(2);
    expect(stderr).toContain(`${file}:1: not a line of JSON`);
  });
});

test("a note counts what a replay of requests does otherwise", async () => {
  const file = join(directory, "requests.jsonl");
  const policies = join(directory, "policies.json");
  const policy = { algorithm: "fixed-window", limit: 9, window: "1h" } as const;
  const document = { rules: ["api", "site"].map((name) => ({ name, key: ["user"], policy })) };
  writeFileSync(policies, JSON.stringify(document));
  const rules = new PolicySet({ source: document });
  const attempts = new AttemptLog({ file });
  attempts.add(rules);
  const request = { entries: { user: "ann" }, cost: 3 };
  await rules.consume(request);
  await consumeRulesUpTo(rules, request);
  for (const rule of ["api", "site"]) await resetRuleKey(rules, { rule, entries: request.entries });
  await attempts.close();
  await rules.close();
  const { stdout } = await sluice(["simulate", file, "--policies", policies]);
  expect(stdout).toContain(
    "1 request for a part or a start ahead, of several rules: a set asks them one by one, the replay together",
  );
  expect(stdout).toContain("2 changes of a rule's key by a reset or an unblock, not replayed");
  const { stdout: json } = await sluice(["simulate", file, "--policies", policies, "--json"]);
  expect(JSON.parse(json)).toMatchObject({ askedApart: 1, keysChanged: 2 });
});

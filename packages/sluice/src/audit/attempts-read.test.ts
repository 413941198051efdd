import { describe, expect, test } from "vitest";
import { fixedWindow, type Policy, tokenBucket } from "../index.js";
import { auditLogs } from "./audit.js";
import type { AttemptAuditReport } from "./attempt-audit.js";
import { endLine, lostLine, ruleLine, sessionLine } from "./attempt-record.js";
import { LogError } from "./log.js";
import { recordLine } from "./record.js";

const START_US = 1_767_225_600_000_000;
const MINUTE_US = 60e6;
const bucket = tokenBucket({ limit: 2, period: "1h" });

const session = (name: string, part = 1, sample = 1): string =>
  sessionLine({ session: name, part, sample });
const rule = (policies: readonly Policy[] = [bucket], number = 1, limiter = "api"): string =>
  ruleLine({ rule: number, limiter, policies });

interface Made {
  readonly atUs?: number;
  readonly key?: string;
  readonly remaining?: number;
  readonly verb?: "refund";
  readonly limiter?: string;
  readonly source?: "store" | "local" | "fallback";
}

/** An allowed call of one unit. */
function took(made: Made = {}): string {
  const { atUs = 0, key = "k", remaining = 1, verb, limiter = "api", source = "store" } = made;
  const call = { key, cost: 1, rule: { rule: 1, limiter, policy: "token-bucket" } };
  return recordLine(verb === undefined ? call : { ...call, verb }, {
    allowed: true,
    reason: "ok",
    limit: 2,
    remaining,
    retryAfterMs: 0,
    windowMs: 3_600_000,
    resetAfterMs: Math.max(0, 2 - remaining) * 1_800_000,
    decidedAtUs: START_US + atUs,
    policy: "token-bucket",
    source,
  });
}

/** Three units, where two fit. */
const three = (at = 0, key = "k"): string =>
  [took({ atUs: at, key }), took({ atUs: at, key, remaining: 0 })].join("") +
  took({ atUs: at + 1, key, remaining: 0 });

async function audited(...texts: string[]): Promise<AttemptAuditReport> {
  const sources = texts.map((text, i) => {
    const open = async function* () {
      yield text;
    };
    return { name: `log-${i}`, open };
  });
  const { of, report } = await auditLogs(sources);
  if (of !== "attempts") throw new Error(`a log of ${of}`);
  return report;
}

describe("units that may have been given back without a record", () => {
  const used = took({ atUs: -MINUTE_US, key: "other", verb: "refund", remaining: 2 });

  test.each([
    ["nothing missing", session("a") + rule() + used + three() + endLine("a"), false],
    ["no end of the session", session("a") + rule() + used + three(), true],
    ["no end, where nothing is given back", session("a") + rule() + three(), false],
    [
      "no part between",
      session("a") + rule() + used + session("a", 3) + rule() + three() + endLine("a"),
      true,
    ],
    [
      "no beginning, long after it",
      session("a", 4) + rule() + used + three(5 * MINUTE_US) + endLine("a"),
      false,
    ],
    [
      "lines lost of a limiter that gave back",
      session("a") +
        rule() +
        took({ key: "other" }) +
        lostLine(2, ["api"]) +
        three() +
        endLine("a"),
      true,
    ],
    [
      "lines lost long before",
      session("a") +
        rule() +
        took({ key: "other", atUs: -9 * MINUTE_US }) +
        lostLine(2, ["api"]) +
        took({ key: "more", atUs: -8 * MINUTE_US }) +
        three() +
        endLine("a"),
      false,
    ],
    [
      "lines lost of another limiter",
      session("a") + rule() + lostLine(2, ["jobs"]) + three() + endLine("a"),
      false,
    ],
    [
      "lines lost that gave nothing back",
      session("a") + rule() + lostLine(2, []) + three() + endLine("a"),
      false,
    ],
  ])("with %s", async (_, text, passes) => {
    expect((await audited(text)).passed).toBe(passes);
  });

  test.each(["local", "fallback"] as const)(
    "that another answered for with something are no less in doubt: %s",
    async (source) => {
      const answered = took({ verb: "refund", remaining: 2, source });
      const text = session("a") + rule() + used + answered + three() + endLine("a");
      expect((await audited(text)).passed).toBe(true);
    },
  );

  test("of another process count too", async () => {
    const whole = session("a") + rule() + three() + endLine("a");
    const killed = session("b") + rule() + used;
    expect((await audited(whole)).passed).toBe(false);
    expect((await audited(whole, killed)).passed).toBe(true);
    expect((await audited(whole, killed + endLine("b"))).passed).toBe(false);
  });
});

describe("logs of several processes", () => {
  test("are of one state for a limiter's name and key, in any order of the files", async () => {
    const first = session("a") + rule() + took() + endLine("a");
    const second = session("b") + rule() + took({ atUs: 1, remaining: 0 }) + endLine("b");
    const third = session("c") + rule() + took({ atUs: 2, remaining: 0 }) + endLine("c");
    expect(await audited(second, first)).toMatchObject({ passed: true, keyCount: 1, matched: 2 });
    expect((await audited(third, second, first)).passed).toBe(false);
  });

  test("in memory are each of their own", async () => {
    const inMemory = (name: string): string =>
      session(name) +
      ruleLine({ rule: 1, limiter: "api", store: name, policies: [bucket] }) +
      took() +
      took({ remaining: 0, atUs: 1 }) +
      endLine(name);
    expect(await audited(inMemory("a"), inMemory("b"))).toMatchObject({
      passed: true,
      keyCount: 2,
    });
  });

  test("that sample differently are audited for the smallest sample", async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
    const all = session("a") + rule() + keys.map((key) => took({ key })).join("") + endLine("a");
    const few = session("b", 1, 0.25) + rule() + endLine("b");
    expect((await audited(all)).keyCount).toBe(40);
    const { keyCount, sample } = await audited(all, few);
    expect(sample).toBe(0.25);
    expect(keyCount).toBeGreaterThan(0);
    expect(keyCount).toBeLessThan(25);
  });
});

describe("what a log lacks", () => {
  test("makes answers stricter, and refutes nothing", async () => {
    const text = session("a") + rule() + took({ remaining: 0 }) + endLine("a");
    expect(await audited(text)).toMatchObject({ passed: true, stricter: 1, matched: 0 });
  });

  test("may move windows that begin with a call: then they are not refuted", async () => {
    const policies = [fixedWindow({ limit: 1, window: "1s", align: "first" })];
    const admitted = (atUs: number): string => took({ atUs, remaining: 0 });
    const calls = admitted(0) + admitted(900_000);
    const text = session("a") + rule(policies) + calls;
    expect(await audited(text)).toMatchObject({ passed: true, incomplete: 1 });
    const clock = [fixedWindow({ limit: 1, window: "1s" })];
    expect((await audited(session("a") + rule(clock) + calls)).passed).toBe(false);
  });

  test("at the end of a file is a line cut short; anywhere else it is no log", async () => {
    const text = session("a") + rule() + took();
    expect(await audited(`${text}{"atUs":17`)).toMatchObject({ torn: 1, passed: true });
    await expect(audited(`${text}{"atUs":17\n${took({ atUs: 1, remaining: 0 })}`)).rejects.toThrow(
      "log-0:4: not a line of JSON",
    );
  });
});

test("a change of options leaves a key whose state nobody knows", async () => {
  const wide = tokenBucket({ limit: 4, period: "1h" });
  const other = took({ atUs: 2, remaining: 3 }).replace('"rule":1', '"rule":2');
  const text = session("a") + rule() + rule([wide], 2) + took() + other + took({ atUs: 3 });
  expect(await audited(text + endLine("a"))).toMatchObject({ passed: true, keyCount: 1 });
});

describe("what is no log of attempts is refused", () => {
  const head = session("a") + rule();
  test.each([
    ["log-0:2: rule 1 is not defined", session("a") + took()],
    ['log-0:1: "session"', '{"sluice":1,"attempts":{"session":1}}\n'],
    ['log-0:1: "sample" is 2', session("a", 1, 2)],
    ["log-0:1: not the beginning", '{"sluice":2,"attempts":{"session":"a"}}\n'],
    ['log-0:3: part 1 of session "a" is there twice', head + session("a")],
    ["log-0:2: the policy is not valid", `${session("a")}{"rule":1,"limiter":"api","policy":{}}\n`],
    ['log-0:3: the record has no "atUs"', `${head}{"key":"k","limiter":"api","rule":1}\n`],
    ['log-0:3: the record has no "rule"', head + took().replace(',"rule":1', "")],
    ["there is nothing to audit", head],
    ['log-0:3: "gaveBack"', `${head}{"lost":1,"gaveBack":[1]}\n`],
  ])("%s", async (message, text) => {
    await expect(audited(text)).rejects.toThrow(message);
    await expect(audited(text)).rejects.toThrow(LogError);
  });

  test("also a log of another kind beside it, and policies to audit it against", async () => {
    const exercise = '{"sluice":1,"policy":{"algorithm":"gcra","limit":1,"period":1}}\n';
    await expect(audited(head + took(), exercise)).rejects.toThrow("log-1:1: not the beginning");
    const open = async function* () {
      yield head + took();
    };
    await expect(auditLogs([{ name: "log", open }], [bucket])).rejects.toThrow("policies");
  });
});

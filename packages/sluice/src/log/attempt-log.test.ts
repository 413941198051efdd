import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { auditLogs, type AttemptAuditReport, keyId, type LogSource } from "../audit/index.js";
import { isSampled } from "../audit/sample.js";
import {
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { AttemptLog, type AttemptLogOptions } from "./index.js";

const policy = tokenBucket({ limit: 2, period: "1h" });
const START_MS = 1_767_225_600_000;

let directory = "";
let file = "";
let files = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-attempts-"));
});
beforeEach(() => {
  files += 1;
  file = join(directory, `${files}.jsonl`);
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function limiterAt(clock = new ManualClock(START_MS), namespace = "api"): RateLimiter<MemoryStore> {
  return new RateLimiter({ policy, namespace, store: new MemoryStore({ clock }) });
}

type Line = Readonly<Record<string, unknown>>;

function linesOf(path = file): Line[] {
  const text = readFileSync(path, "utf8");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

async function audited(...paths: string[]): Promise<AttemptAuditReport> {
  const sources = paths.map((path): LogSource => {
    const open = async function* () {
      yield readFileSync(path, "utf8");
    };
    return { name: path, open };
  });
  const { of, report } = await auditLogs(sources);
  if (of !== "attempts") throw new Error(`a log of ${of}`);
  return report;
}

/** A log of what `use` does, closed. */
async function logged(
  use: (limiter: RateLimiter<MemoryStore>, log: AttemptLog) => unknown,
  options: Partial<AttemptLogOptions> = {},
): Promise<AttemptLog> {
  const limiter = limiterAt();
  const log = new AttemptLog({ file, ...options });
  log.add(limiter);
  await use(limiter, log);
  await log.close();
  return log;
}

describe("a log", () => {
  test("says who wrote it, what decides, each attempt, and where it ends", async () => {
    await logged(async (limiter) => {
      await limiter.consume("user:42");
      limiter.consumeSync("user:42", { cost: 2.5 });
      await limiter.peek("user:42");
      await limiter.refund("user:42", 1);
      await limiter.reset("user:42", { slot: "org:7" });
      await limiter.reserve("user:42", { maxWait: "2h" });
    });
    const [session, rule, ...lines] = linesOf();
    const { end: id } = lines.at(-1) ?? {};
    expect(session).toEqual({ sluice: 1, attempts: { session: id, part: 1, sample: 1 } });
    expect(rule).toEqual({
      rule: 1,
      limiter: "api",
      store: expect.stringMatching(/^[\w-]{12}$/) as unknown,
      policy: { ...policy },
    });
    const key = keyId("user:42");
    const atUs = START_MS * 1e3;
    const reference = { rule: 1, limiter: "api" };
    const bucket = { ...reference, policy: "token-bucket", source: "store" };
    const waits = { retryAfterMs: 0, resetAfterMs: 1_800_000 };
    const spent = { remaining: 1, ...waits, reason: "ok", ...bucket };
    const allowed = { atUs, key, cost: 1, allowed: true, granted: 1, ...spent };
    const full = { remaining: 2, resetAfterMs: 0 };
    const never = { allowed: false, granted: 0, retryAfterMs: null, reason: "too-costly" };
    expect(lines).toEqual([
      allowed,
      { ...allowed, cost: 2.5, ...never },
      { ...allowed, verb: "refund", ...full },
      { atUs, key: `{${keyId("org:7")}}${key}`, verb: "reset", adjusted: 0, ...reference },
      { ...allowed, verb: "reserve", readyAtUs: atUs, maxWaitUs: 7200e6 },
      { end: id },
    ]);
    expect(readFileSync(file, "utf8")).not.toContain("user");
  });

  test("grants of a refund what came back, and of a penalty nothing, which no bound covers", async () => {
    await logged(async (limiter) => {
      await limiter.consume("k");
      await limiter.refund("k", 5);
      await limiter.penalize("k", 4);
    });
    const records = linesOf().filter((line) => "atUs" in line);
    expect(records.map(({ verb, cost, granted }) => [verb, cost, granted])).toEqual([
      [undefined, 1, 1],
      ["refund", 5, 1],
      ["penalize", 4, 0],
    ]);
    expect(await audited(file)).toMatchObject({ passed: true, keyCount: 1 });
  });

  test("defines a rule again where options change, and each limiter's own", async () => {
    const other = limiterAt(undefined, "other");
    await logged(async (limiter, log) => {
      log.add(other);
      limiter.consumeSync("k");
      limiter.consumeSync("k", { policy: tokenBucket({ limit: 5, period: "1s" }) });
      limiter.consumeSync("k");
      other.consumeSync("k");
    });
    const rules = linesOf().filter((line) => "policy" in line && !("key" in line));
    expect(rules.map(({ rule, limiter }) => [rule, limiter])).toEqual([
      [1, "api"],
      [2, "api"],
      [3, "other"],
    ]);
    const records = linesOf().filter((line) => "atUs" in line);
    expect(records.map(({ rule }) => rule)).toEqual([1, 2, 1, 3]);
    expect((await audited(file)).keys.map(({ limiter }) => limiter)).toEqual(["api", "other"]);
  });

  test("has ids by the limiter's secret, and those of the store where it is outside", async () => {
    const secret = { hmacSecret: "a secret of some length" } as const;
    const hidden = new RateLimiter({ policy, identity: secret });
    const log = new AttemptLog({ file });
    log.add(hidden);
    hidden.consumeSync("user:42");
    await log.close();
    expect(readFileSync(file, "utf8")).not.toContain(keyId("user:42"));
  });

  test("goes on where a file ends, and takes a line away that was cut short", async () => {
    await logged((limiter) => limiter.consume("a"));
    const before = readFileSync(file, "utf8");
    writeFileSync(file, `${before}{"atUs":1,"key":"c`);
    await logged((limiter) => limiter.consume("b"));
    expect(readFileSync(file, "utf8").startsWith(before)).toBe(true);
    expect(await audited(file)).toMatchObject({ sessions: 2, keyCount: 2, torn: 0, passed: true });
  });

  test("takes a file away that holds nothing but the beginning of a line", async () => {
    writeFileSync(file, '{"sluice":1,');
    await logged((limiter) => limiter.consume("a"));
    expect(await audited(file)).toMatchObject({ sessions: 1, incomplete: 0 });
  });

  test.each(['{"precious":true}', "notes\n", `{"sluice":1,"${"x".repeat(100_000)}`])(
    "leaves a file that is none as it is",
    async (text) => {
      writeFileSync(file, text);
      const onError = vi.fn<(error: unknown) => void>();
      await logged((limiter) => limiter.consume("a"), { onError });
      expect(readFileSync(file, "utf8")).toBe(text);
      expect(String(onError.mock.calls[0]?.[0])).toMatch(/no log of attempts|too long/);
    },
  );

  test("has a limiter once under a name, since each line is an attempt", async () => {
    const limiter = limiterAt();
    const log = new AttemptLog({ file });
    const end = log.add(limiter);
    expect(() => log.add(limiter)).toThrow("again");
    log.add(limiter, { name: "beside" });
    end();
    end();
    log.add(limiter);
    await log.close();
  });

  test("of several stores needs names", async () => {
    const log = new AttemptLog({ file });
    const first = limiterAt();
    const [second, third] = [limiterAt(), limiterAt()];
    log.add(first);
    expect(() => log.add(second)).toThrow('name: "api" is not allowed');
    log.add(second, { name: "second" });
    expect(() => log.add(third, { name: "second" })).toThrow(InvalidOptionError);
    await log.close();
    expect(() => log.add(first)).toThrow(InvalidOptionError);
  });

  test("ends for a limiter, and for all when it is closed", async () => {
    const limiter = limiterAt();
    const log = new AttemptLog({ file });
    const end = log.add(limiter);
    limiter.consumeSync("a");
    end();
    expect(limiter.events.to.decision).toBeUndefined();
    limiter.consumeSync("b");
    log.add(limiter);
    await log.close();
    await log.close();
    limiter.consumeSync("c");
    expect(limiter.events.to.decision).toBeUndefined();
    expect(linesOf().filter((line) => "atUs" in line)).toHaveLength(1);
  });
});

describe("a sample", () => {
  test("holds keys as a whole, the same ones everywhere, about as many as it says", async () => {
    const keys = Array.from({ length: 2000 }, (_, i) => `user:${i}`);
    await logged(
      (limiter) => {
        for (const key of [...keys, ...keys]) limiter.consumeSync(key);
      },
      { sample: 0.1 },
    );
    const counts = new Map<unknown, number>();
    for (const { key } of linesOf()) counts.set(key, (counts.get(key) ?? 0) + 1);
    counts.delete(undefined);
    expect(counts.size).toBeGreaterThan(140);
    expect(counts.size).toBeLessThan(260);
    expect(new Set(counts.values())).toEqual(new Set([2]));
    for (const key of counts.keys()) expect(isSampled(String(key), 0.1)).toBe(true);
    expect(await audited(file)).toMatchObject({ sample: 0.1, keyCount: counts.size, passed: true });
  });

  test("of a share holds every key of a smaller share; of 0 none, of 1 all", () => {
    const ids = Array.from({ length: 1000 }, (_, i) => keyId(`${i}`));
    const sizes = [0, 0.2, 0.5, 1].map((share) => ids.filter((id) => isSampled(id, share)));
    expect(sizes.map(({ length }) => Math.round(length / 100))).toEqual([0, 2, 5, 10]);
    for (const id of sizes[1] ?? []) expect(sizes[2]).toContain(id);
  });
});

describe("a full file", () => {
  test("is put aside, so many are kept, and each is readable by itself", async () => {
    await logged(
      async (limiter, log) => {
        for (let call = 0; call < 60; call++) {
          limiter.consumeSync(`k${call}`);
          // One chunk a call: a file is put aside between chunks.
          if (call % 3 === 0) await flushed(log);
        }
      },
      { maxFileBytes: 2000, files: 3 },
    );
    const name = (path: string): string => join(directory, path);
    const kept = readdirSync(directory).filter((path) => path.startsWith(`${files}.jsonl`));
    expect(kept.sort()).toEqual([`${files}.jsonl`, `${files}.jsonl.1`, `${files}.jsonl.2`]);
    const parts = kept.map((path) => linesOf(name(path))[0]?.["attempts"] as { part: number });
    const [current, ...aside] = parts.map(({ part }) => part);
    expect(aside).toEqual([(current ?? 0) - 1, (current ?? 0) - 2]);
    for (const path of kept) {
      const [, rule] = linesOf(name(path));
      expect(rule).toMatchObject({ rule: 1, limiter: "api" });
      expect(readFileSync(name(path)).length).toBeLessThan(3000);
    }
    const report = await audited(...kept.map(name));
    expect(report).toMatchObject({ passed: true, sessions: 1, incomplete: 1, lost: 0 });
    expect(report.keyCount).toBeGreaterThan(10);
  });
});

/** Waits until what is logged so far is in the file. */
async function flushed(log: AttemptLog): Promise<void> {
  const before = log.queuedBytes;
  expect(before).toBeGreaterThan(0);
  await vi.waitFor(() => expect(log.queuedBytes).toBe(0), { timeout: 60_000 });
}

describe("trouble", () => {
  test("is reported once, breaks no call, and ends by itself; what was lost is said", async () => {
    const late = join(directory, `late-${files}`);
    const path = join(late, "log.jsonl");
    const errors: Error[] = [];
    const log = await logged(
      async (limiter, open) => {
        limiter.consumeSync("a");
        await limiter.refund("a", 1);
        await flushed(open);
        expect(limiter.consumeSync("a").allowed).toBe(true);
        await flushed(open);
        mkdirSync(late);
        limiter.consumeSync("b");
        await flushed(open);
      },
      { file: path, onError: (error) => errors.push(error) },
    );
    expect(errors.map((error) => (error as NodeJS.ErrnoException).code)).toEqual(["ENOENT"]);
    expect(log.dropped).toBe(3);
    expect(linesOf(path).filter((line) => "lost" in line)).toEqual([
      { lost: 3, gaveBack: ["api"] },
    ]);
    expect(await audited(path)).toMatchObject({ lost: 3, keyCount: 1, passed: true });
  });

  test("is a process warning where nobody hears it, and close does not throw", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const log = await logged((limiter) => limiter.consume("a"), { file: directory });
    expect(log.dropped).toBe(1);
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringContaining("EISDIR"),
      expect.objectContaining({ code: "SLUICE_LOG" }),
    );
    warn.mockRestore();
  });

  test("on a full disk loses lines and nothing else", async () => {
    const errors: Error[] = [];
    const log = await logged(
      async (limiter) => {
        for (let call = 0; call < 10; call++) await limiter.consume(`k${call}`);
      },
      { file: "/dev/full", onError: (error) => errors.push(error) },
    );
    expect(errors.map((error) => (error as NodeJS.ErrnoException).code)).toEqual(["ENOSPC"]);
    expect(log.dropped).toBe(10);
  });

  test("survives a listener of trouble that throws", async () => {
    const log = await logged((limiter) => limiter.consume("a"), {
      file: directory,
      onError: () => {
        throw new Error("boom");
      },
    });
    expect(log.dropped).toBe(1);
  });

  test("a full queue drops lines, counts them, and says so where they would stand", async () => {
    const log = await logged(
      async (limiter, open) => {
        for (let call = 0; call < 20; call++) limiter.consumeSync(`k${call}`);
        await limiter.reset("k1");
        await flushed(open);
        limiter.consumeSync("after");
      },
      { maxQueueBytes: 1000 },
    );
    const lines = linesOf();
    const lost = lines.filter((line) => "lost" in line);
    expect(lost).toEqual([{ lost: log.dropped, gaveBack: ["api"] }]);
    expect(log.dropped).toBeGreaterThan(10);
    const records = lines.filter((line) => "atUs" in line).length;
    expect(records + log.dropped).toBe(22);
    expect(lines.findIndex((line) => "lost" in line)).toBeLessThan(lines.length - 2);
    expect(await audited(file)).toMatchObject({ lost: log.dropped, passed: true });
  });

  test("keys that a full memory forgot are said, and refute nothing", async () => {
    const clock = new ManualClock(START_MS);
    const store = new MemoryStore({ clock, maxKeys: 1 });
    const limiter = new RateLimiter({ policy, store });
    const log = new AttemptLog({ file });
    log.add(limiter);
    for (const key of ["a", "a", "b", "b", "a", "a"]) limiter.consumeSync(key);
    await log.close();
    expect(linesOf().filter((line) => "evicted" in line)).toMatchObject([{ evicted: 2 }]);
    expect(await audited(file)).toMatchObject({ passed: true, keyCount: 2 });
  });
});

describe("decisions that the store did not make", () => {
  test("are logged by their source, and a refund that may yet be done casts doubt", async () => {
    const store = new HeldStore();
    const limiter = new RateLimiter({
      policy: fixedWindow({ limit: 2, window: "1h" }),
      store,
      timeout: "30s",
      onStoreFailure: "closed",
    });
    const log = new AttemptLog({ file });
    log.add(limiter);
    for (const verb of ["consume", "refund"] as const) {
      const answer = verb === "consume" ? limiter.consume("k") : limiter.refund("k", 1);
      store.settleAll(new Error("connection lost"));
      await answer;
    }
    const allowed = [limiter.consume("k"), limiter.consume("k"), limiter.consume("k")];
    store.settleAll();
    await Promise.all(allowed);
    await log.close();
    const report = await audited(file);
    expect(report.tally).toMatchObject({
      records: 4,
      unaudited: { "fail-closed": { records: 1 } },
    });
    // As if the refund had been done late: without it the third is one too many.
    const text = readFileSync(file, "utf8");
    const planted = text.replace(
      /("allowed":)false(,"granted":)0(.*"reason":)"quota"/,
      '$1true$21$3"ok"',
    );
    expect(planted).not.toBe(text);
    writeFileSync(file, planted);
    expect((await audited(file)).passed).toBe(true);
    writeFileSync(file, planted.replace(/.*"verb":"refund".*\n/, ""));
    expect((await audited(file)).passed).toBe(false);
  });
});

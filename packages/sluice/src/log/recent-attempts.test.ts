import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import { keyId } from "../audit/index.js";
import { MemoryStore, RateLimiter, slidingLog } from "../index.js";
import { PolicySet, resetRuleKey, ruleKeyId } from "../policies/index.js";
import { limitsOf, readLoggedAttempts, simulate } from "../simulate/index.js";
import { ManualClock } from "../testing/index.js";
import { AttemptLog, RecentAttempts, type RecentAttemptsOptions } from "./index.js";

const START_MS = 1_790_000_000_000;
const policy = slidingLog({ name: "api", limit: 3, window: "1h" });

function setUp(options: RecentAttemptsOptions = {}) {
  const clock = new ManualClock(START_MS);
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  const recent = new RecentAttempts(options);
  recent.add(limiter);
  onTestFinished(() => {
    recent.close();
  });
  return { clock, limiter, recent };
}

async function textOf(recent: RecentAttempts, sinceUs?: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of recent.source(sinceUs).open()) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  }
  return text;
}

test("the lines are those that a log on disk has, and a simulation finds the same", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-recent-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const { clock, limiter, recent } = setUp();
  const log = new AttemptLog({ file: join(folder, "a.jsonl") });
  log.add(limiter);
  for (let i = 0; i < 1500; i++) {
    limiter.consumeSync(`user:${i % 7}`, { cost: 1 + (i % 2) });
    if (i % 100 === 0) await limiter.reset(`user:${i % 7}`);
    if (i % 50 === 0) await limiter.refund(`user:${i % 7}`, 1);
    clock.advance(1000);
  }
  await log.close();
  const onDisk = readFileSync(join(folder, "a.jsonl"), "utf8");
  const lines = (text: string): readonly string[] => text.split("\n").slice(1, -2);
  expect(lines(await textOf(recent))).toEqual(lines(onDisk));
  const file = {
    name: "a",
    async *open() {
      yield onDisk;
    },
  };
  const limits = limitsOf([slidingLog({ name: "api", limit: 2, window: "30m" })]);
  const [ofFile, ofMemory] = await Promise.all(
    [file, recent.source()].map(async (source) =>
      simulate(await readLoggedAttempts([source]), { limits }),
    ),
  );
  expect({ ...ofMemory, files: [] }).toEqual({ ...ofFile, files: [] });
  expect(ofMemory?.all.attempts).toBe(1500);
  expect(ofMemory?.incomplete).toBe(0);
});

describe("memory", () => {
  test("holds the newest, and says that others are gone", async () => {
    const { clock, limiter, recent } = setUp({ most: 100 });
    for (let i = 0; i < 5000; i++) {
      limiter.consumeSync(`user:${i}`);
      clock.advance(10);
      expect(recent.count).toBeLessThanOrEqual(100);
    }
    expect([recent.count, recent.isWhole, recent.fromUs]).toEqual([
      100,
      false,
      (START_MS + 49_000) * 1000,
    ]);
    const log = await readLoggedAttempts([recent.source()]);
    expect(log.incomplete).toBe(1);
    expect(recent.of(keyId("user:4899"))).toEqual([]);
    expect(recent.of(keyId("user:4900"))).toHaveLength(1);
  });

  test("counts bytes: long keys are fewer", () => {
    const { limiter, recent } = setUp({ maxBytes: 100_000 });
    for (let i = 0; i < 1000; i++) limiter.consumeSync(`${"k".repeat(4000)}${i}`);
    expect(recent.count).toBeGreaterThan(5);
    expect(recent.count).toBeLessThan(13);
    limiter.consumeSync("short");
    expect(recent.of(keyId("short"))).toHaveLength(1);
  });

  test("is given back at the end, and nobody is listened to", () => {
    const { limiter, recent } = setUp();
    limiter.consumeSync("k");
    recent.close();
    limiter.consumeSync("k");
    expect([recent.count, recent.of(keyId("k")), recent.fromUs]).toEqual([0, [], undefined]);
  });
});

test("shows the last attempts of a key, the newest first, without peeks", async () => {
  const { clock, limiter, recent } = setUp();
  for (let i = 0; i < 5; i++) {
    limiter.consumeSync("ann");
    await limiter.peek("ann");
    limiter.consumeSync("ben");
    clock.advance(1000);
  }
  const last = recent.of(keyId("ann"), 3);
  expect(last.map(({ allowed, reason, rule, key }) => [allowed, reason, rule, key])).toEqual([
    [false, "quota", "api", "ann"],
    [false, "quota", "api", "ann"],
    [true, "ok", "api", "ann"],
  ]);
  expect(last[0]?.atUs).toBe((START_MS + 4000) * 1000);
  expect(recent.count).toBe(10);
});

test("takes what came since a time alone", async () => {
  const { clock, limiter, recent } = setUp();
  for (let i = 0; i < 10; i++) {
    limiter.consumeSync("ann");
    clock.advance(1000);
  }
  const log = await readLoggedAttempts([recent.source((START_MS + 6000) * 1000)]);
  const { all } = await simulate(log, { limits: limitsOf([policy]) });
  expect([all.attempts, log.incomplete]).toEqual([4, 1]);
});

test("takes a set, whatever limiters come to be behind it, and what is done by an id", async () => {
  const document = {
    rules: [
      {
        name: "api",
        key: ["user"],
        policy: { algorithm: "gcra", limit: 1, period: "1h" } as const,
      },
    ],
  };
  const rules = new PolicySet({ source: document, store: new OutsideStore() });
  const recent = new RecentAttempts();
  recent.add(rules, { name: "edge" });
  onTestFinished(async () => {
    recent.close();
    await rules.close();
  });
  const request = { entries: { user: "ann" } };
  await rules.consume(request);
  rules.replace({ ...document, defaults: { onStoreFailure: "closed" } });
  await rules.consume(request);
  const id = ruleKeyId(rules, { rule: "api", ...request });
  await resetRuleKey(rules, { rule: "api", id });
  expect(recent.of(id).map(({ key, rule, allowed }) => [key, rule, allowed])).toEqual([
    ["user=ann", "api", false],
    ["user=ann", "api", true],
  ]);
  const lines = (await textOf(recent)).split("\n");
  expect(lines.filter((line) => line.includes(`"key":"${id}"`))).toHaveLength(3);
  expect(lines.some((line) => line.includes('"verb":"reset"'))).toBe(true);
});

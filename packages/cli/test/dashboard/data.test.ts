import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import timers from "node:timers";
import { expect, onTestFinished, test, vi } from "vitest";
import { MemoryStore } from "sluice";
import { auditLogs } from "sluice/audit";
import { AttemptLog } from "sluice/log";
import { PolicySet, ruleKeyId } from "sluice/policies";
import { run } from "../../src/run.js";
import { labelOf } from "../../src/dashboard/state.js";
import type { LookedUp, Tried } from "../../src/dashboard/wire.js";
import { fakeProcess } from "../io.js";
import { openBoard, RULES } from "../support/board.js";

test("live numbers are the audit's, and a trial's are those of `sluice simulate`", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-board-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const { rules, ask, state } = openBoard();
  const file = join(folder, "a.jsonl");
  const log = new AttemptLog({ file });
  log.add(rules);
  const first = await state();
  for (let i = 0; i < 200; i++) {
    const path = i % 3 === 0 ? { path: "/login" } : {};
    await rules.consume({ entries: { user: `u${i % 7}`, ...path } });
  }
  await log.close();
  const seen = { asked: 0, allowed: 0, denied: 0 };
  let next = first.next;
  while (seen.asked < rules.stats().allowed + rules.stats().denied) {
    const { seconds, next: following } = await state(next);
    next = following;
    for (const { asked, allowed, denied } of seconds) {
      seen.asked += asked;
      seen.allowed += allowed;
      seen.denied += denied;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { report } = await auditLogs([{ name: file, open: () => createReadStream(file) }]);
  expect(report).toMatchObject({
    passed: true,
    tally: { records: seen.asked, allowed: seen.allowed, denied: seen.denied },
  });
  const { allowed, denied } = rules.stats();
  expect(seen).toEqual({ asked: allowed + denied, allowed, denied });

  const text = JSON.stringify(RULES).replace('"limit":3', '"limit":1');
  const tried = await ask<Tried>("api/try", { text, minutes: 15 });
  const policies = join(folder, "new.json");
  writeFileSync(policies, text);
  const io = fakeProcess();
  expect(await run(["simulate", file, "--policies", policies, "--json"], io.io)).toBe(0);
  const printed = JSON.parse(io.stdout()) as {
    all: { attempts: number };
    rules: {
      rule: string;
      attempts: number;
      deniedBefore: number;
      deniedAfter: number;
      newlyDenied: number;
      newlyAllowed: number;
      keysDeniedAfter: number;
    }[];
  };
  expect(tried.body.attempts).toBe(printed.all.attempts);
  expect(tried.body.rules).toEqual(
    printed.rules.map(({ rule, attempts, keysDeniedAfter, ...counts }) => {
      const { deniedBefore, deniedAfter, newlyDenied, newlyAllowed } = counts;
      const counted = { deniedBefore, deniedAfter, newlyDenied, newlyAllowed };
      return { rule, asked: attempts, ...counted, keysTouched: keysDeniedAfter };
    }),
  );
  expect(tried.body.rules[0]?.newlyDenied).toBeGreaterThan(0);
});

test("what is the same is not sent again", async () => {
  const { ask } = openBoard();
  const first = await ask<{ next: number }>("api/state");
  const path = `api/state?since=${first.body.next}`;
  const second = await ask(path);
  const headers = { "if-none-match": second.headers.get("etag") ?? "" };
  const third = await ask(path, undefined, { headers });
  expect([second.status, third.status, third.text]).toEqual([200, 304, ""]);
  await ask("api/mode", { mode: "shadow" });
  expect((await ask(path, undefined, { headers })).status).toBe(200);
});

test("as many rules as there may be and 100 hot keys are a bounded answer", async () => {
  const policy = { algorithm: "fixed-window", limit: 1, window: "1h" } as const;
  const names = Array.from({ length: 512 }, (_, i) => `rule-${i}`);
  const rules = new PolicySet({
    source: { rules: names.map((name) => ({ name, match: { name }, key: ["user"], policy })) },
  });
  onTestFinished(() => rules.close());
  const { ask, state } = openBoard(rules, { label: (id) => `<b>${id}</b>` });
  for (let i = 0; i < 20_000; i++) {
    const user = i % 2 === 0 ? `hot-${(i / 2) % 100}` : `<script>${i}</script>`;
    await rules.consume({ entries: { name: `rule-${400 + (i % 50)}`, user } });
  }
  const { rules: shown, rulesTotal, topDenied } = await state();
  expect([shown.length, rulesTotal, topDenied.length]).toEqual([512, 512, 100]);
  expect(shown.at(-1)?.rule).toBe("rule-511");
  expect(topDenied[0]?.label).toBe(`<b>${topDenied[0]?.id}</b>`);
  const { text, headers } = await ask("api/state");
  expect(text.length).toBeLessThan(300_000);
  expect(headers.get("content-type")).toBe("application/json");
  expect(text).not.toContain("<script>");
});

test("while the reports cannot be read it says so, and keeps nobody", async () => {
  const away = Object.assign(new MemoryStore(), {
    reports: {
      nowMs: () => Promise.reject(new Error("redis://user:hunter2@host is away")),
      read: () => Promise.reject(new Error("away")),
      write: () => Promise.reject(new Error("away")),
    },
  });
  const { ask, rules } = openBoard(RULES, { store: away });
  const { text, body } = await ask<{ scope: { stale: unknown }; rules: unknown[] }>("api/state");
  expect(body.scope.stale).toMatchObject({ why: "the store does not answer" });
  expect(body.rules).toHaveLength(2);
  expect(text).not.toContain("hunter2");
  expect((await ask("api/lookup", { entries: { user: "ann" } })).status).toBe(200);
  await rules.close();
  await away.close();
});

test("a look at a key: rules, limits, the last calls, by its entries and by its id", async () => {
  const { rules, ask, state } = openBoard(RULES, { label: () => "acme" });
  const entries = { user: "ann" };
  await state();
  for (let i = 0; i < 25; i++) await rules.consume({ entries });
  const id = ruleKeyId(rules, { rule: "api", entries });
  const byEntries = await ask<{ rules: { last: unknown[] }[] }>("api/lookup", { entries });
  expect(byEntries.body.rules).toMatchObject([
    { rule: "api", matches: true, id, label: "acme", isBlocked: false, now: { allowed: false } },
    { rule: "login", matches: false, text: "path is not /login" },
  ]);
  expect(byEntries.body.rules[0]?.last).toHaveLength(20);
  const byId = await ask("api/lookup", { rule: "api", id });
  expect(byId.body).toMatchObject({ rules: [{ id, label: "acme", now: { remaining: 0 } }] });
});

test("a look by id has the override in force, as a look by entries has: not one that is over, but one of more keys", async () => {
  const { rules, ask, state } = openBoard({
    ...RULES,
    overrides: [
      { rule: "api", key: "user=ann", mode: "deny", until: "2020-01-01T00:00:00Z" },
      { rule: "api", key: "user=ben", policy: { limit: 9 }, until: "2020-01-01T00:00:00Z" },
      { rule: "api", key: "user=b*", policy: { limit: 7 }, comment: "long" },
      { rule: "api", key: "user=*", policy: { limit: 5 }, until: "2999-01-01T00:00:00Z" },
      { rule: "api", key: "user=c*", mode: "deny" },
      { rule: "api", key: "user=cid", policy: { limit: 2 } },
      { rule: "login", key: "user=ann", mode: "deny" },
    ],
  });
  await state();
  for (const [user, seen] of [
    [
      "ann",
      { override: { kind: "policy", limit: "limit 5" }, now: { limit: 5 }, isBlocked: false },
    ],
    ["ben", { override: { kind: "policy", comment: "long" }, now: { limit: 7 } }],
    ["cat", { override: { kind: "deny" }, now: { allowed: false }, isBlocked: false }],
    ["cid", { override: { kind: "policy" }, now: { limit: 2 }, isBlocked: false }],
  ] as const) {
    const entries = { user };
    await rules.consume({ entries });
    const id = ruleKeyId(rules, { rule: "api", entries });
    const [byEntries, byId] = [
      await ask<LookedUp>("api/lookup", { rule: "api", entries }),
      await ask<LookedUp>("api/lookup", { rule: "api", id }),
    ].map(({ body }) => body.rules[0]);
    expect(byId).toMatchObject(seen);
    expect(byId?.override).toEqual(byEntries?.override);
    expect(byId?.isBlocked).toBe(byEntries?.isBlocked);
  }
  const blocked = { rule: "api", entries: { user: "ann" }, change: "block" };
  expect((await ask("api/key", blocked)).body).toMatchObject({ rules: [{ isBlocked: true }] });
  const id = ruleKeyId(rules, { rule: "api", entries: { user: "ann" } });
  const byId = await ask("api/lookup", { rule: "api", id });
  expect(byId.body).toMatchObject({ rules: [{ isBlocked: true }] });
});

test("50 entries are looked up, and no more", async () => {
  const { ask } = openBoard();
  const entries = (count: number): unknown =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`e${i}`, "x"]));
  expect((await ask("api/lookup", { entries: entries(50) })).status).toBe(200);
  expect((await ask("api/lookup", { entries: entries(51) })).status).toBe(400);
});

test("a tag names what would be answered: to whom, since when, and what is shown", async () => {
  let who = "ana";
  const { ask } = openBoard(RULES, { auth: () => ({ access: "read", who }) as const });
  const { body } = await ask<{ next: number }>("api/state");
  const tagOf = async (since: number): Promise<string | null> =>
    (await ask(`api/state?since=${since}`)).headers.get("etag");
  // The first answer about the published versions may come meanwhile, and is none here.
  const tag = await tagOf(body.next);
  expect(tag).toMatch(/^"[\w-]+"$/);
  who = "ben";
  const others = [await tagOf(body.next), await tagOf(body.next - 1), await tagOf(body.next - 2)];
  expect(new Set([tag, ...others]).size).toBe(4);
});

test("while the store is away and nothing changes, nothing is sent again", async () => {
  const why = new Error("away");
  const away = Object.assign(new MemoryStore(), {
    reports: {
      nowMs: () => Promise.reject(why),
      read: () => Promise.reject(why),
      write: () => Promise.reject(why),
    },
  });
  const started = vi.spyOn(timers, "setInterval");
  onTestFinished(() => {
    started.mockRestore();
  });
  const { ask, rules } = openBoard(RULES, { store: away });
  const tag = async (): Promise<string | null> => (await ask("api/state")).headers.get("etag");
  const first = await tag();
  const [look] = started.mock.calls.find(([, everyMs]) => everyMs === 1000) ?? [];
  for (let i = 0; i < 3; i++) {
    (look as () => void)();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await tag()).toBe(first);
  await rules.close();
  await away.close();
});

test.each([0, 16, 1.5, "5", undefined])("a trial of %j minutes is refused", async (minutes) => {
  const { ask } = openBoard();
  const reply = await ask("api/try", { text: JSON.stringify(RULES), minutes });
  expect([reply.status, reply.text.includes("from 1 to 15")]).toEqual([400, true]);
});

test("a label that throws, or is no text, is none; a long one is cut", async () => {
  const label = (id: string): string => {
    if (id === "long") return "x".repeat(300);
    throw new Error("no such customer");
  };
  expect(labelOf(label, "any")).toBeUndefined();
  expect(labelOf(() => 5 as unknown as string, "any")).toBeUndefined();
  expect(labelOf(undefined, "any")).toBeUndefined();
  expect(labelOf(label, "long")).toHaveLength(200);
});

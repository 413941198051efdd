import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { MemoryStore } from "sluice";
import {
  type PoliciesDocument,
  PoliciesFile,
  type PolicyRule,
  PolicySet,
  PublishedPolicies,
  ruleKeyId,
} from "sluice/policies";
import type { Change, DocumentText } from "../../src/dashboard/wire.js";
import { openBoard, RULES } from "../support/board.js";
import { temporaryFolder } from "../support/service.js";

const halved = JSON.stringify(RULES).replace('"limit":3', '"limit":2');

async function published(): Promise<{
  rules: PolicySet;
  other: PolicySet;
  source: PublishedPolicies;
}> {
  const store = new MemoryStore();
  const source = new PublishedPolicies({ store });
  await source.publish(RULES, { expected: 0, by: "ben", comment: "first" });
  const open = (): Promise<PolicySet> =>
    PolicySet.open({ source: new PublishedPolicies({ store }), store });
  const [rules, other] = await Promise.all([open(), open()]);
  onTestFinished(async () => {
    await Promise.all([rules.close(), other.close()]);
    await store.close();
  });
  return { rules, other, source };
}

describe("a published document", () => {
  test("is changed for whoever follows it, and comes back", async () => {
    const { rules, other, source } = await published();
    const { ask, state } = openBoard(rules);
    const made = await ask("api/publish", { text: halved, base: 1, how: "now", comment: "halve" });
    expect(made).toMatchObject({ status: 200, body: { version: 2 } });
    await other.reload();
    expect(other.document.rules[0]?.policy).toMatchObject({ limit: 2 });
    const back = await ask("api/rollback", { to: 1, base: 2 });
    expect(back.body).toEqual({ version: 3 });
    await other.reload();
    expect(other.document.rules[0]?.policy).toMatchObject({ limit: 3 });
    await source.publish(halved, { expected: 3, by: "cli", comment: "from elsewhere" });
    await rules.reload();
    await expect.poll(async () => (await state()).changes[0]?.version).toBe(4);
    const { changes } = await state();
    expect(changes.map(({ version, who, comment }) => [version, who, comment])).toEqual([
      [4, "cli", "from elsewhere"],
      [3, "ana", "back to version 1"],
      [2, "ana", "halve"],
      [1, "ben", "first"],
    ]);
    expect(changes[0]).toMatchObject({
      text: "rule api (2 per 1 h, burst 2)",
      kind: "policies",
      canRollBack: false,
    });
    expect(changes[1]?.canRollBack).toBe(true);
    const diff = await ask("api/diff", { to: 2 });
    expect(diff.body).toEqual({ lines: ["~ rule api", "    policy.limit: 3 → 2"] });
  });

  test("of two editors the later one is refused", async () => {
    const { rules } = await published();
    const { ask } = openBoard(rules);
    await ask("api/publish", { text: halved, base: 1, how: "now" });
    const late = await ask("api/publish", { text: halved, base: 1, how: "now" });
    expect([late.status, rules.version]).toEqual([409, 2]);
    expect((await ask("api/rollback", { to: 1, base: 1 })).status).toBe(409);
    expect((await ask("api/rollback", { to: 99, base: 2 })).status).toBe(400);
  });

  test("each version that others publish can come back, not only those of this page", async () => {
    const { rules, source } = await published();
    const { state, ask } = openBoard(rules);
    await expect.poll(async () => (await state()).changes.length).toBe(1);
    for (const expected of [1, 2]) {
      await source.publish(expected === 1 ? halved : RULES, { expected, by: "cli" });
      await rules.reload();
    }
    await expect
      .poll(async () => (await state()).changes.map((each) => [each.version, each.canRollBack]))
      .toEqual([
        [3, false],
        [2, true],
        [1, true],
      ]);
    expect((await ask("api/rollback", { to: 2, base: 3 })).body).toEqual({ version: 4 });
  });

  test("an override is a version, ends at its time, and goes", async () => {
    const { rules, other } = await published();
    const { ask } = openBoard(rules);
    const untilMs = Date.now() + 3_600_000;
    const key = { rule: "api", entries: { user: "acme" } };
    const set = await ask("api/key", {
      ...key,
      change: "override",
      override: { limit: 9 },
      untilMs,
      comment: "t",
    });
    expect(set.body).toMatchObject({
      rules: [{ override: { kind: "policy", untilMs, comment: "t" }, now: { limit: 9 } }],
    });
    await other.reload();
    expect(other.document.overrides).toMatchObject([{ rule: "api", key: "user=acme", by: "ana" }]);
    const gone = await ask("api/key", { ...key, change: "clear-override" });
    expect(gone.body).toMatchObject({ rules: [{ now: { limit: 3 } }] });
    expect((await ask("api/key", { ...key, change: "clear-override" })).status).toBe(404);
  });
});

describe("a document of the program", () => {
  test("is replaced here, tried beside, for some, and for all", async () => {
    const { rules, ask, state } = openBoard();
    const base = (): number | string => rules.version;
    const said = async (): Promise<string | undefined> => (await state()).changes[0]?.text;
    await ask("api/publish", { text: halved, base: base(), how: "candidate" });
    const two = "2 per 1 h, burst 2";
    expect(await said()).toBe(`rule api (${two} beside, not enforced)`);
    expect(rules.document.rules[0]).toMatchObject({
      policy: { limit: 3 },
      candidate: { policy: { limit: 2 } },
    });
    const edited = async (): Promise<string> => {
      const { body } = await ask<DocumentText>("api/document");
      return body.text.replace('"limit": 3', '"limit": 2');
    };
    await ask("api/publish", { text: await edited(), base: base(), how: 25 });
    expect(rules.document.rules.map(({ name }) => name)).toEqual(["api", "api.next", "login"]);
    expect(rules.document.rules[1]).toMatchObject({
      policy: { limit: 2 },
      rollout: { percent: 25 },
    });
    expect(await said()).toBe(`rule api.next (${two}, for 25 % of keys)`);
    await ask("api/publish", { text: await edited(), base: base(), how: "now" });
    expect(await said()).toBe(`rules api (${two}, nothing beside any more), api.next (removed)`);
    expect(rules.document.rules.map(({ name }) => name)).toEqual(["api", "login"]);
    expect(rules.document.rules[0]).toMatchObject({ policy: { limit: 2 } });
    expect(rules.document.rules[0]?.candidate).toBeUndefined();
    const versions = await ask<{ versions: { version: string }[] }>("api/versions");
    const [now, , , first] = versions.body.versions;
    expect(versions.body.versions).toHaveLength(4);
    await ask("api/rollback", { to: first?.version, base: now?.version });
    expect(rules.document.rules[0]).toMatchObject({ policy: { limit: 3 } });
  });

  test("is for another percentage, or another window, tried in the place of the first trial", async () => {
    const { rules, ask, state } = openBoard();
    const slower = halved
      .replace('"period":"1h"', '"period":"2h"')
      .replace('"limit":2', '"limit":3');
    for (const [text, how] of [
      [halved, 25],
      [halved, 50],
      [slower, 75],
    ] as const) {
      const { document } = (await ask<DocumentText>("api/document")).body;
      const edit = (JSON.parse(text) as PoliciesDocument).rules[0] as PolicyRule;
      const edited = document.rules.map((rule) => (rule.name === "api" ? edit : rule));
      const asked = { text: JSON.stringify({ rules: edited }), base: rules.version, how };
      expect((await ask("api/publish", asked)).status).toBe(200);
      expect((await state()).rules.map(({ rule, percent }) => [rule, percent])).toEqual([
        ["api", 100],
        ["api.next", how],
        ["login", 100],
      ]);
    }
  });

  test("is not changed by who has edited another version than the one in force", async () => {
    const { rules, ask } = openBoard();
    const base = rules.version;
    await ask("api/publish", { text: halved, base, how: "now" });
    const { version } = rules;
    const late = await ask("api/publish", { text: JSON.stringify(RULES), base, how: "now" });
    expect([late.status, late.text.includes("meanwhile")]).toEqual([409, true]);
    expect((await ask("api/rollback", { to: base, base })).status).toBe(409);
    expect(rules.version).toBe(version);
  });

  test.each([
    ["another change", JSON.stringify({ rules: RULES.rules.slice(1) }), 5, "rule api has changed"],
    ["no change", JSON.stringify(RULES), "candidate", "nothing to try"],
    [
      "a higher limit",
      JSON.stringify(RULES).replace('"limit":3', '"limit":4'),
      5,
      "the old limit of api would still apply",
    ],
    ["no way", halved, "soon", "how must be"],
    ["a share of all", halved, 100, "how must be"],
  ])("is not tried so: %s", async (_, text, how, why) => {
    const { rules, ask } = openBoard();
    const { version } = rules;
    const reply = await ask("api/publish", { text, base: version, how });
    expect(reply.status).toBe(400);
    expect(reply.text).toContain(why);
    expect(rules.version).toBe(version);
  });

  test("that is not valid says where", async () => {
    const { ask, rules } = openBoard();
    const text = '{\n"rules": [{ "name": "a", "policy": { "algorithm": "gcra", "limit": 1 } }] }';
    const reply = await ask("api/publish", { text, base: rules.version, how: "now" });
    expect(reply.body).toMatchObject({
      status: 400,
      problems: [{ line: 2, path: "rules[0].policy.period" }],
    });
  });
});

test("a file is changed where it is, and the page says so", async () => {
  const path = join(temporaryFolder(), "policies.json");
  writeFileSync(path, JSON.stringify(RULES));
  const rules = await PolicySet.open({ source: new PoliciesFile({ path }) });
  onTestFinished(() => rules.close());
  const { ask, state } = openBoard(rules);
  const base = rules.version;
  const refused = await ask("api/publish", { text: halved, base, how: "now" });
  expect([refused.status, refused.text.includes("changed where it is")]).toEqual([409, true]);
  expect((await state()).policies).toMatchObject({ source: "file", isPublished: false });
  expect((await ask("api/diff", { text: halved })).body).toEqual({
    lines: ["~ rule api", "    policy.limit: 3 → 2"],
  });
});

test("keys are blocked, let in and reset, by entries and by an id that a call had", async () => {
  const { rules, ask, state } = openBoard();
  const entries = { user: "ann" };
  await state();
  await rules.consume({ entries });
  const key = { rule: "api", entries };
  await ask("api/key", { ...key, change: "block", for: "1h", comment: "abuse" });
  expect((await rules.consume({ entries })).reason).toBe("blocked");
  const id = ruleKeyId(rules, key);
  await ask("api/key", { rule: "api", id, change: "unblock" });
  expect((await rules.peek({ entries })).remaining).toBe(2);
  const reset = await ask("api/key", { rule: "api", id, change: "reset" });
  expect(reset.body).toMatchObject({ rules: [{ id, now: { remaining: 3 } }] });
  const { changes } = await state();
  expect(changes.map(({ kind, who, comment }: Change) => [kind, who, comment])).toEqual([
    ["reset", "ana", undefined],
    ["unblock", "ana", undefined],
    ["block", "ana", "abuse"],
  ]);
  expect(JSON.stringify(changes)).not.toContain("ann");
  const unknown = "a".repeat(22);
  const byId = await ask("api/key", { rule: "api", id: unknown, change: "block" });
  expect([byId.status, byId.text.includes("the keys themselves")]).toEqual([400, true]);
  const override = await ask("api/key", { ...key, change: "override", override: "never" });
  expect(override.status).toBe(400);
});

test("each change is recorded: who, what, before and after", async () => {
  const heard: unknown[] = [];
  const listen = (message: unknown): number => heard.push(message);
  subscribe("sluice:admin", listen);
  onTestFinished(() => {
    unsubscribe("sluice:admin", listen);
  });
  const told: unknown[] = [];
  const { ask, rules } = openBoard(RULES, { onChange: (change) => told.push(change) });
  const before = rules.version;
  await ask("api/mode", { mode: "shadow", comment: "storm" });
  await ask("api/key", { rule: "api", entries: { user: "ann" }, change: "block" });
  await ask("api/publish", { text: halved, base: before, how: "now", comment: "halve" });
  expect(heard).toMatchObject([
    { who: "ana", action: "mode", before: "enforce", after: "shadow", comment: "storm" },
    {
      who: "ana",
      action: "block",
      before: { now: { reason: "ok" } },
      after: { now: { reason: "blocked" } },
    },
    { who: "ana", action: "publish", before, after: rules.version, comment: "halve" },
  ]);
  expect(told).toEqual(heard);
  expect(JSON.stringify(heard)).not.toContain("user=ann");
});

test.each([
  [
    "throws",
    () => {
      throw new Error("the log is full");
    },
  ],
  ["rejects", () => Promise.reject(new Error("the log is full"))],
])(
  "a change is made though the one who records it %s, and the owner hears of that",
  async (_, onChange) => {
    const errors: unknown[] = [];
    const { ask, rules } = openBoard(RULES, { onChange, onError: (error) => errors.push(error) });
    expect((await ask("api/mode", { mode: "shadow" })).status).toBe(204);
    expect(rules.status().mode).toBe("shadow");
    await expect.poll(() => errors).toEqual([new Error("the log is full")]);
  },
);

test("an override is in the list of changes once: as a version of the document", async () => {
  const { rules } = await published();
  const { ask, state } = openBoard(rules);
  const key = { rule: "api", entries: { user: "acme" } };
  await ask("api/key", { ...key, change: "override", override: { limit: 9, burst: 12 } });
  await expect
    .poll(async () => (await state()).changes.map(({ kind, text }) => [kind, text]))
    .toEqual([
      ["override", "override api user=acme"],
      ["policies", ""],
    ]);
  const looked = await ask("api/lookup", { entries: key.entries });
  expect(looked.body).toMatchObject({
    rules: [{ override: { kind: "policy", limit: "limit 9, burst 12" } }, {}],
  });
});

test("no more than 50 changes are kept, the newest first", async () => {
  const { ask, state } = openBoard();
  for (let i = 0; i < 60; i++) {
    await ask("api/key", {
      rule: "api",
      entries: { user: "ann" },
      change: "reset",
      comment: `${i}`,
    });
  }
  const { changes } = await state();
  expect([changes.length, changes[0]?.comment, changes.at(-1)?.comment]).toEqual([50, "59", "10"]);
});

test("two who change overrides at once both have theirs", async () => {
  const { rules, other } = await published();
  const [here, there] = [openBoard(rules), openBoard(other)];
  const override = (user: string) => ({
    rule: "api",
    entries: { user },
    change: "override",
    override: { limit: 9 },
  });
  const made = await Promise.all([
    here.ask("api/key", override("ann")),
    there.ask("api/key", override("bob")),
  ]);
  expect(made.map(({ status }) => status)).toEqual([200, 200]);
  await rules.reload();
  expect(rules.document.overrides?.map(({ key }) => key).sort()).toEqual(["user=ann", "user=bob"]);
});

test("twenty overrides at once are twenty versions, one after another, whatever becomes of one", async () => {
  const { rules, other } = await published();
  const { ask } = openBoard(rules);
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      ask("api/key", {
        rule: "api",
        entries: { user: `u${i}` },
        change: "override",
        override: { limit: i === 3 ? -1 : i + 1 },
      }),
    ),
  );
  expect(made.map(({ status }) => status)).toEqual(
    Array.from({ length: 20 }, (_, i) => (i === 3 ? 400 : 200)),
  );
  await other.reload();
  expect(other.document.overrides).toHaveLength(19);
  expect(other.version).toBe(20);
});

test("an override whose time is over before it begins is refused, and changes nothing", async () => {
  const { rules } = await published();
  const { ask } = openBoard(rules);
  const key = { rule: "api", entries: { user: "ann" }, change: "override", override: "deny" };
  for (const untilMs of [0, -1, Date.now() - 1000]) {
    const reply = await ask("api/key", { ...key, untilMs });
    expect([reply.status, reply.text.includes("is over")]).toEqual([400, true]);
  }
  expect(rules.version).toBe(1);
  expect((await ask("api/key", { ...key, untilMs: Date.now() + 60_000 })).status).toBe(200);
});

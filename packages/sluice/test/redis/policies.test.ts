/** Sets that follow published policies: how soon they have what is new, and that nothing bad changes them. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { MemoryStore, type Store } from "../../src/index.js";
import {
  type PoliciesDocument,
  PolicySet,
  printPolicies,
  PublishedPolicies,
} from "../../src/policies/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";

const api = (limit: number, more: Partial<PoliciesDocument> = {}): PoliciesDocument => {
  const policy = { algorithm: "token-bucket", limit, period: "1h" } as const;
  return { ...more, rules: [{ name: "api", key: ["user"], policy }] };
};

const limitOf = (rules: PolicySet): unknown => rules.document.rules[0]?.policy;
const fresh = (): string => `p-${randomUUID()}`;

interface Place {
  readonly published: PublishedPolicies;
  readonly store: Store;
  readonly name: string;
}

const stores: Readonly<Record<string, () => Promise<Store>>> = {
  redis: () => RedisStore.connect(inject("redisUrl")),
  memory: async () => new MemoryStore(),
};

async function place(kind: string): Promise<Place> {
  const store = await (stores[kind] as () => Promise<Store>)();
  onTestFinished(() => store.close());
  const name = fresh();
  return { store, name, published: new PublishedPolicies({ store, name }) };
}

async function followed(
  { published, store }: Place,
  more: Partial<Parameters<typeof PolicySet.open>[0]> = {},
): Promise<PolicySet> {
  const rules = await PolicySet.open({ source: published, store, namespace: fresh(), ...more });
  onTestFinished(() => rules.close());
  return rules;
}

const keyOf = (name: string): string => `${name}:~policies:{${name}}`;

/** What a server loses, or has had before; of a store in memory nothing gets lost. */
async function behind(name: string, fields: Readonly<Record<string, string>> = {}): Promise<void> {
  const client = new Redis(inject("redisUrl"));
  const changes = client.multi().del(keyOf(name));
  if (Object.keys(fields).length > 0) changes.hset(keyOf(name), fields);
  await changes.exec();
  await client.quit();
}

describe.each(["redis", "memory"])("followed in %s", (kind) => {
  test("processes have a new version soon, and say so", async () => {
    const at = await place(kind);
    await at.published.publish(api(1), { expected: 0 });
    const rules = await followed(at, { every: "1h" });
    expect(rules.version).toBe(1);
    const seen: unknown[] = [];
    rules.events.on("rules", ({ before, after, by }) => seen.push([before, after, by]));
    // A hint may be missed while a process begins to receive them.
    for (let version = 1; seen.length === 0; version++) {
      await at.published.publish(api(version + 1), { expected: version, by: "ben" });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(seen[0]).toEqual([1, expect.any(Number), "ben"]);
    expect(rules.status()).toMatchObject({ stale: undefined, reloads: { failed: 0 } });
  });

  test("what is put there by hand, and invalid, changes nothing", async () => {
    const at = await place(kind);
    await at.published.publish(api(1), { expected: 0 });
    const rules = await followed(at);
    const reloads: unknown[] = [];
    rules.events.on("reload", ({ outcome, error }) => reloads.push([outcome, error?.message]));
    const documents = (await import("../../src/policies/documents-in-memory.js")).documentsOf(
      at.store,
    );
    const draft = { by: undefined, comment: undefined, seen: 0 };
    await documents.publish(at.name, { ...draft, text: "{ no", digest: "x", expected: 1 });
    await rules.reload();
    await rules.reload();
    expect(rules.status()).toMatchObject({ version: 1, reloads: { invalid: 1 } });
    expect(rules.status().stale).toContain(`${at.name}@2`);
    await at.published.publish(api(3), { expected: 2 });
    await rules.reload();
    expect(rules.status()).toMatchObject({ version: 3, stale: undefined });
    expect(reloads.map((each) => (each as unknown[])[0])).toEqual(["invalid", "applied"]);
  });

  test("a set that is closed asks nothing more", async () => {
    const at = await place(kind);
    await at.published.publish(api(1), { expected: 0 });
    const rules = await followed(at, { every: "100ms" });
    await rules.close();
    await at.published.publish(api(2), { expected: 1 });
    await rules.reload();
    expect(rules.version).toBe(1);
  });
});

describe("what a server loses", () => {
  test("a document that is lost changes nothing, is reported, and comes back above what was lost", async () => {
    const at = await place("redis");
    for (let i = 0; i < 5; i++) await at.published.publish(api(i + 1), { expected: i });
    const rules = await followed(at);
    const reloads: unknown[] = [];
    rules.events.on("reload", ({ outcome, version }) => reloads.push([outcome, version]));
    await behind(at.name);
    await rules.reload();
    await rules.reload();
    expect(rules.version).toBe(5);
    expect(limitOf(rules)).toMatchObject({ limit: 5 });
    expect(rules.status().stale).toMatch(/has no document$/);
    expect((await rules.consume({ entries: { user: "a" } })).version).toBe(5);
    // Another editor, who never saw the fifth.
    const other = new PublishedPolicies({ store: at.store, name: at.name });
    expect(await other.publish(api(9), { expected: 0 })).toBe(6);
    await rules.reload();
    expect(rules.status()).toMatchObject({ version: 6, stale: undefined });
    expect(reloads).toEqual([
      ["lost", undefined],
      ["applied", 6],
    ]);
  });

  test.each(["1", "2"])(
    "version %s of another text, where 2 is in force, changes nothing",
    async (version) => {
      const at = await place("redis");
      await at.published.publish(api(1), { expected: 0 });
      await at.published.publish(api(2), { expected: 1 });
      const rules = await followed(at, { every: "1h" });
      const text = printPolicies(api(7));
      await behind(at.name, {
        version,
        digest: "other",
        [`n${version}`]: "1 other {}",
        [`t${version}`]: text,
      });
      await rules.reload();
      expect(rules.status()).toMatchObject({ version: 2, reloads: { older: 1 } });
      expect(rules.status().stale).toMatch(/is at version ., and 2 is in force here/);
      const stranger = new PublishedPolicies({ store: at.store, name: at.name });
      expect(await stranger.publish(api(8), { expected: Number(version) })).toBe(3);
      await rules.reload();
      expect(rules.status()).toMatchObject({ version: 3, stale: undefined });
    },
  );

  test("without a document a set does not start; with a copy on disk it does, and says so", async () => {
    const at = await place("redis");
    await expect(followed(at)).rejects.toThrow(/has no document/);
    await at.published.publish(api(4), { expected: 0, by: "ana" });
    const directory = mkdtempSync(join(tmpdir(), "sluice-policies-"));
    onTestFinished(() => {
      rmSync(directory, { recursive: true, force: true });
    });
    const cacheFile = join(directory, "copy.json");
    const first = await followed(at, { cacheFile });
    await expect.poll(() => existingText(cacheFile)).toContain('"version":1');
    await first.close();
    await behind(at.name);
    const rules = await followed(at, { cacheFile });
    expect(limitOf(rules)).toMatchObject({ limit: 4 });
    expect(rules.version).toBe(1);
    expect(rules.status().stale).toMatch(/has no document/);
    writeFileSync(cacheFile, "half a co");
    await expect(followed(at, { cacheFile })).rejects.toThrow(/has no document/);
    // What comes next is above what the copy had.
    await rules.reload();
    expect(await at.published.publish(api(5), { expected: 0 })).toBe(2);
    await rules.reload();
    expect(rules.status()).toMatchObject({ version: 2, stale: undefined });
  });
});

function existingText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

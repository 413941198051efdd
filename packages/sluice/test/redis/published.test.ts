/** Published policies in a real Redis and in memory: compare-and-set, and the versions before. */
import { randomUUID } from "node:crypto";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { MemoryStore, type Store } from "../../src/index.js";
import {
  type PoliciesDocument,
  PolicyConflictError,
  PublishedPolicies,
} from "../../src/policies/index.js";
import { documentsOf } from "../../src/policies/documents-in-memory.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { startStoreService } from "../support/store-service.js";

const api = (limit: number, more: Partial<PoliciesDocument> = {}): PoliciesDocument => {
  const policy = { algorithm: "token-bucket", limit, period: "1h" } as const;
  return { ...more, rules: [{ name: "api", key: ["user"], policy }] };
};

const stores: Readonly<Record<string, () => Promise<Store>>> = {
  redis: () => RedisStore.connect(inject("redisUrl")),
  memory: async () => new MemoryStore(),
  "a service on redis": async () => {
    const [store, service] = [
      await RedisStore.connect(inject("redisUrl")),
      await startStoreService(),
    ];
    onTestFinished(async () => {
      await service.close();
      await store.close();
    });
    return service.remote(store);
  },
};

interface Place {
  readonly published: PublishedPolicies;
  readonly store: Store;
  readonly name: string;
}

async function place(kind: string): Promise<Place> {
  const store = await (stores[kind] as () => Promise<Store>)();
  onTestFinished(() => store.close());
  const name = `p-${randomUUID()}`;
  return { published: new PublishedPolicies({ store, name }), store, name };
}

describe.each(Object.keys(stores))("published in %s", (kind) => {
  test("versions grow, and each says who, when and why", async () => {
    const { published } = await place(kind);
    expect(await published.version()).toBe(0);
    expect(await published.read()).toBeUndefined();
    expect(await published.publish(api(1), { expected: 0, by: "ana", comment: "é\n{}" })).toBe(1);
    expect(await published.publish(api(2, { version: 77 }), { expected: 1, by: "ben" })).toBe(2);
    expect(await published.read()).toMatchObject({
      version: 2,
      document: { version: 2, rules: [{}] },
    });
    expect(await published.read(1)).toMatchObject({ version: 1, by: "ana", comment: "é\n{}" });
    const [newest, oldest] = await published.history();
    expect(newest).toMatchObject({ version: 2, by: "ben", comment: undefined });
    expect(oldest).toMatchObject({ version: 1, by: "ana" });
    expect(newest?.atMs).toBeGreaterThanOrEqual(oldest?.atMs ?? Infinity);
    expect(newest?.digest).not.toBe(oldest?.digest);
  });

  test("are above all that anybody has seen, though the store has lost them", async () => {
    const { published, store, name } = await place(kind);
    const documents = documentsOf(store);
    // A process that follows them has seen the seventh; whoever publishes next has seen none.
    await documents.head(name, 7);
    expect(await published.publish(api(1), { expected: 0 })).toBe(8);
    const draft = { text: "{}", digest: "d", by: undefined, comment: undefined };
    // Here who publishes has, and the store has not heard of it.
    const other = `${name}.other`;
    const made = await documents.publish(other, { ...draft, expected: 0, seen: 4 });
    expect(made).toMatchObject({ published: true, version: 5 });
  });

  test("of two editors the later one is refused, and told the version in force", async () => {
    const { published } = await place(kind);
    await published.publish(api(1), { expected: 0 });
    const ends = await Promise.allSettled(
      [2, 3, 4, 5].map((limit) => published.publish(api(limit), { expected: 1 })),
    );
    const refused = ends.flatMap((end) =>
      end.status === "rejected" ? [end.reason as unknown] : [],
    );
    expect(refused).toHaveLength(3);
    for (const error of refused) {
      expect(error).toBeInstanceOf(PolicyConflictError);
      expect(error).toMatchObject({ code: "POLICY_CONFLICT", version: 2 });
    }
    expect(await published.version()).toBe(2);
  });

  test("a rollback of what somebody has changed meanwhile is refused, and writes nothing", async () => {
    const { published } = await place(kind);
    for (let i = 0; i < 3; i++) await published.publish(api(i + 1), { expected: i });
    // One saw the third, and another one publishes the fourth before it is rolled back.
    await published.publish(api(9), { expected: 3, by: "ben" });
    const refused = published.rollback(1, { expected: 3, by: "ana" });
    await expect(refused).rejects.toThrow(PolicyConflictError);
    await expect(refused).rejects.toMatchObject({ version: 4 });
    expect(await published.read()).toMatchObject({ version: 4, by: "ben" });
    // Two at once, of what is in force now: one of them is first.
    const ends = await Promise.allSettled([published.rollback(1), published.rollback(2)]);
    const versions = ends.map((end) => (end.status === "fulfilled" ? end.value : "refused"));
    expect(versions.filter((version) => version !== "refused").length).toBeGreaterThan(0);
    expect(await published.version()).toBe(
      4 + versions.filter((version) => version !== "refused").length,
    );
  });

  test("what is invalid is not published", async () => {
    const { published } = await place(kind);
    const bad = {
      rules: [{ name: "api", policy: { algorithm: "gcra", limit: -1, period: "1s" } }],
    };
    await expect(
      published.publish(bad as unknown as PoliciesDocument, { expected: 0 }),
    ).rejects.toThrow(/rules\[0\]\.policy\.limit/);
    expect(await published.version()).toBe(0);
  });

  test("the last 20 are kept, and an earlier one comes back as a new version", async () => {
    const { published } = await place(kind);
    for (let i = 0; i < 23; i++) await published.publish(api(i + 1), { expected: i });
    const kept = (await published.history()).map(({ version }) => version);
    expect(kept).toEqual(Array.from({ length: 20 }, (_, i) => 23 - i));
    expect(await published.read(3)).toBeUndefined();
    await expect(published.rollback(3)).rejects.toThrow(/one of the last 20 versions/);
    expect(await published.rollback(4, { by: "ana" })).toBe(24);
    const now = await published.read();
    expect(now?.document.rules[0]?.policy).toMatchObject({ limit: 4 });
    expect(now).toMatchObject({ by: "ana", comment: "rollback to 4" });
  });
});

test("a publisher tells a store that has lost everything what it has published", async () => {
  const seen: number[] = [];
  const store = new MemoryStore();
  onTestFinished(() => store.close());
  const documents = documentsOf(store);
  const publish = documents.publish.bind(documents);
  documents.publish = (name, draft) => {
    seen.push(draft.seen);
    return publish(name, draft);
  };
  const published = new PublishedPolicies({ store, name: "p" });
  for (let i = 0; i < 3; i++) await published.publish(api(i + 1), { expected: i });
  expect(seen).toEqual([0, 1, 2]);
});

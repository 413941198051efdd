/** What store.check() finds on real servers that are set up wrongly on purpose. */
import { Redis } from "ioredis";
import { createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  type RedisClientLike,
  RedisStore,
  type StoreFinding,
} from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { documented, granted, grantedToNewer } from "../support/permissions.js";
import { commandTo } from "../support/servers.js";

let server: Awaited<ReturnType<typeof startRedis>>;
let admin: Redis;
let newer: readonly string[];
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
  newer = await grantedToNewer(admin);
});
afterAll(async () => {
  await admin.quit();
  await server.stop();
});

type Server = Awaited<ReturnType<typeof startRedis>>;

async function started(...args: readonly string[]): Promise<Server> {
  const other = await startRedis({ args });
  onTestFinished(() => other.stop());
  return other;
}

async function checked(
  store: RedisStore,
  options?: Parameters<RedisStore["check"]>[0],
): Promise<readonly StoreFinding[]> {
  try {
    return await store.check(options);
  } finally {
    await store.close();
  }
}

const byUrl = (url: string): Promise<readonly StoreFinding[]> => checked(new RedisStore({ url }));

/** The severities and texts of one kind of finding. */
const about = (findings: readonly StoreFinding[], id: string): readonly string[] =>
  findings.filter((each) => each.id === id).map(({ severity, text }) => `${severity}: ${text}`);

test("a server that is as it should be has no warnings, and keeps nothing of the check", async () => {
  const kept = await started("--appendonly", "yes", "--maxmemory", "1gb");
  const findings = await byUrl(kept.url);
  expect(findings.filter(({ severity }) => ["warning", "error"].includes(severity))).toEqual([]);
  for (const id of ["eviction", "memory", "clock", "persistence", "permissions", "messages"]) {
    expect(about(findings, id).join()).toMatch(/^ok: /);
  }
  expect(about(findings, "client")).toEqual([
    "ok: No option of the client lets calls count twice or late.",
  ]);
  const look = new Redis(kept.url);
  expect(await look.dbsize()).toBe(0);
  await look.quit();
});

test("eviction, little memory and a short limit for scripts are found", async () => {
  const wrong = await started(
    "--maxmemory",
    "1mb",
    "--maxmemory-policy",
    "allkeys-lru",
    "--lua-time-limit",
    "20",
  );
  const findings = await byUrl(wrong.url);
  expect(about(findings, "eviction").join()).toMatch(/^warning: .*allkeys-lru/);
  expect(about(findings, "memory").join()).toMatch(/^(?:warning|error): \d+ % of maxmemory/);
  expect(about(findings, "scripts").join()).toMatch(/^warning: busy-reply-threshold is 20 ms/);
});

test("a read-only replica, and a master without min-replicas-to-write, are found", async () => {
  const master = await started();
  const replica = await started("--replicaof", "127.0.0.1", String(master.port));
  const look = new Redis(replica.url);
  onTestFinished(async () => void (await look.quit()));
  await eventually(async () =>
    expect(await look.info("replication")).toContain("master_link_status:up"),
  );
  const ofReplica = await byUrl(replica.url);
  expect(about(ofReplica, "role").join()).toMatch(
    new RegExp(`^error: This is a read-only replica of 127.0.0.1:${master.port}`),
  );
  await eventually(async () =>
    expect(about(await byUrl(master.url), "replicas").join()).toMatch(
      /^note: 1 replica, and min-replicas-to-write is not set/,
    ),
  );
  await commandTo(master.port, ["CONFIG", "SET", "min-replicas-to-write", "2"]);
  expect(about(await byUrl(master.url), "replicas").join()).toMatch(/^error: Too few replicas/);
});

test("a server that is not there is a finding, without the password", async () => {
  const { port } = await started();
  await admin.ping();
  const gone = await startRedis();
  await gone.stop();
  const url = gone.url.replace("//", "//ann:s3cret@");
  const findings = await byUrl(url);
  expect(findings).toHaveLength(1);
  expect(findings[0]).toMatchObject({
    id: "connection",
    severity: "error",
    page: "docs/redis.md#connecting",
  });
  expect(JSON.stringify(findings)).not.toContain("s3cret");
  const refused = await byUrl(`redis://ann:s3cret@127.0.0.1:${port}`);
  expect(refused).toMatchObject([{ id: "connection", severity: "error" }]);
  expect(JSON.stringify(refused)).not.toContain("s3cret");
});

test("a closed store is not checked, nor with options that are none", async () => {
  const store = new RedisStore({ url: server.url });
  await expect(store.check({ namespace: "a b" })).rejects.toThrow(/namespace/);
  await store.close();
  await expect(store.check()).rejects.toThrow(/closed/);
});

describe("permissions", () => {
  const words = documented("limiter on ");
  const password = words.find((word) => word.startsWith(">"))?.slice(1) ?? "";
  const all = granted(words);

  async function asUser(...changes: readonly string[]): Promise<RedisStore> {
    await admin.call("ACL", "DELUSER", "limiter");
    await admin.call("ACL", ...words.slice(1), ...newer, ...changes);
    const client = new Redis(server.url, {
      username: "limiter",
      password,
      enableReadyCheck: false,
    });
    client.on("error", () => {});
    onTestFinished(() => {
      client.disconnect();
    });
    return new RedisStore({ client });
  }

  test("the documented user's suffice, as he finds by trying", async () => {
    const findings = await checked(await asUser());
    expect(about(findings, "permissions").join()).toMatch(
      /^ok: This user may run all that limiters need/,
    );
    expect(about(findings, "permissions-semaphore").join()).toBe(
      "note: This user lacks +zadd +zrange +zrem +zscore: semaphores fail.",
    );
    expect(about(findings, "messages").join()).toMatch(/^warning: No channel/);
    expect(about(findings, "unchecked").join()).toMatch(/INFO, CONFIG GET/);
    expect(await admin.dbsize()).toBe(0);
  });

  // Without these it cannot try; that is found too.
  test.each(all.filter((word) => !/eval|time/.test(word)))(
    "without %s that is found, by trying and by ACL DRYRUN alike",
    async (word) => {
      const tried = await checked(await asUser(word.replace("+", "-")));
      expect(about(tried, "permissions")).toEqual([
        `error: This user lacks ${word}: limiters fail.`,
      ]);
      const dry = await checked(new RedisStore({ url: server.url }), { user: "limiter" });
      // Redis 6.2 has no ACL DRYRUN.
      const isKnown = !(await admin.info()).includes("redis_version:6.");
      expect(about(dry, isKnown ? "permissions" : "unchecked").join()).toContain(
        isKnown ? `error: User "limiter" lacks ${word}: limiters fail.` : "is not known",
      );
    },
  );

  test.each(["eval", "evalsha", "time"])("without +%s that is found", async (command) => {
    const tried = await checked(await asUser(`-${command}`));
    expect(about(tried, "permissions").join()).toMatch(/^error: /);
  });

  test("keys out of reach are found", async () => {
    const client = await asUser("resetkeys", "~other:*");
    const findings = await checked(client);
    expect(about(findings, "permissions").join()).toMatch(/^error: /);
    const inReach = await checked(await asUser("resetkeys", "~other:*"), { namespace: "other" });
    expect(about(inReach, "permissions").join()).toMatch(/^ok: /);
  });

  test("a user of whom the server knows nothing is not said to be fine", async () => {
    const findings = await checked(new RedisStore({ url: server.url }), { user: "nobody" });
    expect(about(findings, "unchecked").join()).toMatch(/^warning: Whether nobody may/);
    expect(about(findings, "permissions")).toEqual([]);
  });
});

describe("through every kind of client", () => {
  /** What its options say, and whether it can ask the server more than scripts. */
  const kinds: Readonly<Record<keyof typeof clients, { warnings: number; asks: boolean }>> = {
    ioredis: { warnings: 2, asks: true },
    iovalkey: { warnings: 2, asks: true },
    "node-redis": { warnings: 1, asks: true },
    "valkey-glide": { warnings: 0, asks: true },
    "Bun's send": { warnings: 0, asks: true },
    upstash: { warnings: 0, asks: false },
    "upstash without pipelines": { warnings: 0, asks: false },
    "a function": { warnings: 0, asks: false },
  };

  test.each(Object.entries(kinds))("%s", async (name, { warnings, asks }) => {
    const { client, close } = await clients[name as keyof typeof clients]({ url: server.url });
    onTestFinished(close);
    const findings = await checked(new RedisStore({ client }));
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(about(findings, "server")).toHaveLength(asks ? 1 : 0);
    expect(about(findings, "unchecked")).toHaveLength(asks ? 0 : 1);
    expect(about(findings, "round-trip")).toHaveLength(1);
    expect(about(findings, "permissions").join()).toMatch(/^ok: /);
    const { length } = about(findings, "client").filter((text) => text.startsWith("warning: "));
    expect(length).toBe(warnings);
  });

  test("Upstash's, where it sends again", async () => {
    const { Redis: Upstash } = await import("@upstash/redis");
    const client = new Upstash({ url: "https://127.0.0.1:1", token: "t", enableTelemetry: false });
    const { upstash } = await import("../../src/stores/redis/clients/upstash.js");
    expect(upstash.hazardsOf?.(client as never)).toMatchObject([{ better: "retry: false" }]);
  });
});

describe("on a Cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.stop());
  const url = (): string => `redis://127.0.0.1:${cluster.ports[0]}`;

  test("every master is asked, and what is true of one says of which", async () => {
    const port = cluster.ports[1] ?? 0;
    await commandTo(port, ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    onTestFinished(async () => {
      await commandTo(port, ["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    });
    const findings = await checked(await RedisStore.connect(url(), { cluster: true }));
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(about(findings, "cluster")).toEqual(["ok: All 16384 slots are covered."]);
    expect(about(findings, "messages").join()).toMatch(/^ok: /);
    expect(about(findings, "round-trip")).toHaveLength(3);
    expect(findings).toContainEqual(
      expect.objectContaining({ id: "eviction", severity: "warning", node: `127.0.0.1:${port}` }),
    );
  });

  test("a store that was not told of it is found, and clients that send again", async () => {
    expect(about(await byUrl(url()), "cluster").join()).toMatch(/^error: .*cluster: true/);
    const nodes = cluster.ports.map((port) => ({ host: "127.0.0.1", port }));
    const { Cluster } = await import("ioredis");
    const io = new Cluster(nodes);
    const nodeRedis = createCluster({
      rootNodes: nodes.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })),
    });
    nodeRedis.on("error", () => {});
    await nodeRedis.connect();
    onTestFinished(() => {
      io.disconnect();
      nodeRedis.destroy();
    });
    const better: [RedisClientLike, string][] = [
      [io, "retryDelayOnFailover: 0"],
      [nodeRedis, "disableOfflineQueue: true"],
    ];
    for (const [client, option] of better) {
      const findings = await checked(new RedisStore({ client }));
      expect(about(findings, "client").join()).toContain(`warning: Better: ${option}`);
      expect(about(findings, "cluster")).toEqual(["ok: All 16384 slots are covered."]);
    }
  });

  test("a server that is no node of one is found", async () => {
    // Neither client would connect to it as to a Cluster, but one that shows no nodes does not notice.
    const client = Object.assign(new Redis(server.url), { isCluster: true, nodes: () => [admin] });
    onTestFinished(() => {
      client.disconnect();
    });
    const findings = await checked(new RedisStore({ client, subscriber: false }));
    expect(about(findings, "cluster").join()).toMatch(/^error: .*leave out/);
  });
});

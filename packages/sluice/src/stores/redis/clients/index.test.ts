import { GlideClient, GlideClusterClient } from "@valkey/valkey-glide";
import { Redis as Upstash } from "@upstash/redis";
import { Cluster, Redis } from "ioredis";
import { Cluster as ValkeyCluster, Redis as Valkey } from "iovalkey";
import { createClient, createClientPool, createCluster, createSentinel } from "redis";
import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../../../index.js";
import { bun } from "./bun.js";
import { glide } from "./glide.js";
import { adapterOf, connectablePackages, refusalWordedByClient, subscriptionsOf } from "./index.js";
import { ioredis } from "./ioredis.js";
import { nodeRedis } from "./node-redis.js";
import { rawFunction } from "./raw-function.js";
import { ReconnectingClient } from "./reconnecting-client.js";
import { upstash } from "./upstash.js";

// None of them connects: the shape of the object is all that detection needs.
const lazyConnect = true;
const nodes = [{ host: "127.0.0.1", port: 1 }];
const rootNodes = [{ url: "redis://127.0.0.1:1" }];

const connectors = {
  ioredis: new Redis({ lazyConnect }),
  iovalkey: new Valkey({ lazyConnect }),
  "node-redis": createClient(),
  "node-redis's Sentinel": createSentinel({ name: "main", sentinelRootNodes: nodes }),
  "what connect opens with node-redis": new ReconnectingClient(() => createClient(), 1000),
};
const clusters = {
  ioredis: new Cluster(nodes, { lazyConnect }),
  iovalkey: new ValkeyCluster(nodes, { lazyConnect }),
  "node-redis": createCluster({ rootNodes }),
};
const others = {
  "node-redis's pool": createClientPool(),
  // They are made by connecting alone.
  GLIDE: Object.create(GlideClient.prototype) as object,
  "GLIDE's Cluster": Object.create(GlideClusterClient.prototype) as object,
  upstash: new Upstash({ url: "https://127.0.0.1:1", token: "none", enableTelemetry: false }),
  // Only Bun has its client; these are the methods that its documentation names.
  Bun: { connect() {}, close() {}, duplicate() {}, get() {}, set() {}, send() {}, subscribe() {} },
  "a function": async () => [],
  // Some versions of node-redis make clients that can be called.
  "a function with a client's methods": Object.assign(async () => [], { evalSha() {} }),
};

describe("a client is recognized by its shape", () => {
  test.each([
    ["ioredis", connectors.ioredis, ioredis],
    ["iovalkey", connectors.iovalkey, ioredis],
    ["ioredis's Cluster", clusters.ioredis, ioredis],
    ["iovalkey's Cluster", clusters.iovalkey, ioredis],
    ["node-redis", connectors["node-redis"], nodeRedis],
    ["node-redis's Cluster", clusters["node-redis"], nodeRedis],
    ["node-redis's Sentinel", connectors["node-redis's Sentinel"], nodeRedis],
    ["node-redis's pool", others["node-redis's pool"], nodeRedis],
    ["what connect opens", connectors["what connect opens with node-redis"], nodeRedis],
    ["GLIDE", others.GLIDE, glide],
    ["GLIDE's Cluster", others["GLIDE's Cluster"], glide],
    ["upstash", others.upstash, upstash],
    ["Bun", others.Bun, bun],
    ["a function", others["a function"], rawFunction],
    ["a callable client", others["a function with a client's methods"], rawFunction],
  ] as const)("%s", (_, client, adapter) => {
    expect(adapterOf(client)).toBe(adapter);
  });

  test("in a fixed order, where an object has the methods of several", () => {
    const marks = ["customCommand", "evalSha", "defineCommand", "createScript", "send"];
    const found = marks.map((_, i) => {
      const client = Object.fromEntries(marks.slice(i).map((mark) => [mark, () => {}]));
      return adapterOf(client);
    });
    expect(found).toEqual([glide, nodeRedis, ioredis, upstash, bun]);
  });

  test.each([undefined, null, "redis://localhost", 7, {}, { send: true }])(
    "but not %o",
    (client) => {
      expect(() => adapterOf(client)).toThrow(InvalidOptionError);
      expect(() => adapterOf(client)).toThrow(/client: .*a client of redis, ioredis, iovalkey/);
    },
  );
});

describe("a Cluster's client is recognized", () => {
  const clusterOf = (client: object) => adapterOf(client).clusterOf?.(client);

  test.each(Object.entries(clusters))("%s, which shows the slots' masters", (_, client) => {
    expect(clusterOf(client)?.nodeOf?.(7)).toBe("");
  });

  test("GLIDE, which does not show them", () => {
    expect(clusterOf(others["GLIDE's Cluster"])).toEqual({ nodeOf: undefined });
  });

  test("and no other client is taken for one", () => {
    const { GLIDE, upstash: rest, Bun: built, "a function": raw } = others;
    for (const client of [...Object.values(connectors), GLIDE, rest, built, raw]) {
      expect(clusterOf(client)).toBeUndefined();
    }
  });

  test("the table is read again for each call", () => {
    const slots: string[][] = [];
    const client = { defineCommand() {}, isCluster: true, slots };
    const nodeOf = clusterOf(client)?.nodeOf;
    expect(nodeOf?.(0)).toBe("");
    client.slots = [["127.0.0.1:7000", "127.0.0.1:7003"]];
    expect(nodeOf?.(0)).toBe("127.0.0.1:7000");
  });
});

describe("what may have reached the server is never sent again", () => {
  const once = { lazyConnect, autoResendUnfulfilledCommands: false };
  const never = { lazyConnect, retryDelayOnFailover: 0 };
  const reconnectOnError = (): true => true;
  const twice = [
    ["ioredis by default", connectors.ioredis],
    ["ioredis with few tries", new Redis({ lazyConnect, maxRetriesPerRequest: 1 })],
    ["ioredis that tries after errors", new Redis({ ...once, reconnectOnError })],
    ["iovalkey by default", connectors.iovalkey],
    ["ioredis's Cluster by default", clusters.ioredis],
    [
      "ioredis's Cluster with its nodes' options",
      new Cluster(nodes, { ...once, redisOptions: once }),
    ],
    [
      "ioredis's Cluster that tries after errors",
      new Cluster(nodes, { ...never, redisOptions: { reconnectOnError } }),
    ],
    ["node-redis's Sentinel", connectors["node-redis's Sentinel"]],
    ...Object.entries(others).filter(([name]) => !name.startsWith("node-redis")),
  ] as const;

  test.each(twice)("but perhaps by %s", (_, client) => {
    expect(adapterOf(client).sendsOnce?.(client) ?? false).toBe(false);
  });

  test.each([
    ["ioredis that does not send again", new Redis(once)],
    ["ioredis that does not try again", new Redis({ lazyConnect, maxRetriesPerRequest: 0 })],
    ["iovalkey that does not send again", new Valkey(once)],
    ["ioredis's Cluster without a failover's delay", new Cluster(nodes, never)],
    ["node-redis", connectors["node-redis"]],
    ["node-redis's pool", others["node-redis's pool"]],
    ["node-redis's Cluster", clusters["node-redis"]],
    ["what connect opens with node-redis", connectors["what connect opens with node-redis"]],
  ] as const)("by %s", (_, client) => {
    expect(adapterOf(client).sendsOnce?.(client)).toBe(true);
  });
});

describe("subscriptions go", () => {
  test.each([...Object.entries(connectors), ...Object.entries(clusters)])(
    "through %s",
    (_, client) => {
      const { subscriptions } = adapterOf(client);
      expect(subscriptions).toBeDefined();
      expect(subscriptionsOf(client)).toBe(subscriptions);
    },
  );

  test("through no other client", () => {
    for (const client of [...Object.values(others), undefined, null]) {
      expect(subscriptionsOf(client)).toBeUndefined();
    }
  });
});

test("connect prefers the package redis to ioredis", () => {
  expect(connectablePackages.map(({ name }) => name)).toEqual(["redis", "ioredis"]);
});

const BY_GLIDE = "An error was signalled by the server: - ";

test.each([
  ["Too many Cluster redirections. Last error: ReplyError: MOVED 7 127.0.0.1:1", "movingSlot"],
  [new Error("Too many Cluster redirections", { cause: new Error("ASK 7 x:1") }), "movingSlot"],
  [new Error("Too many Cluster redirections"), undefined],
  [`${BY_GLIDE}CrossSlot: Keys in request don't hash to the same slot`, "severalSlots"],
  [
    `${BY_GLIDE}PermissionDenied: this user has no permissions to access one of the keys`,
    "unreachableKey",
  ],
  [`${BY_GLIDE}PermissionDenied: this user has no permissions to run 'evalsha'`, undefined],
  ["ERR key [CrossSlot]", undefined],
] as const)("a client's words for a refusal are understood: %s", (said, reason) => {
  expect(refusalWordedByClient(typeof said === "string" ? new Error(said) : said)).toBe(reason);
});

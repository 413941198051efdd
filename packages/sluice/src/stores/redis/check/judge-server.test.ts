import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FINDING_PAGES, type FindingId, type FindingSeverity } from "./finding.js";
import { judgeServer, knowsClientNames } from "./judge-server.js";
import type { ServerFacts, Timing } from "./server-facts.js";

/** A server about which there is nothing to say but that all is well. */
const WELL = {
  redis_version: "8.0.2",
  role: "master",
  loading: "0",
  maxmemory_policy: "noeviction",
  maxmemory: "1000",
  used_memory: "100",
  connected_slaves: "1",
  min_slaves_good_slaves: "1",
  aof_enabled: "1",
  aof_last_write_status: "ok",
  rdb_last_bgsave_status: "ok",
  cluster_enabled: "0",
};
const NEAR: Timing = {
  tripsMs: Array.from({ length: 50 }, (_, i) => 0.2 + i / 1000),
  offsetMs: 3,
  uncertaintyMs: 0.1,
};

interface Given {
  readonly info?: Readonly<Record<string, string | undefined>>;
  readonly config?: Readonly<Record<string, string>>;
  readonly cluster?: Readonly<Record<string, string>>;
  readonly timing?: Partial<Timing>;
  readonly isCluster?: boolean;
}

const factsOf = ({ info, config = {}, cluster = {}, timing }: Given): ServerFacts => ({
  address: "10.0.0.7:6379",
  info: new Map(
    Object.entries({ ...WELL, ...info }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  ),
  config: new Map(Object.entries({ "min-replicas-to-write": "1", ...config })),
  cluster: new Map(Object.entries(cluster)),
  timing: { ...NEAR, ...timing },
  refused: [],
});

const judged = (given: Given) =>
  judgeServer(factsOf(given), { isCluster: given.isCluster === true });

test("of a server that is well, everything is said to be", () => {
  expect(judged({}).map(({ id, severity }) => [id, severity])).toEqual(
    ["server", "eviction", "memory", "clock", "round-trip", "replicas", "persistence"].map((id) => [
      id,
      "ok",
    ]),
  );
});

const CLUSTER = { cluster_state: "ok", cluster_slots_assigned: "16384" };
const COVERED = { ...CLUSTER, cluster_slots_fail: "0", cluster_slots_pfail: "0" };

const cases: [what: string, Given, FindingId, FindingSeverity, RegExp][] = [
  ["Redis 6.0", { info: { redis_version: "6.0.16" } }, "server", "error", /too old/],
  ["Redis 6.2", { info: { redis_version: "6.2.0" } }, "server", "note", /Redis 6\.2\.0 gets no/],
  ["Redis 7.0", { info: { redis_version: "7.0.15" } }, "server", "note", /gets no fixes/],
  ["Redis 7.2", { info: { redis_version: "7.2.0" } }, "server", "ok", /^Redis 7\.2\.0\.$/],
  ["Redis 10", { info: { redis_version: "10.0.0" } }, "server", "ok", /^Redis 10\.0\.0\.$/],
  [
    "Valkey",
    { info: { valkey_version: "8.1.1", redis_version: "7.2.4" } },
    "server",
    "ok",
    /^Valkey 8\.1\.1\.$/,
  ],
  [
    "volatile-ttl",
    { info: { maxmemory_policy: "volatile-ttl" } },
    "eviction",
    "note",
    /noeviction loses none/,
  ],
  ...["allkeys-lru", "volatile-lru", "volatile-random", "allkeys-lfu"].map(
    (policy): (typeof cases)[number] => [
      policy,
      { info: { maxmemory_policy: policy } },
      "eviction",
      "warning",
      /limits do not hold/,
    ],
  ),
  ["no maxmemory", { info: { maxmemory: "0" } }, "memory", "note", /maxmemory is not set/],
  ["89 % full", { info: { used_memory: "899" } }, "memory", "ok", /^89 %/],
  ["90 % full", { info: { used_memory: "900" } }, "memory", "warning", /^90 %.*writes fail/],
  ["full", { info: { used_memory: "1000" } }, "memory", "error", /^100 %/],
  [
    "nearly full, and evicting",
    { info: { used_memory: "950", maxmemory_policy: "volatile-ttl" } },
    "memory",
    "warning",
    /keys are evicted/,
  ],
  ["a clock 100 ms ahead", { timing: { offsetMs: 100 } }, "clock", "ok", /100 ms ahead of/],
  ["a clock 150 ms ahead", { timing: { offsetMs: 150 } }, "clock", "note", /150 ms ahead of/],
  ["a clock 3 s behind", { timing: { offsetMs: -3000 } }, "clock", "warning", /3\.00 s behind/],
  [
    "a clock that a slow network hides",
    { timing: { offsetMs: 500, uncertaintyMs: 450 } },
    "clock",
    "ok",
    /± 450 ms/,
  ],
  ["49 ms away", { timing: { tripsMs: [1, 49] } }, "round-trip", "ok", /49 ms \(p99/],
  ["50 ms away", { timing: { tripsMs: [1, 50] } }, "round-trip", "warning", /little is left/],
  ["250 ms away", { timing: { tripsMs: [250, 250] } }, "round-trip", "error", /answered without/],
  ["loading", { info: { loading: "1" } }, "role", "error", /loading its data/],
  [
    "a replica",
    { info: { role: "slave", master_host: "10.0.0.1", master_port: "6379" } },
    "role",
    "error",
    /read-only replica of 10\.0\.0\.1:6379/,
  ],
  [
    "a replica that takes writes",
    { info: { role: "slave", slave_read_only: "0" } },
    "role",
    "error",
    /next synchronization undoes/,
  ],
  ["no replica", { info: { connected_slaves: "0" } }, "replicas", "note", /No replica/],
  [
    "replicas that nobody waits for",
    { config: { "min-replicas-to-write": "0" } },
    "replicas",
    "note",
    /min-replicas-to-write is not set/,
  ],
  [
    "too few replicas",
    { info: { connected_slaves: "0", min_slaves_good_slaves: "0" } },
    "replicas",
    "error",
    /writes are refused/,
  ],
  [
    "no file",
    { info: { aof_enabled: "0" }, config: { save: "" } },
    "persistence",
    "note",
    /Nothing is kept on disk/,
  ],
  [
    "snapshots",
    { info: { aof_enabled: "0" }, config: { save: "3600 1" } },
    "persistence",
    "note",
    /after the last snapshot/,
  ],
  [
    "a snapshot that failed",
    { info: { rdb_last_bgsave_status: "err" } },
    "persistence",
    "error",
    /MISCONF/,
  ],
  [
    "an append-only file that fails",
    { info: { aof_last_write_status: "err" } },
    "persistence",
    "error",
    /cannot be written/,
  ],
  ["99 ms for scripts", { config: { "lua-time-limit": "99" } }, "scripts", "warning", /99 ms/],
  ["a Cluster's node", { info: { cluster_enabled: "1" } }, "cluster", "error", /cluster: true/],
  ["no Cluster's node", { isCluster: true }, "cluster", "error", /leave out/],
  [
    "a Cluster",
    { isCluster: true, info: { cluster_enabled: "1" }, cluster: COVERED },
    "cluster",
    "ok",
    /All 16384 slots/,
  ],
  [
    "a Cluster that stops as a whole",
    {
      isCluster: true,
      info: { cluster_enabled: "1" },
      cluster: COVERED,
      config: { "cluster-require-full-coverage": "yes" },
    },
    "cluster",
    "note",
    /while one master is down/,
  ],
  [
    "a Cluster without some slots",
    {
      isCluster: true,
      info: { cluster_enabled: "1" },
      cluster: { ...COVERED, cluster_slots_assigned: "16380" },
    },
    "cluster",
    "error",
    /^4 of 16384 slots/,
  ],
  [
    "a Cluster with a node that is gone",
    {
      isCluster: true,
      info: { cluster_enabled: "1" },
      cluster: { ...COVERED, cluster_slots_pfail: "5461" },
    },
    "cluster",
    "error",
    /5461 slots/,
  ],
];

describe("a server's facts are judged", () => {
  test.each(cases)("%s", (_, given, id, severity, text) => {
    const found = judged(given).filter((each) => each.id === id);
    expect(found).toHaveLength(1);
    expect(found[0]?.severity).toBe(severity);
    expect(found[0]?.text).toMatch(text);
  });

  test("and of what is not known nothing is said", () => {
    const none = new Map<string, string>();
    const unknown = { address: "", info: none, cluster: none, config: none, timing: undefined };
    for (const isCluster of [false, true]) {
      expect(judgeServer({ ...unknown, refused: [] }, { isCluster })).toEqual([]);
    }
  });
});

test.each([
  ["7.1.9", false],
  ["7.2.0", true],
  ["8.0.0", true],
])("Redis %s is told the names of clients: %s", (version, knows) => {
  expect(knowsClientNames(factsOf({ info: { redis_version: version } }))).toBe(knows);
});

const read = (page: string): string => readFileSync(page, "utf8");

test("every finding's page has the section that it names", () => {
  const missing = Object.values(FINDING_PAGES).filter((page) => {
    const [path = "", anchor] = page.split("#");
    const anchors = [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\w\s-]/g, "")
        .replace(/\s/g, "-"),
    );
    return !anchors.includes(anchor ?? "");
  });
  expect(missing).toEqual([]);
});

test("docs/redis.md explains every finding", () => {
  const page = read("docs/redis.md");
  const unexplained = Object.keys(FINDING_PAGES).filter((id) => !page.includes(`| \`${id}\` |`));
  expect(unexplained).toEqual([]);
});

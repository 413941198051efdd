/** Reports in a real Redis: what each process counted, once, through every client. */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { RateLimiter, tokenBucket } from "../../src/index.js";
import { readReports, report } from "../../src/report/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { clients } from "../support/clients.js";
import { startNode } from "../support/processes.js";

/** Works a load, and prints its own counts and how often it denied each key. */
const WORKER = `
import { RateLimiter, Semaphore, tokenBucket } from "./dist/index.js";
import { RedisStore } from "./dist/stores/redis/index.js";
import { report } from "./dist/report/index.js";
const [url, name, seed] = process.argv.slice(2);
const store = await RedisStore.connect(url);
const common = { store, namespace: name, timeout: "60s", onStoreFailure: "throw" };
const api = new RateLimiter({ ...common, denyCache: false, policy: [
  tokenBucket({ name: "burst", limit: 5, period: "1h" }),
  tokenBucket({ name: "daily", limit: 60, period: "1d" }),
] });
const shadow = new RateLimiter({ ...common, namespace: name + ".shadow", enforce: false, prefetch: { size: 4, ttl: "1m" },
  policy: tokenBucket({ limit: 7, period: "1h" }) });
const jobs = new Semaphore({ store, namespace: name, name: "jobs", limit: 2, timeout: "60s" });
const reporter = report({ store, name, limiters: [api, shadow], semaphores: [jobs], every: "100ms" });
const denied = {};
for (let round = 0; round < 25; round++) {
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const key = "k" + ((i * Number(seed) + round) % 37);
    const { allowed } = await api.consume(key, { cost: 0.5 });
    if (!allowed) denied[key] = (denied[key] ?? 0) + 1;
    await shadow.consume(key);
    if (i === 0) await jobs.withPermit("all", async () => {});
    const gone = new AbortController();
    gone.abort();
    if (i === 1) await api.consume(key, { signal: gone.signal }).catch(() => {});
  }));
}
const stats = [api.stats(), shadow.stats(), jobs.stats()];
await reporter.end();
await store.close();
console.log(JSON.stringify({ stats, denied }));
`;

const { keyId } = await import("../../src/audit/index.js");

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["redis", "@redis", "cluster-key-slot"]);
  writeFileSync(join(built.directory, "worker.mjs"), WORKER);
});
afterAll(() => {
  built.remove();
});

interface Said {
  readonly stats: readonly [
    ReturnType<RateLimiter["stats"]>,
    ReturnType<RateLimiter["stats"]>,
    { readonly granted: number },
  ];
  readonly denied: Readonly<Record<string, number>>;
}

test("the report of four processes is the sum of what each counted, to the last id", async () => {
  const name = `four-${randomUUID()}`;
  const worker = join(built.directory, "worker.mjs");
  const ended = await Promise.all(
    ["1", "2", "3", "5"].map((seed) => startNode([worker, inject("redisUrl"), name, seed]).ended),
  );
  const said = ended.map(({ stdout, stderr, code }) => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout) as Said;
  });
  const store = await RedisStore.connect(inject("redisUrl"));
  onTestFinished(() => store.close());
  const reports = await readReports({ store, name, minutes: 60 });
  expect(reports.processes.map(({ state }) => state)).toEqual(Array(4).fill("ended"));
  expect(reports.gaps).toEqual([]);
  for (const [i, limiter] of [name, `${name}.shadow`].entries()) {
    const own = said.map(({ stats }) => stats[i as 0 | 1]);
    const sum = (of: (one: (typeof own)[number]) => number): number =>
      own.reduce((total, one) => total + of(one), 0);
    const found = reports.limiters.find((one) => one.limiter === limiter);
    expect(found).toMatchObject({
      asked: 2000,
      allowed: sum(({ allowed }) => allowed),
      denied: sum(({ denied }) => denied),
      shadowDenied: sum(({ shadowDenied }) => shadowDenied),
      nearLimit: sum(({ nearLimit }) => nearLimit),
      withoutStore: 0,
      aborted: sum(({ aborted }) => aborted),
    });
    for (const policy of found?.policies ?? []) {
      for (const { outcome, reason, source, count, units } of policy.decisions) {
        const cells = own.flatMap(({ decisions }) =>
          decisions.filter(
            (one) =>
              one.policy === policy.policy &&
              one.outcome === outcome &&
              one.reason === reason &&
              one.source === source,
          ),
        );
        expect(count).toBe(cells.reduce((total, cell) => total + cell.count, 0));
        expect(units).toBe(cells.reduce((total, cell) => total + cell.units, 0));
      }
    }
  }
  const api = reports.limiters.find((one) => one.limiter === name);
  expect(api?.denied).toBeGreaterThan(0);
  expect(reports.semaphores).toMatchObject([{ granted: 100, held: 0, lost: 0, limit: 2 }]);
  const truth = new Map<string, number>();
  for (const { denied } of said) {
    for (const [key, count] of Object.entries(denied)) {
      truth.set(keyId(key), (truth.get(keyId(key)) ?? 0) + count);
    }
  }
  const listed = new Map<string, number>();
  const own = reports.limiters.find(({ limiter }) => limiter === name);
  for (const { topDenied } of own?.policies ?? []) {
    for (const { id, atLeast, atMost } of topDenied) {
      expect(atLeast).toBe(atMost);
      listed.set(id, (listed.get(id) ?? 0) + atLeast);
    }
  }
  expect(listed).toEqual(truth);
});

describe.each(["ioredis", "node-redis", "valkey-glide", "upstash"] as const)(
  "through %s",
  (client) => {
    test("what was written is read, by whole minutes that are forgotten in time", async () => {
      const opened = await clients[client]({ url: inject("redisUrl") });
      onTestFinished(opened.close);
      const store = new RedisStore({ client: opened.client });
      const name = `through-${randomUUID()}`;
      const policy = tokenBucket({ limit: 1, period: "1h" });
      const limiter = new RateLimiter({ policy, store, namespace: name, timeout: "30s" });
      const reporter = report({ store, name, limiters: [limiter], every: "1m" });
      for (let i = 0; i < 3; i++) await limiter.consume("k");
      await reporter.flush();
      for (let i = 0; i < 3; i++) await limiter.consume("k");
      await reporter.end();
      const { limiters, unreadable } = await readReports({ store, name });
      expect(limiters).toMatchObject([{ asked: 6, allowed: 1, denied: 5 }]);
      expect(limiters[0]?.policies[0]?.topDenied).toEqual([
        { id: keyId("k"), atLeast: 5, atMost: 5 },
      ]);
      expect(unreadable).toBe(0);
      const admin = new Redis(inject("redisUrl"));
      onTestFinished(() => {
        admin.disconnect();
      });
      const keys = await admin.keys(`${name}:~report:*`);
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) {
        const minutes = (await admin.pttl(key)) / 60_000;
        expect(minutes).toBeGreaterThan(55);
        expect(minutes).toBeLessThanOrEqual(61);
      }
    });
  },
);

test("a write that comes after a later one changes nothing", async () => {
  const store = await RedisStore.connect(inject("redisUrl"));
  onTestFinished(() => store.close());
  const to = { name: `late-${randomUUID()}`, minute: Math.floor(Date.now() / 60e3) };
  const write = (turn: number, text: string) => {
    const fields = new Map([["p:l:a:b", text]]);
    return store.reports.write(to, { process: "p", turn, line: `1 ${turn} 0`, fields });
  };
  expect(await write(2, "two")).toMatchObject({ wasKnown: false });
  expect(await write(10, "ten")).toMatchObject({ wasKnown: true });
  expect(await write(9, "nine")).toMatchObject({ wasKnown: true });
  expect(await write(10, "ten again")).toMatchObject({ wasKnown: true });
  const { fields } = await store.reports.read(to);
  expect(Object.fromEntries(fields)).toEqual({ p: "1 10 0", "p:l:a:b": "ten again" });
});

test("a store with a clock of its own reports by it", async () => {
  const clock = new ManualClock();
  const store = new RedisStore({ url: inject("redisUrl"), clock });
  onTestFinished(() => store.close());
  const name = `clock-${randomUUID()}`;
  const policy = tokenBucket({ limit: 1, period: "1h" });
  const limiter = new RateLimiter({ policy, store, timeout: "60s" });
  const reporter = report({ store, name, limiters: [limiter], every: "1m" });
  await limiter.consume(name);
  await reporter.end();
  clock.advance(120_000);
  const { nowMs, minutes } = await readReports({ store, name, minutes: 3 });
  expect(nowMs).toBe(clock.nowUs() / 1e3);
  expect(minutes.map(({ policies }) => policies.length)).toEqual([1, 0, 0]);
});

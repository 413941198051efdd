/** A real Prometheus scrapes a limiter on a real Redis, and its answers are the audit's of the same run. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { readFileSync } from "node:fs";
import { auditLogs, headerLine, keyId, recordLine } from "../../src/audit/index.js";
import { fixedWindow, RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { metrics } from "../../src/prometheus/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";
import { eventually } from "../support/eventually.js";
import { startVictim } from "../support/servers.js";
import { type Answer, prometheusPrograms, promtool, startPrometheus } from "./programs.js";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const ALERTS = path("../../../../docs/watch/alerts.yaml");
const KEYS = 40;

let programs: string;
beforeAll(async () => {
  programs = await prometheusPrograms();
});

const ends: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
});

/** The expressions of a panel of the board, with its variables filled in. */
function expressionsOf(title: string): readonly string[] {
  const board = JSON.parse(readFileSync(path("../../../../docs/watch/board.json"), "utf8")) as {
    panels: { title: string; targets: { expr: string }[] }[];
  };
  const panel = board.panels.find((each) => each.title === title);
  if (panel === undefined) throw new Error(`the board has no panel "${title}"`);
  return panel.targets.map(({ expr }) =>
    expr.replaceAll("$limiter", ".*").replaceAll("$__rate_interval", "5m"),
  );
}

const only = (answers: readonly Answer[]): number => {
  expect(answers).toHaveLength(1);
  return answers[0]?.value ?? Number.NaN;
};

test("what is exposed passes promtool, and so do the alerts and their tests", async () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }) });
  const store = new RedisStore({ client: async () => [] });
  const onRedis = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
  const semaphore = new Semaphore({ limit: 1, store });
  onTestFinished(async () => {
    await Promise.all([limiter.close(), onRedis.close(), semaphore.close(), store.close()]);
  });
  await limiter.consume("k");
  const { body } = metrics([limiter, onRedis, semaphore]).render();
  // It prints what it would name otherwise.
  expect(await promtool(programs, ["check", "metrics"], body)).toBe("");
  expect(await promtool(programs, ["check", "rules", ALERTS])).toContain("9 rules found");
  const tested = await promtool(programs, ["test", "rules", path("alerts.test.yaml")]);
  expect(tested).toContain("SUCCESS");
});

test("the board's answers are those of the audit of the same run", async () => {
  const redis = await startVictim();
  ends.push(() => redis.stop());
  const connection = await clients["node-redis"]({ url: redis.url });
  ends.push(() => connection.close());
  const store = new RedisStore({ client: connection.client });
  const policy = fixedWindow({ name: "burst", limit: 25, window: "1d" });
  const limiter = new RateLimiter({
    policy,
    store,
    namespace: "watched",
    timeout: "60s",
    denyCache: false,
  });
  ends.push(async () => {
    await limiter.close();
    await store.close();
  });
  const server = createServer(metrics([limiter], { store: "main" }).node);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const prometheus = await startPrometheus(programs, target, ALERTS);
  ends.push(() => prometheus.stop());

  // What begins at 0 is not extrapolated: a first scrape before the load makes ratios of rates exact.
  await eventually(async () => {
    expect(only(await prometheus.query("count(sluice_decisions_total == 0)"))).toBe(2);
  });
  let log = headerLine([policy]);
  for (let round = 0; round < 50; round++) {
    const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`);
    const decisions = await Promise.all(keys.map((key) => limiter.consume(key)));
    for (const [i, decision] of decisions.entries()) {
      log += recordLine({ key: keyId(`user:${i}`), cost: 1 }, decision);
    }
  }
  async function* open(): AsyncGenerator<string> {
    yield log;
  }
  const { report } = await auditLogs([{ name: "log", open }]);
  if (!("tally" in report)) throw new Error("not the audit of a limiter");
  const { records, allowed, denied } = report.tally;
  expect(report.passed).toBe(true);
  expect([records, allowed]).toEqual([50 * KEYS, 25 * KEYS]);

  const asked = "sum(sluice_decisions_total)";
  await eventually(async () => expect(only(await prometheus.query(asked))).toBe(records));
  const by = await prometheus.query("sum by (outcome) (sluice_decisions_total)");
  const count = (outcome: string): number | undefined =>
    by.find(({ labels }) => labels["outcome"] === outcome)?.value;
  expect([count("allowed"), count("denied")]).toEqual([allowed, denied]);

  const [share] = expressionsOf("Share denied");
  expect(only(await prometheus.query(share as string))).toBeCloseTo(denied / records, 9);
  const [limit, windowSeconds] = expressionsOf("Limits in force");
  expect(only(await prometheus.query(limit as string))).toBe(policy.limit);
  expect(only(await prometheus.query(windowSeconds as string))).toBe(86_400);
  const [perTrip, pending] = expressionsOf("Calls a round trip, and under way");
  const { batchCalls } = store.stats();
  expect(only(await prometheus.query(perTrip as string))).toBeCloseTo(
    records / batchCalls.count,
    9,
  );
  expect(only(await prometheus.query(pending as string))).toBe(0);
  const [topDenied] = expressionsOf("Denied a second, by rule");
  const [most] = await prometheus.query(topDenied as string);
  expect(most?.labels).toEqual({ limiter: "watched", policy: "burst" });
});

/** What Prometheus gets to read, by its own rules and by prom-client's. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import { describe, expect, onTestFinished, test } from "vitest";
import { MemoryStore, RateLimiter, Semaphore, tokenBucket } from "../index.js";
import { familiesOf, sourcesOf } from "../metrics/collect.js";
import {
  type PoliciesDocument,
  PolicySet,
  type PolicySource,
  PublishedPolicies,
} from "../policies/index.js";
import { RedisStore } from "../stores/redis/index.js";
import { ManualClock } from "../testing/index.js";
import { metrics } from "./index.js";

const OPENMETRICS = "application/openmetrics-text";
const policy = tokenBucket({ name: "api", limit: 2, period: "1h" });

const TEXT = { file: "f", mark: "1", version: 1, by: undefined, comment: undefined };

async function usedLimiter(namespace = "sluice", store = new MemoryStore()): Promise<RateLimiter> {
  const limiter = new RateLimiter({ policy, store, namespace });
  for (let i = 0; i < 3; i++) await limiter.consume("user:42");
  return limiter;
}

/** The lines of some metric. */
function linesOf(body: string, name: string): readonly string[] {
  return body.split("\n").filter((line) => line.startsWith(name));
}

describe("the text", () => {
  test("has the version of a document, for how long it is stale, reloads and overrides", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const published = new PublishedPolicies({ store, name: "edge" });
    const over = new Date(clock.nowUs() / 1e3 + 1000).toISOString();
    const bucket = { algorithm: "gcra", limit: 1, period: "1s" } as const;
    const document: PoliciesDocument = {
      mode: "shadow",
      rules: [{ name: "api", key: ["user"], policy: bucket }],
      overrides: [
        { rule: "api", key: "user=a", mode: "deny" },
        { rule: "api", key: "user=b", mode: "deny", until: over },
      ],
    };
    await published.publish(document, { expected: 0 });
    const rules = await PolicySet.open({ source: published, store, namespace: "edge" });
    onTestFinished(() => rules.close());
    const { body } = metrics([rules]).render();
    expect(linesOf(body, "sluice_rules_")).toEqual([
      'sluice_rules_version{set="edge"} 1',
      'sluice_rules_stale_seconds{set="edge"} 0',
      'sluice_rules_mode{set="edge",mode="shadow"} 1',
      ...["applied", "scheduled", "recovered", "invalid", "older", "lost", "failed"].map(
        (outcome) =>
          `sluice_rules_reloads_total{set="edge",outcome="${outcome}"} ${outcome === "applied" ? 1 : 0}`,
      ),
    ]);
    expect(linesOf(body, "sluice_overrides")).toEqual(['sluice_overrides{limiter="edge"} 2']);
    clock.advance(1000);
    const later = metrics([rules]).render().body;
    expect(linesOf(later, "sluice_overrides")).toEqual(['sluice_overrides{limiter="edge"} 1']);
  });

  test("has no number of a document without a version but one made of its hash, and says what is stale", async () => {
    const of = async (limit: number): Promise<string | undefined> => {
      const gcra = { algorithm: "gcra", limit, period: "1s" } as const;
      await using rules = new PolicySet({ source: { rules: [{ name: "api", policy: gcra }] } });
      return linesOf(metrics([rules]).render().body, "sluice_rules_version")[0];
    };
    expect(await of(1)).toMatch(/ \d{5,}$/);
    expect(await of(1)).toBe(await of(1));
    expect(await of(1)).not.toBe(await of(2));
    let isLost = false;
    const source: PolicySource = {
      name: "a source",
      look: async ({ mark }) =>
        isLost
          ? { found: "lost", why: "gone" }
          : mark === "1"
            ? { found: "same" }
            : { found: "text", text: { ...TEXT, content: { version: 1, rules: [] } } },
      watch: () => () => {},
    };
    await using rules = await PolicySet.open({ source, every: "1h" });
    isLost = true;
    await rules.reload();
    await expect.poll(() => rules.status().staleMs).toBeGreaterThan(0);
    const [stale] = linesOf(metrics([rules]).render().body, "sluice_rules_stale");
    expect(Number(stale?.split(" ")[1])).toBeGreaterThan(0);
    isLost = false;
    await rules.reload();
    expect(rules.status()).toMatchObject({ stale: undefined, staleMs: 0 });
  });

  test("shows decisions, settings and the store, and no key", async () => {
    const { body, contentType } = metrics([await usedLimiter()]).render();
    expect(contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(linesOf(body, "sluice_decisions_total")).toEqual([
      'sluice_decisions_total{limiter="sluice",policy="api",outcome="allowed",reason="ok",source="store"} 2',
      'sluice_decisions_total{limiter="sluice",policy="api",outcome="denied",reason="quota",source="store"} 1',
    ]);
    expect(linesOf(body, "sluice_policy_")).toEqual([
      'sluice_policy_limit{limiter="sluice",policy="api"} 2',
      'sluice_policy_window_seconds{limiter="sluice",policy="api"} 3600',
      'sluice_policy_mode{limiter="sluice",policy="api",mode="enforce"} 1',
    ]);
    expect(linesOf(body, "sluice_memory_keys")).toEqual(['sluice_memory_keys{store="store"} 1']);
    expect(body).not.toContain("42");
    expect(body.endsWith("\n")).toBe(true);
  });

  test("has cumulative buckets, in seconds, up to +Inf", async () => {
    const store = new RedisStore({ client: async () => [Date.now() * 1000, 64, 9000, 100] });
    const limiter = new RateLimiter({ policy, store, timeout: "30s" });
    await limiter.consume("k");
    const { body } = metrics([limiter], { store: "main" }).render();
    const buckets = linesOf(
      body,
      'sluice_store_call_duration_seconds_bucket{store="main",outcome="ok"',
    );
    expect(buckets[0]).toContain('le="0.0001"');
    expect(buckets.at(-2)).toContain('le="1.0"');
    expect(buckets.at(-1)).toBe(
      'sluice_store_call_duration_seconds_bucket{store="main",outcome="ok",le="+Inf"} 1',
    );
    const values = buckets.map((line) => Number(line.split(" ").at(-1)));
    expect(values).toEqual(values.toSorted((a, b) => a - b));
    expect(linesOf(body, "sluice_store_batch_calls_")).toContain(
      'sluice_store_batch_calls_bucket{store="main",le="1.0"} 1',
    );
    await limiter.close();
    await store.close();
  });

  test("is one series for sources of one name, and numbers stores", async () => {
    const [a, b, c] = [await usedLimiter(), await usedLimiter(), await usedLimiter("other")];
    const { body } = metrics([a, b, c, a]).render();
    const denied = linesOf(body, "sluice_decisions_total").filter((line) =>
      line.includes("denied"),
    );
    expect(denied.map((line) => line.replace(/policy.*\}/, "}"))).toEqual([
      'sluice_decisions_total{limiter="sluice",} 2',
      'sluice_decisions_total{limiter="other",} 1',
    ]);
    expect(linesOf(body, 'sluice_policy_limit{limiter="sluice"')).toEqual([
      'sluice_policy_limit{limiter="sluice",policy="api"} 2',
    ]);
    expect(linesOf(body, "sluice_memory_keys").map((line) => line.slice(18))).toEqual([
      '{store="store"} 1',
      '{store="store-2"} 1',
      '{store="store-3"} 1',
    ]);
    const series = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const names = series.map((line) => line.slice(0, line.lastIndexOf(" ")));
    expect(new Set(names).size).toBe(names.length);
  });

  test("of an unlimited policy and of odd names is still a page", async () => {
    const limiter = new RateLimiter({
      policy: () => tokenBucket({ name: "a.b-c_d", limit: 3, period: "1s" }),
    });
    await limiter.consume('"}\n# HELP x');
    const { body } = metrics([limiter]).render();
    expect(body).toContain('policy="a.b-c_d"');
    expect(body).not.toContain("HELP x");
  });

  test("in OpenMetrics has families without _total, and an end", async () => {
    const page = metrics([await usedLimiter()]).render(
      `${OPENMETRICS};version=1.0.0,text/plain;q=0.5`,
    );
    expect(page.contentType).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(linesOf(page.body, "# TYPE sluice_decisions")).toEqual([
      "# TYPE sluice_decisions counter",
    ]);
    expect(linesOf(page.body, "sluice_decisions_total")).toHaveLength(2);
    expect(page.body.endsWith("\n# EOF\n")).toBe(true);
  });

  test.each([
    [undefined, "text/plain"],
    ["*/*", "text/plain"],
    ["text/plain", "text/plain"],
    [OPENMETRICS, OPENMETRICS],
    [`${OPENMETRICS.toUpperCase()}; q=1`, OPENMETRICS],
    [`${OPENMETRICS};q=0.4, text/plain;q=0.5`, "text/plain"],
    [`${OPENMETRICS};q=0`, "text/plain"],
    [`${OPENMETRICS};q=nothing`, "text/plain"],
    ["application/openmetrics-textual", "text/plain"],
    [",".repeat(1e6) + OPENMETRICS, "text/plain"],
  ])("for Accept %j is %s", (accept, type) => {
    expect(metrics([]).render(accept).contentType.split(";")[0]).toBe(type);
  });
});

describe("a handler", () => {
  test("of node:http answers GET and HEAD, and refuses the rest", async () => {
    const server = createServer(metrics([await usedLimiter()]).node);
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
    const page = await fetch(url, { headers: { Accept: OPENMETRICS } });
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toContain(OPENMETRICS);
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(await page.text()).toContain("sluice_decisions_total");
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const post = await fetch(url, { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("of Requests does the same", async () => {
    const { fetch: handle } = metrics([await usedLimiter()]);
    const page = handle(new Request("http://localhost/", { headers: { Accept: OPENMETRICS } }));
    expect(page.headers.get("content-type")).toContain(OPENMETRICS);
    expect(await page.text()).toContain("sluice_units_total");
    expect(handle(new Request("http://localhost/", { method: "DELETE" })).status).toBe(405);
  });
});

describe("prom-client", () => {
  test.each([Registry.PROMETHEUS_CONTENT_TYPE, Registry.OPENMETRICS_CONTENT_TYPE] as const)(
    "shows the same as we do, as %s",
    async (type) => {
      const limiter = await usedLimiter();
      const semaphore = new Semaphore({ limit: 2 });
      await (await semaphore.acquire("k")).release();
      const own = metrics([limiter, semaphore]);
      const registry = new Registry();
      registry.setContentType(type as typeof Registry.PROMETHEUS_CONTENT_TYPE);
      const end = own.register(registry);
      const series = (text: string): readonly string[] =>
        text
          .split("\n")
          .filter((line) => line !== "" && !line.startsWith("#"))
          .map((line) => line.replaceAll(/le="(\d+)\.0"/g, 'le="$1"'))
          .toSorted();
      expect(series(await registry.metrics())).toEqual(series(own.render(type).body));
      await limiter.consume("user:42");
      expect(series(await registry.metrics())).toEqual(series(own.render(type).body));
      end();
      expect((await registry.metrics()).trim().replace("# EOF", "")).toBe("");
      await semaphore.close();
    },
  );

  test("has none of them where one of their names is taken", async () => {
    const registry = new Registry();
    const taken = { name: "sluice_store_pending", help: "mine", type: "gauge", get: () => [] };
    registry.registerMetric(taken as never);
    expect(() => metrics([]).register(registry)).toThrow("already been registered");
    expect(registry.getMetricsAsArray()).toEqual([taken]);
  });

  test("is told what is no registry", () => {
    expect(() => metrics([]).register({} as Registry)).toThrow("registry");
  });
});

test.each([
  ["measured", [{}]],
  ["measured", [undefined]],
  ["measured", "limiter"],
])("what has no metrics is refused: %s %j", (option, given) => {
  expect(() => metrics(given as never)).toThrow(option);
});

test("a store whose stats are of another kind shows none", () => {
  class OddStore extends MemoryStore {
    override stats(): never {
      return { hits: 1 } as never;
    }
  }
  const limiter = new RateLimiter({ policy, store: new OddStore() });
  expect(metrics([limiter]).render().body).not.toContain("sluice_store");
});

test("one open breaker of two stores of one name is an open breaker", () => {
  const open = new RedisStore({ client: async () => [] });
  const well = new RedisStore({ client: async () => [] });
  open.counts.openParts = () => [""];
  for (const stores of [
    [open, well],
    [well, open],
  ]) {
    const families = familiesOf(stores.flatMap((store) => sourcesOf([store], {})));
    const found = families.find(({ metric }) => metric.name === "sluice.store.breaker.open");
    expect(found?.samples).toMatchObject([{ value: 1 }]);
  }
});

test("options are checked", () => {
  expect(() => metrics([], { store: "a b" })).toThrow("store");
  expect(() => metrics([], { stores: "a" } as never)).toThrow("stores");
});

test("ten thousand names of policies are a hundred series and one", async () => {
  const limiter = new RateLimiter({
    policy: (key) => tokenBucket({ name: `plan-${Number(key) % 1000}`, limit: 1, period: "1s" }),
  });
  for (let i = 0; i < 10_000; i++) await limiter.consume(String(i));
  const { body } = metrics([limiter]).render();
  expect(linesOf(body, "sluice_near_limit_total")).toHaveLength(101);
  expect(body.length).toBeLessThan(100_000);
});

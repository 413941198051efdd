/** The board and the alerts: nothing in them is called otherwise than what is exposed. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { alertsText, boardText, namesIn } from "../../../../scripts/board.mjs";
import { RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { METRIC_GROUPS } from "../../src/metrics/list.js";
import { prometheusName } from "../../src/metrics/metric.js";
import { PolicySet } from "../../src/policies/index.js";
import { metrics } from "../../src/prometheus/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";

const docs = new URL("../../../../docs/", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, docs), "utf8");
const nameOf = namesIn(METRIC_GROUPS, prometheusName);

/** Names of families that a page of Prometheus' text declares. */
function familiesOf(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string));
}

test("both are what scripts/board.mjs makes now", () => {
  expect(read("watch/board.json")).toBe(boardText(nameOf));
  expect(read("watch/alerts.yaml")).toBe(alertsText(nameOf));
});

test("every name in them is exposed, and every exposed name is in docs/watch.md", async () => {
  const store = new RedisStore({ client: async () => [] });
  const policy = tokenBucket({ limit: 1, period: "1s" });
  const onRedis = new RateLimiter({ policy, store });
  const inMemory = new RateLimiter({ policy });
  const semaphore = new Semaphore({ limit: 1, store });
  const rules = new PolicySet({ source: { rules: [] } });
  const exposed = familiesOf(metrics([onRedis, inMemory, semaphore, rules]).render().body);
  const named = `${read("watch/board.json")} ${read("watch/alerts.yaml")}`.match(/\bsluice_\w+/g);
  const unknown = [...new Set(named)].filter(
    (name) => !exposed.has(name) && !exposed.has(name.replace(/_(?:bucket|sum|count)$/, "")),
  );
  expect(unknown).toEqual([]);
  const page = read("watch.md");
  expect([...exposed].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  for (const [, anchor] of read("watch/alerts.yaml").matchAll(/docs\/watch\.md#([\w-]+)/g)) {
    const title = new RegExp(`^#+ ${(anchor as string).replaceAll("-", "[ -]")}$`, "im");
    expect(page).toMatch(title);
  }
  await Promise.all([
    onRedis.close(),
    inMemory.close(),
    semaphore.close(),
    rules.close(),
    store.close(),
  ]);
});

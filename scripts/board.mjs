/**
 * Writes docs/watch/board.json, a Grafana board, and docs/watch/alerts.yaml, rules for Prometheus: out of the list of
 * metrics, so that no name in them can drift from what is exposed. Needs a build: `npm run board` makes one.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { alerts, panels } from "./board-panels.mjs";

/** @typedef {import("./board-panels.mjs").NameOf} NameOf */
/** @typedef {import("./board-panels.mjs").Panel} Panel */

const WIDTH = 8;
const HEIGHT = 8;
const BOARD_WIDTH = 24;

/** @param {Panel} panel @param {number} i Its place. @param {object} source */
function panelOf(panel, i, source) {
  return {
    id: i + 1,
    title: panel.title,
    description: panel.about,
    type: panel.type === "table" ? "table" : "timeseries",
    datasource: source,
    gridPos: {
      h: HEIGHT,
      w: WIDTH,
      x: (i * WIDTH) % BOARD_WIDTH,
      y: Math.floor((i * WIDTH) / BOARD_WIDTH) * HEIGHT,
    },
    fieldConfig: {
      defaults: {
        unit: panel.unit ?? "short",
        min: 0,
        ...(panel.type === "stacked" && {
          custom: { stacking: { mode: "normal" }, fillOpacity: 30 },
        }),
      },
      overrides: [],
    },
    ...(panel.type === "table" && { transformations: [{ id: "merge", options: {} }] }),
    targets: panel.targets.map(([expr, legendFormat], target) => ({
      refId: "ABCDEF"[target],
      datasource: source,
      expr,
      legendFormat,
      ...(panel.type === "table" && { format: "table", instant: true }),
    })),
  };
}

/** The board, as Grafana imports it. @param {NameOf} nameOf */
export function boardText(nameOf) {
  const source = { type: "prometheus", uid: "${DS}" };
  const board = {
    title: "Sluice",
    uid: "sluice",
    tags: ["rate limit"],
    schemaVersion: 39,
    editable: true,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        { name: "DS", type: "datasource", query: "prometheus", label: "Prometheus" },
        {
          name: "limiter",
          type: "query",
          label: "Limiter",
          datasource: source,
          query: `label_values(${nameOf("sluice.decisions")}, limiter)`,
          refresh: 2,
          includeAll: true,
          multi: true,
          allValue: ".*",
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    panels: panels(nameOf).map((panel, i) => panelOf(panel, i, source)),
  };
  return `${JSON.stringify(board, undefined, 2)}\n`;
}

/** The rules, as Prometheus loads them. @param {NameOf} nameOf */
export function alertsText(nameOf) {
  const rules = alerts(nameOf).map(
    ({ alert, expr, for: length, summary, todo }) =>
      `      - alert: ${alert}\n` +
      `        expr: ${JSON.stringify(expr)}\n` +
      `        for: ${length}\n` +
      "        labels:\n          severity: warning\n" +
      "        annotations:\n" +
      `          summary: ${JSON.stringify(summary)}\n` +
      `          runbook: ${JSON.stringify(`docs/watch.md#${todo}`)}\n`,
  );
  return `# Made by \`npm run board\`: change scripts/board-panels.mjs in its place.\ngroups:\n  - name: sluice\n    rules:\n${rules.join("")}`;
}

/** @param {readonly { metrics: readonly { name: string }[] }[]} groups @param {(metric: never) => string} prometheusName @returns {NameOf} */
export function namesIn(groups, prometheusName) {
  return (name) => {
    const metric = groups.flatMap(({ metrics }) => metrics).find((each) => each.name === name);
    if (metric === undefined) throw new Error(`no metric is called ${name}`);
    return prometheusName(/** @type {never} */ (metric));
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dist = new URL("../packages/sluice/dist/metrics/", import.meta.url);
  const { METRIC_GROUPS } = /** @type {typeof import("../packages/sluice/src/metrics/list.js")} */ (
    await import(new URL("list.js", dist).href)
  );
  const { prometheusName } =
    /** @type {typeof import("../packages/sluice/src/metrics/metric.js")} */ (
      await import(new URL("metric.js", dist).href)
    );
  const nameOf = namesIn(METRIC_GROUPS, prometheusName);
  const docs = new URL("../docs/watch/", import.meta.url);
  writeFileSync(new URL("board.json", docs), boardText(nameOf));
  writeFileSync(new URL("alerts.yaml", docs), alertsText(nameOf));
}

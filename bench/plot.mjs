/** The picture of cost against work. Lines are medians, bands the ranges of the rounds. */
import { REFERENCE } from "./contenders/index.mjs";
import { series, speed } from "./entrants.mjs";
import { spread } from "./statistics.mjs";

/** @typedef {import("./entrants.mjs").Row} Row */
/** @typedef {{ label: string, median: number, min: number, max: number }} Point */
/** @typedef {{ name: string, colour: string, points: readonly Point[] }} Line */
/** @typedef {{ left: number, top: number, width: number, height: number }} Frame */

const INK = "#24292f";
const FAINT = "#8c959f";
/** @type {Readonly<Record<string, string>>} */
const COLOURS = { sluice: "#0b7285", [REFERENCE]: "#c2603f" };
const WIDTH = 720;
const HEIGHT = 296;
const TOP = 64;
const TALL = 184;
/** Calls a second are shown in thousands. */
const THOUSAND = 1000;
/** Lines of a grid, about. */
const GRID_LINES = 5;
const GRID_STEPS = [10, 20, 25, 50, 100, 200, 250, 500, 1000];

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {string} [more] further attributes
 */
function label(x, y, text, more = "") {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${text}</text>`;
}

/** @param {number} keys */
function keysLabel(keys) {
  if (keys >= 1e6) return `${keys / 1e6}M`;
  return keys >= THOUSAND ? `${keys / THOUSAND}k` : String(keys);
}

/**
 * One panel: a line a contender over labels side by side.
 * @param {Frame} frame
 * @param {string} title
 * @param {readonly Line[]} lines
 */
function panel({ left, top, width, height }, title, lines) {
  const labels = lines[0]?.points.map((point) => point.label) ?? [];
  const most = Math.max(...lines.flatMap(({ points }) => points.map(({ max }) => max))) / THOUSAND;
  const step = GRID_STEPS.find((each) => most / each <= GRID_LINES) ?? most;
  const highest = Math.ceil(most / step) * step;
  const x = (/** @type {number} */ i) => left + (i / (labels.length - 1)) * width;
  const y = (/** @type {number} */ value) => top + height - (value / highest) * height;
  const grid = Array.from({ length: Math.round(highest / step) + 1 }, (_, i) => i * step);
  return [
    label(left, top - 30, title, 'font-size="12" font-weight="600"'),
    label(left, top - 13, "thousand decisions a second", `fill="${FAINT}"`),
    ...grid.flatMap((value) => [
      `<path d="M${left} ${y(value).toFixed(1)}h${width}" stroke="${FAINT}" stroke-opacity="${value === 0 ? 1 : 0.3}"/>`,
      label(left - 6, y(value) + 4, String(value), 'text-anchor="end"'),
    ]),
    ...labels.map((text, i) => label(x(i), top + height + 16, text, 'text-anchor="middle"')),
    ...lines.flatMap(({ colour, points }) => {
      const at = (/** @type {number} */ i, /** @type {number} */ value) =>
        `${x(i).toFixed(1)} ${y(value / THOUSAND).toFixed(1)}`;
      const upper = points.map(({ max }, i) => at(i, max));
      const lower = points.map(({ min }, i) => at(i, min)).toReversed();
      const middle = points.map(({ median }, i) => at(i, median));
      return [
        `<path d="M${[...upper, ...lower].join("L")}Z" fill="${colour}" fill-opacity="0.16"/>`,
        `<path d="M${middle.join("L")}" fill="none" stroke="${colour}" stroke-width="2" stroke-linejoin="round"/>`,
        ...middle.map((point) => {
          const [cx, cy] = point.split(" ");
          return `<circle cx="${cx}" cy="${cy}" r="2.6" fill="${colour}"/>`;
        }),
      ];
    }),
  ].join("\n");
}

/**
 * Whose line is whose.
 * @param {number} right
 * @param {number} y
 * @param {readonly Line[]} lines
 */
function legend(right, y, lines) {
  return lines.map(({ name, colour }, i) => {
    const at = y + (i - lines.length + 1) * 15;
    return [
      label(right - 22, at + 4, name, `text-anchor="end" fill="${colour}" font-weight="600"`),
      `<path d="M${right - 16} ${at}h16" stroke="${colour}" stroke-width="2"/>`,
      `<circle cx="${right - 8}" cy="${at}" r="2.6" fill="${colour}"/>`,
    ].join("\n");
  });
}

/**
 * @param {string} name
 * @param {readonly { label: string, values: readonly number[] }[]} points
 * @returns {Line}
 */
function lineOf(name, points) {
  const shown = points.map(({ label: text, values }) => ({ label: text, ...spread(values) }));
  return { name, colour: COLOURS[name] ?? INK, points: shown };
}

/** @param {import("./work.mjs").WorkSection} section */
export function draw({ rows, policyRows }) {
  const counts = (rows[0]?.loads[0] ?? []).map(({ keys }) => keys);
  const byKeys = rows.map((row) =>
    lineOf(
      row.contender,
      counts.map((keys, i) => ({ label: keysLabel(keys), values: series(row, i, speed) })),
    ),
  );
  const names = [...new Set(policyRows.map(({ contender }) => contender))];
  const byPolicies = names.map((name) =>
    lineOf(
      name,
      policyRows
        .filter(({ contender }) => contender === name)
        .map((row) => ({ label: String(row.policies), values: series(row, 0, speed) })),
    ),
  );
  const [policyLoad] = policyRows[0]?.loads[0] ?? [];
  const under = `policies a call, ${keysLabel(policyLoad?.keys ?? 0)} keys`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Decisions a second against keys in use and against policies a call">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
<g font-family="ui-sans-serif, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="11" fill="${INK}">
${panel({ left: 44, top: TOP, width: 356, height: TALL }, "keys in use, one policy", byKeys)}
${legend(400, TOP - 19, byKeys).join("\n")}
${panel({ left: 474, top: TOP, width: 222, height: TALL }, under, byPolicies)}
${label(44, HEIGHT - 12, `through ${rows[0]?.client}, ${policyLoad?.inFlight} calls in flight, one client process; medians and ranges of ${rows[0]?.rounds} rounds`, `fill="${FAINT}"`)}
</g>
</svg>
`;
}

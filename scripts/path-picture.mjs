// Draws docs/images/path-of-a-consume.svg: the files that one consume on Redis passes, down on the left and back up on
// the right. It has colours for a light and for a dark page, and paints its own ground.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const picture = fileURLToPath(new URL("../docs/images/path-of-a-consume.svg", import.meta.url));

const WIDTH = 960;
const BOX = { height: 50, gap: 24 };
const LEFT = { x: 40, width: 410 };
const RIGHT = { x: 510, width: 410 };
const BOTH = { x: LEFT.x, width: RIGHT.x + RIGHT.width - LEFT.x };
const HALF = { width: 196, gap: 18 };
const DECISION = { x: RIGHT.x, width: HALF.width };
const FAILURE = { x: RIGHT.x + HALF.width + HALF.gap, width: HALF.width };
/** The lanes in which the request goes down, the answer comes up, and an answer after a failure comes up. */
const LANE = {
  down: LEFT.x + 60,
  up: DECISION.x + DECISION.width / 2,
  failed: FAILURE.x + FAILURE.width / 2,
};
const FRAME = 14;
const FRAME_LABEL = 22;
const TOP = 24;
const LIGHT = {
  ground: "#ffffff",
  box: "#f6f8fa",
  line: "#8c959f",
  text: "#1f2328",
  soft: "#59636e",
  accent: "#0b7285",
  failed: "#c0392b",
};
/** @type {typeof LIGHT} */
const DARK = {
  ground: "#0d1117",
  box: "#161b22",
  line: "#6e7681",
  text: "#e6edf3",
  soft: "#9198a1",
  accent: "#39c5cf",
  failed: "#ff7b72",
};
const FILE = `class="file" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="12"`;

/** @type {string[]} */
const shapes = [];
let y = TOP;

stage(LEFT, "RateLimiter", "limiter/limiter-class.ts", "checks the arguments and makes a request");
stage(RIGHT, "the caller's Decision", "", "the promise resolves");
nextRow(FRAME_LABEL);
const pipeline = beginFrame();
stage(LEFT, "Policies", "limiter/policy-resolver.ts", "finds the policies that decide on the key");
stage(RIGHT, "Events", "events/events.ts", "calls the listeners, hooks among them");
down(FRAME_LABEL);
up(LANE.up, FRAME_LABEL);
nextRow();
stage(LEFT, "Shortcuts", "limiter/shortcuts/", "answer from a known denial or prefetched units");
stage(DECISION, "Decision", "", "limiter/decisions.ts");
stage(FAILURE, "On failure", "", "limiter/on-failure.ts");
down();
up(LANE.up);
up(LANE.failed);
across("known");
nextRow();
stage(BOTH, "Guarded store", "resilience/guarded-store.ts", [
  "asks within the deadline, unless the breaker is open",
  "takes note of the store's health",
]);
down();
up(LANE.up, 0, "result");
up(LANE.failed, 0, "no answer");
endFrame(pipeline, "Pipeline: limiter/pipeline.ts");
nextRow(FRAME_LABEL + FRAME);
const store = beginFrame();
stage(BOTH, "Batcher", "stores/redis/batcher.ts", [
  "collects the calls that go together",
  "gives each call its own result",
]);
down(FRAME_LABEL + FRAME);
up(LANE.up, FRAME_LABEL + FRAME);
nextRow();
stage(LEFT, "Batch", "stores/redis/batch.ts", "turns the calls into keys and arguments");
stage(RIGHT, "Wire", "stores/redis/wire.ts", "turns the reply into results");
down();
up(LANE.up);
nextRow();
stage(
  LEFT,
  "Scripts",
  "stores/redis/scripts.ts",
  "picks the script with the kernels that are needed",
);
down();
nextRow();
stage(BOTH, "Client", "stores/redis/clients/", [
  "EVALSHA; or EVAL, where the script is unknown",
  "the reply: an array of whole numbers",
]);
down();
up(LANE.up, BOX.height + BOX.gap);
endFrame(store, "RedisStore: stores/redis/redis-store.ts");
nextRow(FRAME + FRAME_LABEL);
network();
stage(BOTH, "Redis server", "stores/redis/scripts/consume.lua", [
  "reads its clock once, and the states",
  "decides, writes what changed, replies",
]);
down(FRAME + FRAME_LABEL);
up(LANE.up, FRAME + FRAME_LABEL);
const height = y + BOX.height + TOP;

writeFileSync(
  picture,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="The path of one consume on Redis: RateLimiter, then in the Pipeline policies, shortcuts and guarded store, then in the RedisStore batcher, wire, scripts and client, then the Redis server; back through client, wire, batcher and guarded store to the decision, or to on failure where there is no answer, and to the events">
<style>
${rules(LIGHT)}
@media (prefers-color-scheme: dark) {
${rules(DARK)}
}
</style>
<rect class="ground" width="${WIDTH}" height="${height}" rx="8"/>
<g font-family="ui-sans-serif, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="12.5">
${shapes.join("\n")}
</g>
</svg>
`,
);

/** @param {typeof LIGHT} colours */
function rules({ ground, box, line, text, soft, accent, failed }) {
  return `.ground { fill: ${ground}; }
.box { fill: ${box}; stroke: ${line}; }
.frame { fill: none; stroke: ${line}; stroke-dasharray: 3 4; }
.line { stroke: ${line}; }
.title { fill: ${text}; font-weight: bold; }
.file { fill: ${accent}; }
.soft { fill: ${soft}; }
.arrow { fill: none; stroke: ${accent}; stroke-width: 2; }
.head { fill: ${accent}; }
.failed-arrow { fill: none; stroke: ${failed}; stroke-width: 2; }
.failed-head { fill: ${failed}; }`;
}

/**
 * A stage: its name, its file, and what it does; of two lines the first is said of the way down.
 * @param {{ x: number, width: number }} at
 * @param {string} title
 * @param {string} file
 * @param {string | readonly [string, string]} says
 */
function stage({ x, width }, title, file, says) {
  const inset = 12;
  shapes.push(
    `<rect class="box" x="${x}" y="${y}" width="${width}" height="${BOX.height}" rx="6"/>`,
    `<text class="title" font-size="14" x="${x + inset}" y="${y + 20}">${title}</text>`,
  );
  const end = x + width - inset;
  const second = y + 39;
  if (file !== "") {
    shapes.push(`<text ${FILE} x="${end}" y="${y + 20}" text-anchor="end">${file}</text>`);
  }
  if (typeof says === "string") {
    const isFile = says.endsWith(".ts");
    shapes.push(
      `<text ${isFile ? FILE : 'class="soft"'} x="${x + inset}" y="${second}">${says}</text>`,
    );
    return;
  }
  shapes.push(
    `<text class="soft" x="${x + inset}" y="${second}">${says[0]}</text>`,
    `<text class="soft" x="${end}" y="${second}" text-anchor="end">${says[1]}</text>`,
  );
}

/** @param {number} [more] */
function nextRow(more = 0) {
  y += BOX.height + BOX.gap + more;
}

/**
 * From the row above to this one.
 * @param {number} [more] by how much the gap is wider
 */
function down(more = 0) {
  const from = y - BOX.gap - more;
  arrow(LANE.down, from, y, "");
}

/**
 * From this row to the one above.
 * @param {number} x
 * @param {number} [more]
 * @param {string} [label]
 */
function up(x, more = 0, label = "") {
  arrow(x, y, y - BOX.gap - more, x === LANE.failed ? "failed-" : "", label);
}

/**
 * @param {number} x
 * @param {number} from
 * @param {number} to
 * @param {string} kind
 * @param {string} [label]
 */
function arrow(x, from, to, kind, label = "") {
  const back = to > from ? -7 : 7;
  shapes.push(
    `<path class="${kind}arrow" d="M${x} ${from}V${to + back}"/><path class="${kind}head" d="M${x} ${to}l-5 ${back}h10z"/>`,
  );
  if (label !== "") {
    shapes.push(`<text class="soft" x="${x + 10}" y="${(from + to) / 2 + 4}">${label}</text>`);
  }
}

/**
 * From the left box of this row to the right one.
 * @param {string} label
 */
function across(label) {
  const [from, to, at] = [LEFT.x + LEFT.width, RIGHT.x, y + BOX.height / 2];
  shapes.push(
    `<path class="arrow" d="M${from} ${at}H${to - 7}"/><path class="head" d="M${to} ${at}l-7 -5v10z"/>`,
    `<text class="soft" x="${(from + to) / 2 - 3}" y="${at - 8}" text-anchor="middle">${label}</text>`,
  );
}

/** @returns {number} the frame's top */
function beginFrame() {
  return y - FRAME;
}

/**
 * @param {number} from
 * @param {string} label
 */
function endFrame(from, label) {
  const frame = {
    x: LEFT.x - FRAME,
    width: BOTH.width + 2 * FRAME,
    height: y + BOX.height + FRAME - from,
  };
  shapes.push(
    `<rect class="frame" x="${frame.x}" y="${from}" width="${frame.width}" height="${frame.height}" rx="10"/>`,
    `<text class="soft" x="${frame.x + frame.width - 4}" y="${from - 7}" text-anchor="end">${label}</text>`,
  );
}

/** What lies between the process and the server. */
function network() {
  const at = y - (BOX.gap + FRAME_LABEL) / 2;
  const end = BOTH.x + BOTH.width;
  shapes.push(
    `<path d="M${BOTH.x} ${at}H${end}M${BOTH.x} ${at + 4}H${end}" class="line"/>`,
    `<text class="soft" x="${end}" y="${at - 6}" text-anchor="end">network</text>`,
  );
}

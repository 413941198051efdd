// Draws docs/images/<algorithm>.svg: what each algorithm does with the same calls. The numbers come
// from the built library on a manual clock, so that every run draws the same pictures.
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  MemoryStore,
  RateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "sluice";
import { ManualClock } from "sluice/testing";

const images = fileURLToPath(new URL("../docs/images/", import.meta.url));

const START_MS = Date.UTC(2030, 0, 1);
const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
/** What the plots compare with: ten units in any ten seconds. */
const SPAN_SEC = 10;
const LIMIT = 10;

/**
 * @typedef {object} Call
 * @property {number} atMs since the start
 * @property {boolean} allowed
 */

/** One call at 1 s, then 4 calls a second from 6 s to 31 s, and again from 45 s on. */
const LOAD_MS = Array.from({ length: 240 }, (_, i) => i * 250).filter(
  (atMs) => atMs === 1000 || (atMs >= 6000 && atMs < 31_000) || atMs >= 45_000,
);

const span = /** @type {const} */ ({ limit: LIMIT, period: "10s" });
const window = /** @type {const} */ ({ limit: LIMIT, window: "10s" });
const PLOTS = [
  {
    file: "token-bucket",
    call: 'tokenBucket({ limit: 10, period: "10s" })',
    policy: tokenBucket(span),
  },
  {
    file: "token-bucket-interval",
    call: 'tokenBucket({ limit: 10, period: "10s", refill: "interval" })',
    policy: tokenBucket({ ...span, refill: "interval" }),
  },
  { file: "gcra", call: 'gcra({ limit: 10, period: "10s" })', policy: gcra(span) },
  {
    file: "leaky-bucket",
    call: 'leakyBucket({ limit: 10, period: "10s", capacity: 4 })',
    policy: leakyBucket({ ...span, capacity: 4 }),
  },
  {
    file: "fixed-window",
    call: 'fixedWindow({ limit: 10, window: "10s" })',
    policy: fixedWindow(window),
  },
  {
    file: "fixed-window-first",
    call: 'fixedWindow({ limit: 10, window: "10s", align: "first" })',
    policy: fixedWindow({ ...window, align: "first" }),
  },
  {
    file: "sliding-window",
    call: 'slidingWindow({ limit: 10, window: "10s" })',
    policy: slidingWindow(window),
  },
  {
    file: "sliding-log",
    call: 'slidingLog({ limit: 10, window: "10s" })',
    policy: slidingLog(window),
  },
];

/**
 * @param {import("sluice").Policy} policy
 * @param {readonly number[]} timesMs
 * @param {number} startMs
 * @returns {Call[]}
 */
function play(policy, timesMs, startMs) {
  const clock = new ManualClock(startMs);
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  return timesMs.map((atMs) => {
    clock.set((startMs + atMs) * 1e3);
    return { atMs, allowed: limiter.consumeSync("key").allowed };
  });
}

const FRAME = { left: 40, right: 20, width: 720 };
const BARS = { top: 34, height: 60 };
const LINE = { top: 118, height: 80 };
const INK = "#24292f";
const FAINT = "#8c959f";
const ALLOWED = "#0b7285";
const DENIED = "#f1b9ae";
const PLOT_WIDTH = FRAME.width - FRAME.left - FRAME.right;

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {string} [more] further attributes
 */
function label(x, y, text, more = "") {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${text.replaceAll("<", "&lt;")}</text>`;
}

/**
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 * @param {string} [more] further attributes
 */
function stroke(x1, y1, x2, y2, more = `stroke="${FAINT}"`) {
  return `<path d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}" fill="none" ${more}/>`;
}

/**
 * Calls a slice of time: allowed ones below, denied ones on top.
 * @param {readonly Call[]} calls
 * @param {number} sliceMs
 * @param {number} slices
 * @param {number} most calls in a slice
 */
function bars(calls, sliceMs, slices, most) {
  const step = PLOT_WIDTH / slices;
  const floor = BARS.top + BARS.height;
  const shapes = [];
  for (let i = 0; i < slices; i += 1) {
    const here = calls.filter(({ atMs }) => Math.floor(atMs / sliceMs) === i);
    const allowed = here.filter((call) => call.allowed).length;
    const x = (FRAME.left + i * step + 0.5).toFixed(1);
    let y = floor;
    for (const [count, colour] of /** @type {const} */ ([
      [allowed, ALLOWED],
      [here.length - allowed, DENIED],
    ])) {
      if (count === 0) continue;
      const tall = (count / most) * BARS.height;
      y -= tall;
      shapes.push(
        `<rect x="${x}" y="${y.toFixed(1)}" width="${(step - 1).toFixed(1)}" height="${tall.toFixed(1)}" fill="${colour}"/>`,
      );
    }
  }
  shapes.push(
    stroke(FRAME.left, floor, FRAME.width - FRAME.right, floor),
    label(FRAME.left - 6, BARS.top + 8, String(most), 'text-anchor="end"'),
    label(FRAME.left - 6, floor, "0", 'text-anchor="end"'),
  );
  return shapes;
}

/**
 * Units admitted in the half-open interval of `spanMs` that ends with each call.
 * @param {readonly Call[]} calls
 * @param {number} spanMs
 */
function trailing(calls, spanMs) {
  return calls.map(({ atMs }) => ({
    atMs,
    units: calls.filter(
      (other) => other.allowed && other.atMs <= atMs && other.atMs > atMs - spanMs,
    ).length,
  }));
}

/**
 * @param {readonly Call[]} calls
 * @param {number} totalSec
 */
function trailingLine(calls, totalSec) {
  const most = 2 * LIMIT;
  const ends = Array.from({ length: totalSec * 20 + 1 }, (_, i) => i * 50);
  /** @param {number} atMs */
  const unitsAt = (atMs) =>
    calls.filter((c) => c.allowed && c.atMs <= atMs && c.atMs > atMs - SPAN_SEC * SECOND_MS).length;
  const floor = LINE.top + LINE.height;
  /** @param {number} units */
  const y = (units) => floor - (units / most) * LINE.height;
  let path = "";
  let before = 0;
  for (const atMs of ends) {
    const units = unitsAt(atMs);
    const x = (FRAME.left + (atMs / (totalSec * SECOND_MS)) * PLOT_WIDTH).toFixed(1);
    if (path === "") path = `M${x} ${y(units).toFixed(1)}`;
    else if (units !== before) path += `H${x}V${y(units).toFixed(1)}`;
    before = units;
  }
  path += `H${(FRAME.width - FRAME.right).toFixed(1)}`;
  return [
    stroke(FRAME.left, floor, FRAME.width - FRAME.right, floor),
    stroke(
      FRAME.left,
      y(LIMIT),
      FRAME.width - FRAME.right,
      y(LIMIT),
      `stroke="${INK}" stroke-dasharray="4 3"`,
    ),
    `<path d="${path}" fill="none" stroke="${ALLOWED}" stroke-width="1.8"/>`,
    label(FRAME.left - 6, LINE.top + 8, String(most), 'text-anchor="end"'),
    label(FRAME.left - 6, y(LIMIT) + 4, String(LIMIT), 'text-anchor="end"'),
    label(FRAME.left - 6, floor, "0", 'text-anchor="end"'),
    label(
      FRAME.left + 4,
      LINE.top - 5,
      `units admitted in the last ${SPAN_SEC} s; dashed: ${LIMIT}`,
      `fill="${FAINT}"`,
    ),
  ];
}

/**
 * @param {string} file
 * @param {number} height
 * @param {string} about the text for a reader who cannot see it
 * @param {readonly string[]} shapes
 */
function save(file, height, about, shapes) {
  writeFileSync(
    `${images}${file}.svg`,
    `<svg xmlns="http://www.w3.org/2000/svg" width="${FRAME.width}" height="${height}" viewBox="0 0 ${FRAME.width} ${height}" role="img" aria-label="${about.replaceAll('"', "&quot;")}">
<rect width="${FRAME.width}" height="${height}" fill="#ffffff"/>
<g font-family="ui-sans-serif, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="11" fill="${INK}">
${shapes.join("\n")}
</g>
</svg>
`,
  );
}

/**
 * @param {string} call
 * @param {string} result
 */
function head(call, result) {
  return [
    label(
      FRAME.left,
      16,
      call,
      `font-family="ui-monospace, 'DejaVu Sans Mono', monospace" font-size="12"`,
    ),
    label(FRAME.width - FRAME.right, BARS.top - 5, result, 'text-anchor="end"'),
  ];
}

mkdirSync(images, { recursive: true });
const TOTAL_SEC = 60;
for (const { file, call, policy } of PLOTS) {
  const calls = play(policy, LOAD_MS, START_MS);
  const admitted = calls.filter(({ allowed }) => allowed).length;
  const most = Math.max(...trailing(calls, SPAN_SEC * SECOND_MS).map(({ units }) => units));
  const result = `${admitted} of ${calls.length} calls admitted, at most ${most} in any ${SPAN_SEC} s`;
  const height = LINE.top + LINE.height + 26;
  const axis = Array.from({ length: TOTAL_SEC / SPAN_SEC + 1 }, (_, i) => {
    const x = FRAME.left + (i * SPAN_SEC * PLOT_WIDTH) / TOTAL_SEC;
    return [
      stroke(x, BARS.top, x, LINE.top + LINE.height, `stroke="${FAINT}" stroke-opacity="0.35"`),
      label(x, height - 10, `${i * SPAN_SEC} s`, 'text-anchor="middle"'),
    ];
  }).flat();
  save(file, height, `${call}: ${result}`, [
    ...head(call, result),
    ...axis,
    ...bars(calls, SECOND_MS, TOTAL_SEC, 4),
    ...trailingLine(calls, TOTAL_SEC),
    label(
      FRAME.left + 4,
      BARS.top - 5,
      "calls a second: admitted dark, denied light",
      `fill="${FAINT}"`,
    ),
  ]);
  console.log(`${file}: ${result}`);
}

// The calendar has its own scale: three days of Berlin, of which the second has 25 hours.
{
  const call = 'calendarWindow({ limit: 30, unit: "day", timeZone: "Europe/Berlin" })';
  const policy = calendarWindow({ limit: 30, unit: "day", timeZone: "Europe/Berlin" });
  const startMs = Date.UTC(2030, 9, 25, 22);
  const hours = 24 + 25 + 24;
  const times = Array.from({ length: hours * 2 }, (_, i) => (i * HOUR_MS) / 2);
  const calls = play(policy, times, startMs);
  const admitted = calls.filter(({ allowed }) => allowed).length;
  const result = `${admitted} of ${calls.length} calls admitted in three days`;
  const floor = BARS.top + BARS.height;
  const midnights = [0, 24, 49, 73].flatMap((hour) => {
    const x = FRAME.left + (hour / hours) * PLOT_WIDTH;
    return stroke(x, BARS.top, x, floor + 4, `stroke="${INK}" stroke-dasharray="4 3"`);
  });
  const days = /** @type {const} */ ([
    [0, 24, "26 October 2030: 24 hours"],
    [24, 49, "27 October: 25 hours, the clock goes back"],
    [49, 73, "28 October: 24 hours"],
  ]).map(([from, to, text]) =>
    label(
      FRAME.left + ((from + to) / 2 / hours) * PLOT_WIDTH,
      floor + 18,
      text,
      'text-anchor="middle"',
    ),
  );
  save("calendar-window", floor + 30, `${call}: ${result}`, [
    ...head(call, result),
    ...bars(calls, HOUR_MS, hours, 2),
    ...midnights,
    ...days,
    label(
      FRAME.left + 4,
      BARS.top - 5,
      "calls an hour: admitted dark, denied light",
      `fill="${FAINT}"`,
    ),
  ]);
  console.log(`calendar-window: ${result}`);
}

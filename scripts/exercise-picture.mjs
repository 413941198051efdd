// Draws docs/images/exercise.svg: a real run of `sluice exercise`, as a terminal shows it.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const cli = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));
const picture = fileURLToPath(new URL("../docs/images/exercise.svg", import.meta.url));
const command = "exercise demo --limit 10 --period 1s --calls 300 --delay 10ms";

const CELL = { width: 8.4, height: 17 };
const MARGIN = 14;
/** @type {Readonly<Record<string, string>>} SGR codes that the command uses, as colours. */
const COLOURS = { 31: "#ff7b72", 36: "#39c5cf", 41: "#ff7b72" };
const PLAIN = "#d0d7de";
const BACKGROUND = "#161b22";

const { NO_COLOR: _, ...environment } = process.env;
const { stdout, status } = spawnSync(process.execPath, [cli, ...command.split(" ")], {
  encoding: "utf8",
  env: { ...environment, FORCE_COLOR: "1", LC_ALL: "C.UTF-8", TERM: "xterm" },
  stdio: ["ignore", "pipe", "inherit"],
});
if (status !== 0) throw new Error(`sluice exercise ended with ${status}`);

const lines = [`$ npx @sluice/cli ${command}`, ...stdout.trimEnd().split("\n")];
const columns = Math.max(...lines.map((line) => stripVTControlCharacters(line).length));
const width = Math.ceil(columns * CELL.width + 2 * MARGIN);
const height = lines.length * CELL.height + 2 * MARGIN;
const body = lines.flatMap((line, row) => drawLine(line, row));
writeFileSync(
  picture,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="The output of sluice exercise: counts, latencies, and a plot of allowed and denied calls over time">
<rect width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="${PLAIN}" xml:space="preserve">
${body.join("\n")}
</g>
</svg>
`,
);

/**
 * @param {string} line
 * @param {number} row
 */
function drawLine(line, row) {
  const shapes = [];
  let [colour, background, column] = [PLAIN, "", 0];
  for (const [i, part] of line.split("\u001B[").entries()) {
    // All parts but the first begin with the rest of an escape sequence: "36m".
    const end = i === 0 ? 0 : part.indexOf("m") + 1;
    const code = part.slice(0, Math.max(0, end - 1));
    if (code === "41" || code === "49") background = COLOURS[code] ?? "";
    else colour = COLOURS[code] ?? PLAIN;
    for (const run of part.slice(end).split(/([▁-█■─-╿]+)/u)) {
      shapes.push(...drawRun(run, column, row, colour, background));
      column += run.length;
    }
  }
  return shapes;
}

/**
 * Blocks and lines are drawn as shapes: fonts disagree about their size.
 * @param {string} text
 * @param {number} column
 * @param {number} row
 * @param {string} colour
 * @param {string} background
 */
function drawRun(text, column, row, colour, background) {
  const x = MARGIN + column * CELL.width;
  const y = MARGIN + row * CELL.height;
  if (text.trim() === "") return [];
  const shapes = [];
  if (background !== "") {
    shapes.push(rectangle(x, y, text.length * CELL.width, CELL.height, background));
  }
  if (!/[▁-█■─-╿]/u.test(text)) {
    const span = (text.length * CELL.width).toFixed(1);
    shapes.push(
      `<text x="${x.toFixed(1)}" y="${y + 13}" fill="${colour}" textLength="${span}" xml:space="preserve">${escaped(text)}</text>`,
    );
    return shapes;
  }
  for (const { 0: same, index } of text.matchAll(/(.)\1*/gu)) {
    shapes.push(...drawSigns(same, x + index * CELL.width, y, colour));
  }
  return shapes;
}

/**
 * A run of one sign.
 * @param {string} signs
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 */
function drawSigns(signs, x, y, colour) {
  const sign = signs.charAt(0);
  const w = signs.length * CELL.width;
  const h = CELL.height;
  if (sign === "■") return [rectangle(x, y + h / 4, w, CELL.width, colour)];
  const eighths = "▁▂▃▄▅▆▇█".indexOf(sign) + 1;
  if (eighths > 0) {
    const tall = (h * eighths) / 8;
    return [rectangle(x, y + h - tall, w, tall, colour)];
  }
  const centre = { x: x + w / 2, y: y + h / 2 };
  /** @type {Readonly<Record<string, readonly [number, number, number, number][]>>} */
  const strokes = {
    "─": [[x, centre.y, x + w, centre.y]],
    "│": [[centre.x, y, centre.x, y + h]],
    "┤": [
      [centre.x, y, centre.x, y + h],
      [x, centre.y, centre.x, centre.y],
    ],
    "└": [
      [centre.x, y, centre.x, centre.y],
      [centre.x, centre.y, x + w, centre.y],
    ],
    "┬": [
      [x, centre.y, x + w, centre.y],
      [centre.x, centre.y, centre.x, y + h],
    ],
  };
  return (strokes[sign] ?? []).map(
    ([x1, y1, x2, y2]) =>
      `<path d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}" stroke="${PLAIN}" stroke-width="1"/>`,
  );
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} w
 * @param {number} h
 * @param {string} fill
 */
function rectangle(x, y, w, h, fill) {
  // Crisp edges, or neighbours would leave a seam.
  return `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${w.toFixed(1)}" height="${h.toFixed(1)}" fill="${fill}" shape-rendering="crispEdges"/>`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

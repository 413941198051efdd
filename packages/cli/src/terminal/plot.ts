/** Draws what was allowed and denied over time, in the characters of a terminal. */
import { formatNumber, formatSignificant, formatSpan, unitOf } from "./format.js";
import type { Style, Terminal } from "./terminal.js";

/** One decision on the plot: when the store made it, and how. */
export interface PlotPoint {
  readonly atUs: number;
  readonly allowed: boolean;
  /** How many decisions it represents; default 1. */
  readonly count?: number;
}

/** The first and the last time, in µs. */
export interface TimeRange {
  readonly fromUs: number;
  readonly toUs: number;
}

/** Between which times the decisions were made; undefined if there are none. */
export function timeRange(points: readonly { readonly atUs: number }[]): TimeRange | undefined {
  let fromUs = Number.POSITIVE_INFINITY;
  let toUs = Number.NEGATIVE_INFINITY;
  for (const { atUs } of points) {
    fromUs = Math.min(fromUs, atUs);
    toUs = Math.max(toUs, atUs);
  }
  return points.length === 0 ? undefined : { fromUs, toUs };
}

/** Decisions in one column of the plot. */
interface Column {
  allowed: number;
  denied: number;
}

const INDENT = 2;
const STACK_ROWS = 8;
const PANEL_ROWS = 4;
const EIGHTHS = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
const COUNT_STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
const DECIMAL_STEPS = [1, 2, 5, 10];
const LONG_STEPS_US = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map(
  (minutes) => minutes * 60e6,
);
/** A label on the time axis is given this many columns. */
const LABEL_COLUMNS = 10;
/** Distinguished by brightness too: one man in twelve cannot rely on red against green. */
const ALLOWED = "cyan";
const DENIED = "red";
const ON_DENIED = "onRed";

/** The characters of a chart, for terminals with and without Unicode. */
interface Glyphs {
  readonly tick: string;
  readonly side: string;
  readonly corner: string;
  readonly floor: string;
  readonly mark: string;
  readonly swatch: string;
  /** A bar's top cell, from none to full. */
  readonly levels: readonly string[];
}

const UNICODE: Glyphs = {
  tick: "┤",
  side: "│",
  corner: "└",
  floor: "─",
  mark: "┬",
  swatch: "■",
  levels: EIGHTHS,
};
const ASCII: Glyphs = {
  tick: "+",
  side: "|",
  corner: "+",
  floor: "-",
  mark: "+",
  swatch: "#",
  levels: [" ", ".", ":", "#"],
};

interface Chart {
  readonly columns: readonly Column[];
  readonly columnUs: number;
  readonly totals: Column;
  /** Characters of the widest label on the vertical axis. */
  readonly labelWidth: number;
  readonly glyphs: Glyphs;
  readonly terminal: Terminal;
}

/**
 * Decisions over time. With colours, denied calls are stacked on the allowed ones in one chart, to an eighth of a row;
 * without, each has a separate chart. Empty if there is nothing to show. Points that represent a whole step of time need
 * columns of whole steps.
 */
export function plot(points: readonly PlotPoint[], terminal: Terminal, stepUs = 1): string {
  const range = timeRange(points);
  if (range === undefined) return "";
  const chart = layOut(points, range, terminal, stepUs);
  const lines = terminal.colour && terminal.unicode ? stackedChart(chart) : twoCharts(chart);
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

/** Numbers over time in one row, each a column: the highest is full, and anything at all shows. */
export function sparkline(values: readonly number[], terminal: Terminal): string {
  const { levels } = terminal.unicode ? UNICODE : ASCII;
  const top = Math.max(...values, Number.MIN_VALUE);
  return values.map((value) => levelGlyph(levels, eighths(value, top, 1))).join("");
}

function layOut(
  points: readonly PlotPoint[],
  { fromUs, toUs }: TimeRange,
  terminal: Terminal,
  stepUs: number,
): Chart {
  // Before the columns are known, neither is the widest label; no column holds more than every point.
  const most = points.reduce((sum, { count = 1 }) => sum + count, 0);
  const room = terminal.columns - INDENT - String(most).length - " ┤".length;
  const widthUs = Math.ceil(roundUp((toUs - fromUs + 1) / room, COUNT_STEPS));
  const columnUs = Math.ceil(widthUs / stepUs) * stepUs;
  const columns = Array.from(
    { length: Math.floor((toUs - fromUs) / columnUs) + 1 },
    (): Column => ({ allowed: 0, denied: 0 }),
  );
  const totals: Column = { allowed: 0, denied: 0 };
  for (const { atUs, allowed, count = 1 } of points) {
    const outcome = allowed ? "allowed" : "denied";
    totals[outcome] += count;
    const column = columns[Math.floor((atUs - fromUs) / columnUs)];
    if (column !== undefined) column[outcome] += count;
  }
  const glyphs = terminal.unicode ? UNICODE : ASCII;
  const fullest = Math.max(...columns.map(({ allowed, denied }) => allowed + denied));
  const labelWidth = INDENT + String(roundTop(fullest)).length;
  return { columns, columnUs, totals, labelWidth, glyphs, terminal };
}

function stackedChart(chart: Chart): string[] {
  const { terminal, totals, glyphs } = chart;
  const top = roundTop(Math.max(...chart.columns.map(({ allowed, denied }) => allowed + denied)));
  const legend = [
    `calls per ${formatSpan(chart.columnUs)}`,
    `${terminal.paint(ALLOWED, glyphs.swatch)} ${formatNumber(totals.allowed)} allowed`,
    `${terminal.paint(DENIED, glyphs.swatch)} ${formatNumber(totals.denied)} denied`,
  ].join("   ");
  const rows = rowsDown(STACK_ROWS).map((row) => {
    const cells = chart.columns.map((column) => stackedCell(column, row, top));
    return `${sideLabel(chart, row, STACK_ROWS, top)}${paintRuns(cells, terminal)}`;
  });
  return [`${indent(chart)}${legend}`, ...rows, ...timeAxis(chart)];
}

interface Cell {
  readonly glyph: string;
  readonly style: Style | undefined;
}

/** One character has two colours: if both outcomes end inside it, the whole is rounded up to its top. */
function stackedCell({ allowed, denied }: Column, row: number, top: number): Cell {
  const low = eighths(allowed, top, STACK_ROWS);
  const high = Math.max(eighths(allowed + denied, top, STACK_ROWS), denied > 0 ? low + 1 : 0);
  const allowedHere = clamp(low - row * 8, 8);
  const allHere = clamp(high - row * 8, 8);
  if (allHere === 0) return { glyph: " ", style: undefined };
  if (allowedHere === 0) return { glyph: EIGHTHS[allHere] ?? " ", style: DENIED };
  const glyph = EIGHTHS[allowedHere] ?? " ";
  return { glyph, style: allHere > allowedHere ? [ALLOWED, ON_DENIED] : ALLOWED };
}

function twoCharts(chart: Chart): string[] {
  const { totals, columns, columnUs } = chart;
  return [
    `${indent(chart)}${formatNumber(totals.allowed)} allowed, per ${formatSpan(columnUs)}`,
    ...panel(
      chart,
      columns.map(({ allowed }) => allowed),
      ALLOWED,
    ),
    floorLine(
      chart,
      columns.map(() => chart.glyphs.floor),
    ),
    `${indent(chart)}${formatNumber(totals.denied)} denied, per ${formatSpan(columnUs)}`,
    ...panel(
      chart,
      columns.map(({ denied }) => denied),
      DENIED,
    ),
    ...timeAxis(chart),
  ];
}

function panel(chart: Chart, counts: readonly number[], style: Style): string[] {
  const top = roundTop(Math.max(...counts));
  return rowsDown(PANEL_ROWS).map((row) => {
    const cells = counts.map((count): Cell => {
      const filled = clamp(eighths(count, top, PANEL_ROWS) - row * 8, 8);
      return {
        glyph: levelGlyph(chart.glyphs.levels, filled),
        style: filled > 0 ? style : undefined,
      };
    });
    return `${sideLabel(chart, row, PANEL_ROWS, top)}${paintRuns(cells, chart.terminal)}`;
  });
}

function levelGlyph(levels: readonly string[], filled: number): string {
  return levels[Math.ceil((filled / 8) * (levels.length - 1))] ?? " ";
}

/** Ticks are at the top and half way up; 0 is the time axis itself. */
function sideLabel(chart: Chart, row: number, rows: number, top: number): string {
  const value =
    row === rows - 1 ? top : row === rows / 2 - 1 && top % 2 === 0 ? top / 2 : undefined;
  const label = value === undefined ? "" : String(value);
  const side = value === undefined ? chart.glyphs.side : chart.glyphs.tick;
  return `${label.padStart(chart.labelWidth)} ${side}`;
}

/** The floor of the chart with its marks, and under it the time since the first decision. */
function timeAxis(chart: Chart): string[] {
  const { columns, columnUs, glyphs, labelWidth, terminal } = chart;
  const stepUs = roundTimeUp(columnUs * LABEL_COLUMNS);
  const unit = unitOf(columns.length * columnUs);
  const floor = columns.map(() => glyphs.floor);
  let labels = "";
  for (let us = 0; us <= columns.length * columnUs; us += stepUs) {
    const at = Math.round(us / columnUs);
    if (at < columns.length) floor[at] = glyphs.mark;
    const label = `${labels.padEnd(at)}${formatSignificant(us / unit.us)} ${unit.name}`;
    if (labelWidth + " ┤".length + label.length <= terminal.columns) labels = label;
  }
  return [floorLine(chart, floor), `${indent(chart)} ${labels}`];
}

function floorLine(chart: Chart, floor: readonly string[]): string {
  return `${"0".padStart(chart.labelWidth)} ${chart.glyphs.corner}${floor.join("")}`;
}

function indent(chart: Chart): string {
  return " ".repeat(chart.labelWidth + 1);
}

function rowsDown(rows: number): number[] {
  return Array.from({ length: rows }, (_, index) => rows - 1 - index);
}

/** How many eighths of a row a count fills; anything at all shows. */
function eighths(count: number, top: number, rows: number): number {
  return count === 0 ? 0 : Math.max(1, Math.round((count / top) * rows * 8));
}

function clamp(value: number, most: number): number {
  return Math.max(0, Math.min(value, most));
}

/** Neighbours of one style share one pair of escape codes. */
function paintRuns(cells: readonly Cell[], terminal: Terminal): string {
  let text = "";
  for (let start = 0; start < cells.length; ) {
    const style = cells[start]?.style;
    let end = start;
    let run = "";
    while (end < cells.length && String(cells[end]?.style) === String(style)) {
      run += cells[end]?.glyph ?? "";
      end += 1;
    }
    text += style === undefined ? run : terminal.paint(style, run);
    start = end;
  }
  return text;
}

/** A round top whose half is whole too. */
function roundTop(most: number): number {
  return 2 * Math.max(1, Math.ceil(roundUp(most / 2, COUNT_STEPS)));
}

/** The smallest of `steps` times a power of ten that is not below `value`. */
function roundUp(value: number, steps: readonly number[]): number {
  const scale = 10 ** Math.floor(Math.log10(value));
  return (steps.find((step) => step * scale >= value) ?? 10) * scale;
}

/** A time that people count in: 1, 2 or 5 times a power of ten up to a minute, parts of an hour or a day above. */
function roundTimeUp(us: number): number {
  if (us <= 30e6) return roundUp(us, DECIMAL_STEPS);
  return LONG_STEPS_US.find((step) => step >= us) ?? Math.ceil(us / 86_400e6) * 86_400e6;
}

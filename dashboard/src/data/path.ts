/** Lines of a chart as the paths of an SVG. */

export interface Box {
  readonly width: number;
  readonly height: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** At the upper edge. */
  readonly top: number;
}

export const xOf = (box: Box, atMs: number): number =>
  ((atMs - box.fromMs) / (box.toMs - box.fromMs)) * box.width;

const yOf = (box: Box, value: number): number =>
  box.height - (Math.min(value, box.top) / box.top) * box.height;

const short = (value: number): string => String(Math.round(value * 10) / 10);

/** The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, … that is no smaller: where an axis may end. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.5, 2, 3, 4, 5, 6, 8].find((each) => each * power >= value * 0.999_999) ?? 10;
  return factor * power;
}

export interface Point {
  readonly atMs: number;
  /** The time that this was counted over: a line is broken where nothing was counted. */
  readonly spanMs: number;
  readonly value: number;
}

/** Through the middle of each span; a gap of more than a span breaks it. */
export function linePath(points: readonly Point[], box: Box): string {
  let path = "";
  let end = Number.NEGATIVE_INFINITY;
  for (const { atMs, spanMs, value } of points) {
    const at = `${short(xOf(box, atMs + spanMs / 2))} ${short(yOf(box, value))}`;
    // A line of no length, so that one point alone is seen.
    path += atMs - end > spanMs ? `M${at}h0` : `L${at}`;
    end = atMs + spanMs;
  }
  return path;
}

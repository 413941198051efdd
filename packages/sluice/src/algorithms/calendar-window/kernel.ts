/**
 * The fixed window's kernel, with windows that end at the times in a calendar table. The script has no calendar: it gets
 * the table with the call, and requests another one if that ends too early. Twin: the fixed window's. Maths: README.md.
 */
import { windowKernel } from "../fixed-window/kernel.js";
import type { Params } from "../kernel.js";

export interface CalendarParams extends Params {
  /** Sorted starts of windows in µs; the last one only ends the one before it. */
  boundaries: readonly number[];
}

function endOf(p: CalendarParams, nowUs: number): number {
  if (nowUs < (p.boundaries[0] ?? Number.POSITIVE_INFINITY)) return 0;
  for (const boundary of p.boundaries) if (nowUs < boundary) return boundary;
  return 0;
}

export const calendarWindowKernel = windowKernel<CalendarParams>("c", endOf, (p) => [
  p.capacity,
  p.boundaries.length,
  ...p.boundaries,
]);

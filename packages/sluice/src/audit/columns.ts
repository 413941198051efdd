/**
 * Numbers in typed arrays, which lie outside V8's heap: a log of millions of records would fill that with objects. A record
 * is made from its row when it is read.
 */

const SEGMENT_BITS = 16;
const SEGMENT_ROWS = 2 ** SEGMENT_BITS;

/** One number a row; grows without being copied. */
export class Column {
  readonly #segments: Float64Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const row = this.#length;
    if (row % SEGMENT_ROWS === 0) this.#segments.push(new Float64Array(SEGMENT_ROWS));
    this.#length += 1;
    this.set(row, value);
  }

  /** NaN if there is no such row. */
  get(row: number): number {
    return this.#segments[row >>> SEGMENT_BITS]?.[row % SEGMENT_ROWS] ?? Number.NaN;
  }

  set(row: number, value: number): void {
    const segment = this.#segments[row >>> SEGMENT_BITS];
    if (segment !== undefined) segment[row % SEGMENT_ROWS] = value;
  }
}

/** What a column holds for a record without such a number. */
export const NONE = Number.NaN;

export function orUndefined(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

/** What can be read by row: an array, or rows of columns. */
export interface Rows<T> {
  readonly length: number;
  at(row: number): T | undefined;
}

export interface RowsByTime {
  readonly rows: Uint32Array;
  /** The time of each row, by the row and not by its position. */
  readonly times: Float64Array;
}

/** The rows whose time is known, by that time; those of one instant stay in their order. */
export function rowsByTime<T>(rows: Rows<T>, timeOf: (value: T) => number | undefined): RowsByTime {
  const times = new Float64Array(rows.length);
  const found = new Uint32Array(rows.length);
  let count = 0;
  let latest = Number.NEGATIVE_INFINITY;
  let isSorted = true;
  for (let row = 0; row < rows.length; row++) {
    const time = timeOf(rows.at(row) as T);
    if (time === undefined) continue;
    times[row] = time;
    found[count] = row;
    count += 1;
    isSorted &&= time >= latest;
    latest = time;
  }
  const order = found.subarray(0, count);
  const time = (row: number): number => times[row] as number;
  if (!isSorted) order.sort((a, b) => time(a) - time(b) || a - b);
  return { rows: order, times };
}

/** The rows of each of `count` groups, in their order; the groups with the most rows first. */
export function* rowsByGroup(
  length: number,
  count: number,
  groupOf: (row: number) => number,
): Generator<{ readonly group: number; readonly rows: Uint32Array }> {
  const sizes = new Uint32Array(count);
  for (let row = 0; row < length; row++) {
    const group = groupOf(row);
    sizes[group] = (sizes[group] as number) + 1;
  }
  const ends = new Uint32Array(count);
  sizes.forEach((size, group) => {
    ends[group] = size + (ends[group - 1] ?? 0);
  });
  const rows = new Uint32Array(length);
  const left = sizes.slice();
  for (let row = 0; row < length; row++) {
    const group = groupOf(row);
    rows[(ends[group] as number) - (left[group] as number)] = row;
    left[group] = (left[group] as number) - 1;
  }
  const sizeOf = (group: number): number => sizes[group] as number;
  const groups = sizes.map((_, group) => group).sort((a, b) => sizeOf(b) - sizeOf(a) || a - b);
  // One at a time: an object for each of a million groups would fill the heap.
  for (const group of groups) {
    const end = ends[group] as number;
    yield { group, rows: rows.subarray(end - sizeOf(group), end) };
  }
}

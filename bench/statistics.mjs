/** Medians and ranges over rounds. */

/** @typedef {{ median: number, min: number, max: number }} Spread */

/**
 * @param {readonly number[]} values
 * @returns {Spread}
 */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: quantile(sorted, 0), max: quantile(sorted, 1) };
}

/**
 * Ratios round by round: what slowed a whole round down drops out.
 * @param {readonly number[]} values
 * @param {readonly number[]} references
 */
export function ratios(values, references) {
  return spread(values.map((value, i) => value / (references[i] ?? Number.NaN)));
}

/**
 * @param {ArrayLike<number>} sorted ascending
 * @param {number} q 0 to 1
 */
export function quantile(sorted, q) {
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/**
 * What the median of the distribution behind some values is between, with a confidence of 95% at least, whatever the
 * distribution: the k-th value from below and from above, with the largest k for which fewer than k of n tosses of a
 * coin come up heads at most once in forty. There is no such interval for fewer than six values.
 * @param {readonly number[]} values
 * @returns {{ low: number, high: number } | undefined}
 */
export function medianInterval(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let k = 0;
  let exactly = 0.5 ** n;
  for (let below = exactly; below <= 0.025; below += exactly) {
    k += 1;
    exactly *= (n - k + 1) / k;
  }
  const [low, high] = [sorted[k - 1], sorted[n - k]];
  return low === undefined || high === undefined ? undefined : { low, high };
}

/**
 * The line of least squares through points, and the standard error of its slope.
 * @param {readonly (readonly [x: number, y: number])[]} points at least three
 */
export function trend(points) {
  const count = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const spreadX = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spreadX;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(rest / (count - 2) / spreadX) };
}

/** Markdown tables, and numbers in few digits. */

/** @typedef {import("./statistics.mjs").Spread} Spread */

/**
 * The first column is text, the others are numbers.
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
export function table(head, rows) {
  const widths = head.map((title, i) =>
    Math.max(3, title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (/** @type {readonly string[]} */ cells) => {
    const padded = widths.map((width, i) =>
      i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width),
    );
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((width, i) =>
    i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

/** @param {number} value */
export function whole(value) {
  return Math.round(value).toLocaleString("en");
}

/** @param {number} value */
function factor(value) {
  return value.toFixed(2);
}

/** @param {Spread} spread */
export function wholeSpread(spread) {
  return show(spread, whole);
}

/** @param {Spread} spread */
export function factorSpread(spread) {
  return show(spread, factor);
}

/**
 * @param {Spread} spread
 * @param {(value: number) => string} digits
 */
function show({ median, min, max }, digits) {
  const [low, middle, high] = [min, median, max].map(digits);
  return low === high ? `${middle}` : `${middle} [${low}–${high}]`;
}

/** Text for people: counts, times and spans, always with the unit. */

const groups = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });

/** 20000 → "20,000"; at most three decimals, which is all a unit has. */
export function formatNumber(value: number): string {
  return groups.format(value);
}

/** "1 call", "2 calls". */
export function formatCount(count: number, noun: string): string {
  const nouns = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${formatNumber(count)} ${count === 1 ? noun : nouns}`;
}

const SPANS = [
  { name: "d", us: 86_400e6 },
  { name: "h", us: 3600e6 },
  { name: "min", us: 60e6 },
  { name: "s", us: 1e6 },
  { name: "ms", us: 1e3 },
  { name: "µs", us: 1 },
] as const;

/**
 * A span in the largest unit in which it is at least 1: "1.5 s". Whole seconds from a minute on are in two units, if that is
 * exact: 100,000,000 µs → "1 min 40 s".
 */
export function formatSpan(us: number, digits = 4): string {
  if (us === 0) return "0 s";
  if (us === Number.POSITIVE_INFINITY) return "for ever";
  const two = inTwoUnits(us);
  if (two !== undefined) return two;
  const { name, us: unit } = unitOf(Math.abs(us));
  return `${formatSignificant(us / unit, digits)} ${name}`;
}

/** "1 min 40 s"; undefined if two units are too many, or too few. */
function inTwoUnits(us: number): string | undefined {
  const first = SPANS.findIndex((span) => us >= span.us);
  const [large, small] = [SPANS[first], SPANS[first + 1]];
  if (large === undefined || small === undefined || small.us < 1e6) return undefined;
  const rest = us % large.us;
  if (rest === 0 || rest % small.us !== 0) return undefined;
  return `${formatNumber(Math.floor(us / large.us))} ${large.name} ${rest / small.us} ${small.name}`;
}

/** The largest unit that is not longer than a span. */
export function unitOf(us: number): { readonly name: string; readonly us: number } {
  return SPANS.find((span) => us >= span.us) ?? { name: "µs", us: 1 };
}

/** A rate or a latency: no more digits than it is worth. */
export function formatSignificant(value: number, digits = 3): string {
  return Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** A time in UTC to the microsecond: "2026-11-20 22:31:00.123456". */
export function formatTime(us: number): string {
  const date = new Date(Math.floor(us / 1000));
  // Beyond the year 275,760 there is no Date; a broken log may still name such a time.
  if (Number.isNaN(date.getTime())) return `${formatNumber(us)} µs after 1970`;
  const micros = String(us % 1000).padStart(3, "0");
  return date.toISOString().replace("T", " ").replace("Z", micros);
}

/** From one time to another, the date only once if it is the same. */
export function formatTimes({
  fromUs,
  toUs,
}: {
  readonly fromUs: number;
  readonly toUs: number;
}): string {
  const [from, to] = [formatTime(fromUs), formatTime(toUs)];
  const date = from.indexOf(" ") + 1;
  return `${from} → ${to.startsWith(from.slice(0, date)) ? to.slice(date) : to} UTC`;
}

/**
 * Text that came from a file or a server, in one line, with anything that could steer a terminal escaped: a key must
 * not forge a line of a report.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}

/** The same of a text of several lines, which are ours. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

const SHOWN_CHARACTERS = 200;

/** A value that somebody passed, as JSON and cut short; one that is nested deeper than JSON can be written, in words. */
export function valueText(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? "nothing";
  } catch {
    text = "nested too deeply to be shown";
  }
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

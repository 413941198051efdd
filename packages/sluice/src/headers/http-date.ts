/** Dates of HTTP (RFC 9110 §5.6.7): the form that is sent, and the two obsolete ones that must be understood. */

const MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
const SHORT_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)";
const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;

const FORMS: readonly RegExp[] = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  `${SHORT_DAY}, (?<day>\\d\\d) (?<month>${MONTHS}) (?<year>\\d{4}) ${TIME} GMT`,
  // Sunday, 06-Nov-94 08:49:37 GMT
  `${LONG_DAY}, (?<day>\\d\\d)-(?<month>${MONTHS})-(?<year>\\d\\d) ${TIME} GMT`,
  // Sun Nov  6 08:49:37 1994
  `${SHORT_DAY} (?<month>${MONTHS}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})`,
].map((form) => new RegExp(`^${form}$`));

const LONGEST_DATE = "Wednesday, 06-Nov-94 08:49:37 GMT".length;

/** Milliseconds since the Unix epoch, or undefined where the text is no date. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  if (text.length > LONGEST_DATE) return undefined;
  for (const form of FORMS) {
    const groups = form.exec(text)?.groups;
    if (groups !== undefined) return instant(groups, nowMs);
  }
  return undefined;
}

function instant(part: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const { year = "", month = "", day = "", hour = "", minute = "", second = "" } = part;
  const at = (inYear: number): number => {
    const monthIndex = MONTHS.split("|").indexOf(month);
    return Date.UTC(inYear, monthIndex, +day, +hour, +minute, +second);
  };
  // A second of 60 is a leap second.
  if (+hour > 23 || +minute > 59 || +second > 60) return undefined;
  const ms = at(year.length === 2 ? fullYear(+year, at, nowMs) : +year);
  return new Date(ms - +second * 1e3).getUTCDate() === +day ? ms : undefined;
}

/** Two digits that seem to lie more than 50 years ahead mean the past (RFC 9110 §5.6.7). */
function fullYear(twoDigits: number, at: (year: number) => number, nowMs: number): number {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const guess = year - (year % 100) + twoDigits;
  const horizonMs = now.setUTCFullYear(year + 50);
  if (at(guess) > horizonMs) return guess - 100;
  return at(guess + 100) <= horizonMs ? guess + 100 : guess;
}

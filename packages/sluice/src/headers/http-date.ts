/**
 * Dates of HTTP: the form that is sent, the two obsolete ones that must be understood (RFC 9110 §5.6.7), and other forms
 * that servers write. Without a zone, UTC is meant.
 */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/** Minutes that the zones of RFC 822 are ahead of UTC. */
const ZONES: Readonly<Record<string, number>> = {
  est: -300,
  edt: -240,
  cst: -360,
  cdt: -300,
  mst: -420,
  mdt: -360,
  pst: -480,
  pdt: -420,
};

const WEEKDAY = "(?:[a-z]{3,9},? )?";
const MONTH = `(?<month>${MONTHS.join("|")})[a-z]{0,6}`;
const TIME = String.raw`(?<hour>\d\d?):(?<minute>\d\d)(?::(?<second>\d\d)(?:\.\d{1,9})?)?`;
const ZONE = String.raw`(?: ?(?<zone>z|utc?|[ecmp][sd]t|(?:gmt|utc)?(?:[+-]\d\d:?\d\d)?))`;

const FORMS: readonly RegExp[] = [
  // Sun, 06 Nov 1994 08:49:37 GMT; Sunday, 06-Nov-94 08:49:37 GMT
  String.raw`${WEEKDAY}(?<day>\d\d?)[ -]${MONTH}[ -](?<year>\d{4}|\d\d),? ${TIME}${ZONE}`,
  // Sun Nov 6 08:49:37 1994
  String.raw`${WEEKDAY}${MONTH} (?<day>\d\d?),? ${TIME}${ZONE} (?<year>\d{4})`,
  // Sun Nov 06 1994 08:49:37 GMT+0000 (Coordinated Universal Time), as JavaScript writes it
  String.raw`${WEEKDAY}${MONTH} (?<day>\d\d?),? (?<year>\d{4}),? ${TIME}${ZONE}(?: \([^()]*\))?`,
  // 1994-11-06T08:49:37.000Z, as ISO 8601 and RFC 3339 have it; 1994-11-06 08:49:37 +0000 UTC, as Go does
  String.raw`(?<year>\d{4})-(?<number>\d\d)-(?<day>\d\d)(?:[t ]${TIME}${ZONE}(?: utc)?)?`,
].map((form) => new RegExp(`^${form}$`));

const LONGEST_DATE = 100;

/** Milliseconds since the Unix epoch, or undefined if the text is not a date. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  if (text.length > LONGEST_DATE) return undefined;
  const plain = text.trim().toLowerCase().replaceAll(/\s+/g, " ");
  for (const form of FORMS) {
    const groups = form.exec(plain)?.groups;
    if (groups !== undefined) return instant(groups, fractionMs(plain), nowMs);
  }
  return undefined;
}

/** Milliseconds behind the point of the seconds. */
function fractionMs(text: string): number {
  const [, digits = ""] = /:\d\d\.(\d+)/.exec(text) ?? [];
  return digits === "" ? 0 : Number(`0.${digits}`) * 1e3;
}

function instant(
  part: Readonly<Record<string, string | undefined>>,
  fraction: number,
  nowMs: number,
): number | undefined {
  const { year = "", month, number = "0", day = "", hour = "0", minute = "0", second = "0" } = part;
  const monthIndex = month === undefined ? +number - 1 : MONTHS.indexOf(month);
  const at = (inYear: number): number =>
    Date.UTC(inYear, monthIndex, +day, +hour, +minute, +second);
  // A second of 60 is a leap second.
  if (monthIndex < 0 || monthIndex > 11 || +hour > 23 || +minute > 59 || +second > 60) {
    return undefined;
  }
  const ms = at(year.length === 2 ? fullYear(+year, at, nowMs) : +year);
  if (new Date(ms - +second * 1e3).getUTCDate() !== +day) return undefined;
  return ms + fraction - zoneMinutes(part["zone"] ?? "") * 60_000;
}

function zoneMinutes(zone: string): number {
  const [, sign, hours, minutes] = /([+-])(\d\d):?(\d\d)$/.exec(zone) ?? [];
  if (sign === undefined) return ZONES[zone] ?? 0;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
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

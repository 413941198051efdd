/** Draws the reports of all processes as lines of a terminal, narrow or wide. */
import type { DeniedId, ReportedSums, Reports, ShadowReport } from "sluice/report";
import { bar } from "../../terminal/bar.js";
import { formatCount, formatNumber, formatSpan, printable } from "../../terminal/format.js";
import { sparkline } from "../../terminal/plot.js";
import { fitted } from "../../terminal/screen.js";
import { type Io, type Style, type Terminal, terminalOf } from "../../terminal/terminal.js";
import type { PolicyRates } from "./top-rates.js";

/** What there is to draw. */
export interface TopPicture {
  readonly reports: Reports;
  readonly policies: readonly PolicyRates[];
  /** The store, fit to be shown. */
  readonly place: string;
  readonly name: string;
}

interface Row extends PolicyRates {
  readonly report: ShadowReport;
  readonly topDenied: readonly DeniedId[];
}

/** A column of the table. */
interface Column {
  readonly title: string;
  readonly columns: number;
  readonly isLeft?: boolean;
  cell(row: Row): string;
  style?(row: Row): Style | undefined;
}

const LEAST_COLUMNS = 40;
const MOST_COLUMNS = 200;
const WIDE = 100;
const MIDDLE = 56;
const GAP = "  ";
const MOST_POLICIES = 20;
const MOST_IDS = 10;
const ID_COLUMNS = 22;

export function topLines(picture: TopPicture, io: Io): string[] {
  const terminal = terminalOf(io.stdout, io.env);
  const { columns = terminal.columns } = io.stdout.isTTY === true ? io.stdout : {};
  const width = Math.max(LEAST_COLUMNS, Math.min(columns, MOST_COLUMNS));
  const rows = rowsOf(picture);
  return [
    ...headLines(picture, width, terminal),
    ...totalLines(rows, width, terminal),
    "",
    ...(rows.length === 0 ? emptyLines(picture) : policyLines(rows, width, terminal)),
    ...semaphoreLines(picture.reports, width, terminal),
    ...idLines(rows, width, terminal),
    ...gapLines(picture.reports, width, terminal),
  ];
}

/** The busiest first. */
function rowsOf({ reports, policies }: TopPicture): readonly Row[] {
  const rows = policies.flatMap((each) => {
    const limiter = reports.limiters.find((one) => one.limiter === each.limiter);
    const isThis = (one: ShadowReport): boolean => one.policy === each.policy;
    const voter = each.votes ? limiter?.policies.find(isThis) : undefined;
    const report = voter ?? limiter?.shadows.find(isThis);
    return report === undefined ? [] : [{ ...each, report, topDenied: voter?.topDenied ?? [] }];
  });
  return rows.sort((a, b) => b.rates.asked - a.rates.asked || b.report.asked - a.report.asked);
}

function headLines(
  { reports, place, name }: TopPicture,
  width: number,
  terminal: Terminal,
): string[] {
  const states = reports.processes.map(({ state }) => state);
  const reporting = states.filter((state) => state === "reporting").length;
  const silent = states.filter((state) => state === "silent").length;
  const processes = `${formatNumber(reporting)} ${reporting === 1 ? "process" : "processes"}`;
  const lost = silent > 0 ? `, ${formatNumber(silent)} silent` : "";
  const time =
    width < MIDDLE ? "" : `${GAP}${new Date(reports.nowMs).toISOString().slice(11, 19)} UTC`;
  const right = GAP.length + processes.length + lost.length + time.length;
  const title = fitted(`Sluice ${name}`, Math.min(`Sluice ${name}`.length, width - right));
  const room = width - right - title.length - GAP.length;
  const shown = room < 8 ? "" : `${GAP}${fitted(place, room)}`;
  const counted = `${processes}${terminal.paint("yellow", lost)}`;
  return [`${terminal.paint("bold", title)}${shown}${GAP}${counted}${time}`];
}

function totalLines(rows: readonly Row[], width: number, terminal: Terminal): string[] {
  const sum = (of: keyof ReportedSums): number =>
    rows.reduce((total, { rates, votes }) => total + (votes ? rates[of] : 0), 0);
  const asked = sum("asked");
  const denied = sum("denied");
  const withoutStore = sum("withoutStore");
  const items: readonly (readonly [string, Style | undefined])[] = [
    [`asked ${rateText(asked)}/s`, "bold"],
    [`denied ${rateText(denied)}/s (${shareText(denied, asked)})`, denied > 0 ? "red" : undefined],
    [`near ${rateText(sum("nearLimit"))}/s`, undefined],
    [`shadow ${rateText(sum("shadowDenied"))}/s`, undefined],
    [`without store ${rateText(withoutStore)}/s`, withoutStore > 0 ? "yellow" : undefined],
  ];
  const lines: string[] = [];
  let line = "";
  let length = 0;
  for (const [text, style] of items) {
    const gap = length === 0 ? 0 : GAP.length;
    if (length + gap + text.length > width) {
      lines.push(line);
      [line, length] = ["", 0];
    }
    line += `${length === 0 ? "" : GAP}${style === undefined ? text : terminal.paint(style, text)}`;
    length += (length === 0 ? 0 : GAP.length) + text.length;
  }
  return [...lines, line];
}

function emptyLines({ name }: TopPicture): string[] {
  return [
    `nothing was decided in the last two minutes under the name ${printable(name)}`,
    "processes report with report() of sluice/report",
  ];
}

function policyLines(rows: readonly Row[], width: number, terminal: Terminal): string[] {
  const table = columnsFor(rows, width, terminal);
  const title = table.map(({ title: each, columns, isLeft }) => aligned(each, columns, isLeft));
  const lines = rows.slice(0, MOST_POLICIES).map((row) =>
    table
      .map((column) => {
        const text = aligned(column.cell(row), column.columns, column.isLeft);
        const style = column.style?.(row);
        return style === undefined ? text : terminal.paint(style, text);
      })
      .join(GAP)
      .trimEnd(),
  );
  const hidden = rows.length - lines.length;
  const more = hidden > 0 ? [`and ${formatNumber(hidden)} more`] : [];
  return [terminal.paint("bold", title.join(GAP).trimEnd()), ...lines, ...more];
}

/** A cell may hold escape codes, of a bar, and is then as wide as it should be. */
function aligned(text: string, columns: number, isLeft = false): string {
  if (text.includes("\u001b")) return text;
  return isLeft ? fitted(text, columns) : text.padStart(columns);
}

function columnsFor(rows: readonly Row[], width: number, terminal: Terminal): readonly Column[] {
  const isWide = width >= WIDE;
  const numbers: Column[] = [
    { title: "asked/s", columns: 7, cell: ({ rates }) => rateText(rates.asked) },
    {
      title: "denied/s",
      columns: 8,
      cell: ({ rates }) => rateText(rates.denied),
      style: ({ rates }) => (rates.denied > 0 ? "red" : undefined),
    },
    {
      title: "share",
      columns: 6,
      cell: ({ rates }) => shareText(rates.denied + rates.shadowDenied, rates.asked),
    },
    ...(width < MIDDLE ? [] : [nearLimit]),
    ...(isWide ? wideNumbers() : []),
  ];
  const taken = numbers.reduce((sum, { columns }) => sum + columns + GAP.length, 0);
  const room = width - taken;
  const longest = Math.max(...rows.map((row) => nameOf(row).length), "limiter/policy".length);
  const nameColumns = Math.min(longest, room, isWide ? 36 : room);
  const drawn = room - nameColumns - GAP.length;
  const name: Column = {
    title: "limiter/policy",
    columns: nameColumns,
    isLeft: true,
    cell: nameOf,
  };
  return [name, ...numbers, ...drawings(drawn, isWide, terminal)];
}

const nearLimit: Column = {
  title: "near/s",
  columns: 6,
  cell: ({ rates }) => rateText(rates.nearLimit),
};

function wideNumbers(): Column[] {
  return [
    { title: "shadow/s", columns: 8, cell: ({ rates }) => rateText(rates.shadowDenied) },
    {
      title: "no store/s",
      columns: 10,
      cell: ({ rates }) => rateText(rates.withoutStore),
      style: ({ rates }) => (rates.withoutStore > 0 ? "yellow" : undefined),
    },
    { title: "limit", columns: 12, cell: ({ report }) => limitText(report) },
  ];
}

/** What the room that is left is good for: a bar of what is denied, and what was asked over time. */
function drawings(room: number, isWide: boolean, terminal: Terminal): readonly Column[] {
  const barColumns = Math.min(isWide ? 16 : 12, room);
  if (barColumns < 4) return [];
  const share = ({ rates }: Row): number =>
    rates.asked === 0 ? 0 : (rates.denied + rates.shadowDenied) / rates.asked;
  const columns: Column[] = [
    {
      title: "",
      columns: barColumns,
      isLeft: true,
      cell: (row) => bar(share(row), barColumns, terminal, "red"),
    },
  ];
  const left = Math.min(room - barColumns - GAP.length, 60);
  if (left < 8) return columns;
  return [
    ...columns,
    {
      title: left < "asked over time".length ? "asked" : "asked over time",
      columns: left,
      isLeft: true,
      cell: ({ history }) => sparkline(history.slice(-left), terminal),
    },
  ];
}

function semaphoreLines({ semaphores }: Reports, width: number, terminal: Terminal): string[] {
  if (semaphores.length === 0) return [];
  const lines = semaphores.slice(0, MOST_POLICIES).map(({ semaphore, held, waiting, lost }) => {
    const text = `${formatNumber(held)} held, ${formatNumber(waiting)} waiting, ${formatNumber(lost)} lost`;
    return `${fitted(semaphore, Math.max(8, Math.min(40, width - text.length - GAP.length)))}${GAP}${text}`;
  });
  return ["", terminal.paint("bold", "semaphores"), ...lines];
}

function idLines(rows: readonly Row[], width: number, terminal: Terminal): string[] {
  const ids = rows
    .flatMap((row) => row.topDenied.map((each) => ({ ...each, name: nameOf(row) })))
    .sort((a, b) => b.atLeast - a.atLeast)
    .slice(0, MOST_IDS);
  if (ids.length === 0) return [];
  const most = ids[0]?.atLeast ?? 1;
  const counts = ids.map(({ atLeast, atMost }) =>
    atLeast === atMost
      ? formatNumber(atLeast)
      : `${formatNumber(atLeast)} to ${formatNumber(atMost)}`,
  );
  const countColumns = Math.max(...counts.map(({ length }) => length), "denials".length);
  const room = width - ID_COLUMNS - countColumns - 2 * GAP.length;
  const longest = Math.max(...ids.map(({ name }) => name.length), "limiter/policy".length);
  const nameColumns = Math.max(4, Math.min(longest, room));
  const barColumns = Math.min(20, room - nameColumns - GAP.length);
  const lines = ids.map(({ id, name, atLeast }, i) => {
    const drawn = barColumns < 4 ? "" : `${GAP}${bar(atLeast / most, barColumns, terminal, "red")}`;
    const count = (counts[i] as string).padStart(countColumns);
    return `${fitted(id, ID_COLUMNS)}${GAP}${fitted(name, nameColumns)}${GAP}${count}${drawn}`;
  });
  const title = `${fitted("denied most, by id", ID_COLUMNS)}${GAP}${fitted("limiter/policy", nameColumns)}`;
  return [
    "",
    terminal.paint("bold", `${title}${GAP}${"denials".padStart(countColumns)}`),
    ...lines,
  ];
}

function gapLines({ gaps, unreadable }: Reports, width: number, terminal: Terminal): string[] {
  const lost = gaps.filter(({ kind }) => kind === "lost");
  const known = lost.reduce((sum, { decisions = 0 }) => sum + decisions, 0);
  const lines = [
    ...(lost.length > 0
      ? [
          `the store has lost counts: ${known > 0 ? formatCount(known, "decision") : "how many is not known"}`,
        ]
      : []),
    ...(gaps.length > lost.length
      ? ["the store was away: counts of that time are in this minute"]
      : []),
    ...(unreadable > 0
      ? ["some processes report in a format that this version does not know"]
      : []),
  ];
  if (lines.length === 0) return [];
  return ["", ...lines.map((line) => terminal.paint("yellow", fitted(line, width).trimEnd()))];
}

function nameOf({ limiter, policy, votes }: Pick<Row, "limiter" | "policy" | "votes">): string {
  const name = `${limiter}/${policy === "" ? "(no policy)" : policy}`;
  return printable(votes ? name : `${name} (no vote)`);
}

function limitText({ limit, windowMs }: ShadowReport): string {
  if (limit === undefined) return "";
  const span =
    windowMs === undefined ? "" : `/${formatSpan(windowMs * 1000, 3).replaceAll(" ", "")}`;
  return `${rateText(limit)}${span}`;
}

const STEPS = [
  [1e9, "G"],
  [1e6, "M"],
  [1e4, "k"],
] as const;

/** At most six characters: "0", "0.25", "12.5", "9,999", "12.4k". */
function rateText(value: number): string {
  for (const [from, unit] of STEPS) {
    const scale = unit === "k" ? 1e3 : from;
    if (value >= from) return `${Number((value / scale).toPrecision(3))}${unit}`;
  }
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return formatNumber(Number(value.toFixed(digits)));
}

function shareText(part: number, whole: number): string {
  if (part === 0 || whole === 0) return "0 %";
  const percent = (part / whole) * 100;
  return percent < 0.1 ? "<0.1 %" : `${Number(percent.toPrecision(percent >= 10 ? 2 : 1))} %`;
}

/** Prints what the audit found of the logs of limiters, for people and for programs. */
import {
  type AuditReport,
  type BoundReport,
  type Fraction,
  fractionToNumber,
  fractionToText,
  type KeyReport,
  type LoggedDecision,
  type Mismatch,
  type ReplayReport,
  type Tally,
  type WorstInterval,
} from "sluice/audit";
import { describeBound, describePolicy } from "sluice/describe";
import {
  formatCount,
  formatNumber,
  formatSpan,
  formatTimes,
  printable,
} from "../../terminal/format.js";
import type { Terminal } from "../../terminal/terminal.js";

/** More keys than this are only counted: a person reads the first few, a program takes --json. */
const KEYS_SHOWN = 10;

/** The report for people. */
export function auditText(report: AuditReport, terminal: Terminal): string {
  const shown = report.keys.slice(0, KEYS_SHOWN);
  const sections = [
    headOf(report, terminal),
    ...shown.map((key) => keyText(key, report, terminal)),
    ...remainderOf(report, shown),
    reportOutcome(report, terminal),
  ];
  return `${sections.join("\n\n")}\n`;
}

function headOf(report: AuditReport, terminal: Terminal): string {
  const { tally, keyCount, files, policies, failedCalls } = report;
  const rows = [
    [
      "read",
      `${formatCount(tally.records, "decision")} on ${formatCount(keyCount, "key")} from ${filesOf(files)}`,
    ],
    ...policies.map((policy) => ["policy", describePolicy(policy)]),
    [
      "time",
      `${formatTimes(report)}, ${formatSpan(report.toUs - report.fromUs)} by the server's clock`,
    ],
    ...unauditedOf(tally).map((text) => ["left out", terminal.paint("yellow", text)]),
  ];
  if (failedCalls > 0) {
    const text = `${formatCount(failedCalls, "call")} got no answer; units they may have taken are in no record`;
    rows.push(["failed", terminal.paint("yellow", text)]);
  }
  const labels = Math.max(...rows.map(([label = ""]) => label.length));
  return rows.map(([label = "", text = ""]) => `${label.padEnd(labels)}  ${text}`).join("\n");
}

function filesOf(files: readonly string[]): string {
  return files.length === 1 ? printable(files[0] ?? "") : formatCount(files.length, "file");
}

/** Answers that no policy made, by their source. */
export function unauditedOf({ unaudited }: Tally): string[] {
  return Object.entries(unaudited).map(
    ([source, { records, granted }]) =>
      `${formatCount(records, "decision")} that the store did not make (${source}), ${units(granted)} admitted`,
  );
}

function keyText(key: KeyReport, report: AuditReport, terminal: Terminal): string {
  const { tally, bounds } = key;
  const lines = [
    `key ${terminal.paint("bold", printable(key.key))}: ${formatNumber(tally.allowed)} of ` +
      `${formatCount(tally.records, "decision")} allowed, ${units(tally.granted)} admitted`,
  ];
  bounds.forEach((bound, index) => {
    const policy = report.policies[index];
    const promise = policy === undefined ? "" : describeBound(policy);
    const name = bounds.length > 1 ? ` of "${bound.policy}"` : "";
    lines.push(...boundLines(bound, name, promise, terminal));
  });
  lines.push(...replayLines(key.replay, report, terminal));
  return lines.join("\n");
}

export function boundLines(
  bound: BoundReport,
  name: string,
  promise: string,
  terminal: Terminal,
): string[] {
  const verdict = bound.holds
    ? `holds over ${allOf(bound.intervals, "interval")}: ${promise}`
    : terminal.paint("red", `is refuted: ${promise}`);
  const lines = [`  ${mark(bound.holds, terminal)} bound${name}  ${verdict}`];
  lines.push(
    `      ${bound.worst === undefined ? "there is no interval to look at" : worstText(bound.worst, bound.strict)}`,
  );
  return lines;
}

function worstText(
  { fromUs, toUs, admitted, bound, slack }: WorstInterval,
  strict: boolean,
): string {
  const limit = strict ? "fewer than" : "at most";
  const margin =
    slack.numerator >= 0n
      ? `${fractionText(slack)} to spare`
      : `${fractionText({ ...slack, numerator: -slack.numerator })} too many`;
  return (
    `worst: ${formatTimes({ fromUs, toUs })} (${formatSpan(toUs - fromUs)})\n` +
    `      admitted ${fractionText(admitted)}, ${limit} ${fractionText(bound)} allowed: ${margin}`
  );
}

function replayLines(replay: ReplayReport, report: AuditReport, terminal: Terminal): string[] {
  const { mismatch, replayed } = replay;
  const lines =
    mismatch === undefined
      ? [
          `  ${mark(true, terminal)} replay matches: ${allOf(replayed, "decision")} ${replayed === 1 ? "is" : "are"} the kernel's own`,
        ]
      : mismatchLines(mismatch, replayed, report, terminal);
  if (replay.clockBackUs > 0) {
    lines.push(
      `      the server's clock went back by ${formatSpan(replay.clockBackUs)} on the way`,
    );
  }
  return lines;
}

function mismatchLines(
  mismatch: Mismatch,
  replayed: number,
  { files, failedCalls }: AuditReport,
  terminal: Terminal,
): string[] {
  const { record, kernel, tied, exhaustive } = mismatch;
  const place = `${printable(files[record.file] ?? "")}:${record.line}`;
  const lines = [
    `  ${mark(false, terminal)} replay ${terminal.paint("red", `fails at ${place}`)}, after ${formatCount(replayed, "decision")} that match`,
    `      logged  ${outcomeText(record, kernel, terminal)}`,
    `      kernel  ${outcomeText(kernel, record, terminal)}`,
  ];
  if (tied > 1) {
    const tried = exhaustive ? "no order" : "none of the many orders tried";
    lines.push(
      `      ${formatCount(tied, "decision")} share its microsecond; ${tried} of them explains it`,
    );
  }
  if (kernel.remaining > record.remaining) {
    const unseen = ["before the first record", "in a log not given"];
    if (failedCalls > 0) unseen.push("by a call that got no answer");
    lines.push(
      "      the kernel had more left, which units would explain that were taken",
      `      ${unseen.slice(0, -1).join(", ")} or ${unseen.at(-1) ?? ""}`,
    );
  }
  return lines;
}

/** The answer in words, what differs from the other one in bold. */
export function outcomeText(
  outcome: LoggedDecision,
  other: LoggedDecision,
  terminal: Terminal,
): string {
  const words = (shown: LoggedDecision): string[] => [
    shown.allowed ? "allowed" : "denied",
    `reason ${shown.reason}`,
    `granted ${formatNumber(shown.granted)}`,
    `remaining ${formatNumber(shown.remaining)}`,
    `retry ${milliseconds(shown.retryAfterMs)}`,
    `reset ${milliseconds(shown.resetAfterMs)}`,
    ...(shown.readyAtUs === undefined ? [] : [`ready at ${shown.readyAtUs} µs`]),
  ];
  const others = words(other);
  return words(outcome)
    .map((word, index) => (word === others[index] ? word : terminal.paint("bold", word)))
    .join(", ");
}

function milliseconds(ms: number): string {
  return Number.isFinite(ms) ? `${formatNumber(ms)} ms` : "never";
}

function remainderOf(report: AuditReport, shown: readonly KeyReport[]): string[] {
  const { keys, keyCount, refutedCount } = report;
  const hidden = keyCount - shown.length;
  if (hidden === 0) return [];
  const refuted = refutedCount - shown.filter(({ passed }) => !passed).length;
  const verdict = refuted === 0 ? "all passed" : `${formatNumber(refuted)} of them refuted`;
  const listed = keys.length === keyCount ? "every one" : `the first ${formatNumber(keys.length)}`;
  return [`and ${formatCount(hidden, "more key")}, ${verdict}; --json lists ${listed}`];
}

function reportOutcome(report: AuditReport, terminal: Terminal): string {
  const { passed, keyCount, refutedCount } = report;
  if (passed) return terminal.paint(["bold", "green"], "PASSED");
  return `${terminal.paint(["bold", "red"], "REFUTED")} on ${formatNumber(refutedCount)} of ${formatCount(keyCount, "key")}`;
}

export function mark(good: boolean, terminal: Terminal): string {
  return good ? terminal.paint("green", "✓") : terminal.paint("red", "✗");
}

function allOf(count: number, noun: string): string {
  return count === 1 ? `the only ${noun}` : `all ${formatCount(count, noun)}`;
}

export function units(count: number): string {
  return formatCount(count, "unit");
}

/** A ratio to six digits, marked if it is rounded. */
function fractionText(value: Fraction): string {
  const rounded = Number(fractionToNumber(value).toFixed(6));
  const exact =
    BigInt(Math.round(rounded * 1e6)) * value.denominator === value.numerator * 1_000_000n;
  const text = rounded.toLocaleString("en-US", { maximumFractionDigits: 6 });
  return exact ? text : `≈ ${text}`;
}

/** The report for programs: exact values as text beside the nearest numbers. */
export function auditJson(report: AuditReport): object {
  return { ...report, keys: report.keys.map((key) => keyJson(key, report.files)) };
}

function keyJson(
  { key, passed, tally, bounds, replay }: KeyReport,
  files: readonly string[],
): object {
  return { key, passed, tally, bounds: bounds.map(boundJson), replay: replayJson(replay, files) };
}

export function boundJson({ worst, ...bound }: BoundReport): object {
  if (worst === undefined) return { ...bound, worst: null };
  const { admitted, bound: allowed, slack, ...interval } = worst;
  return {
    ...bound,
    worst: {
      ...interval,
      admitted: fractionJson(admitted),
      bound: fractionJson(allowed),
      slack: fractionJson(slack),
    },
  };
}

function fractionJson(value: Fraction): object {
  return { value: fractionToNumber(value), exact: fractionToText(value) };
}

function replayJson({ mismatch, ...replay }: ReplayReport, files: readonly string[]): object {
  if (mismatch === undefined) return { ...replay, mismatch: null };
  const { record, ...rest } = mismatch;
  return { ...replay, mismatch: { ...rest, record: { ...record, file: files[record.file] } } };
}

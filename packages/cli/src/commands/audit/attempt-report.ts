/** Prints what the audit found of logs of attempts, for people and for programs. */
import type { AttemptAuditReport, AttemptKeyReport, Violation } from "sluice/audit";
import { describeBound, describePolicy } from "sluice/describe";
import {
  formatCount,
  formatNumber,
  formatSpan,
  formatTimes,
  printable,
} from "../../terminal/format.js";
import type { Terminal } from "../../terminal/terminal.js";
import { boundJson, boundLines, mark, outcomeText, unauditedOf, units } from "./audit-report.js";

const KEYS_SHOWN = 10;

/** The report for people: what was read, what is missing, the refuted keys, the verdict. */
export function attemptText(report: AttemptAuditReport, terminal: Terminal): string {
  const refuted = report.keys.filter(({ passed }) => !passed).slice(0, KEYS_SHOWN);
  const sections = [
    headOf(report, terminal),
    ...refuted.map((key) => keyText(key, report, terminal)),
    ...hiddenOf(report, refuted.length),
    report.passed
      ? terminal.paint(["bold", "green"], "PASSED")
      : `${terminal.paint(["bold", "red"], "REFUTED")} on ${formatNumber(report.refutedCount)} of ${formatCount(report.keyCount, "key")}`,
  ];
  return `${sections.join("\n\n")}\n`;
}

function headOf(report: AttemptAuditReport, terminal: Terminal): string {
  const { tally, keyCount, files, rules, sessions, matched, stricter, unclear } = report;
  const rows: [string, string][] = [
    [
      "read",
      `${formatCount(tally.records, "attempt")} on ${formatCount(keyCount, "key")} from ${formatCount(files.length, "file")} of ${formatCount(sessions, "process run")}`,
    ],
    ["sample", `${formatNumber(report.sample * 100)} % of the keys`],
    ...rules.map(({ limiter, policies }): [string, string] => [
      "policy",
      `${printable(limiter)}: ${policies.map((policy) => describePolicy(policy)).join("; ")}`,
    ]),
    [
      "time",
      `${formatTimes(report)}, ${formatSpan(report.toUs - report.fromUs)} by the server's clock`,
    ],
    [
      "attempts",
      `${formatNumber(tally.allowed)} allowed, ${formatNumber(tally.denied)} denied, ${units(tally.granted)} admitted by the store`,
    ],
    ["replay", `${formatCount(matched, "decision")} are the kernel's own`],
  ];
  const notes: string[] = unauditedOf(tally);
  if (stricter > 0) {
    notes.push(
      `${formatCount(stricter, "decision")} gave less than the log explains: units were taken, or keys blocked, that it does not show`,
    );
  }
  if (unclear > 0) {
    notes.push(
      `${formatCount(unclear, "decision")} not replayed: what came before is not known well enough`,
    );
  }
  rows.push(...[...notes, ...missingIn(report)].map(painted(terminal)));
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `${label.padEnd(width)}  ${text}`).join("\n");
}

const painted =
  (terminal: Terminal) =>
  (text: string): [string, string] => ["note", terminal.paint("yellow", text)];

function missingIn({ incomplete, lost, torn }: AttemptAuditReport): string[] {
  const notes: string[] = [];
  if (incomplete > 0) {
    const why = "killed, still running, or a file is not here";
    notes.push(
      `without its beginning or its end: ${formatCount(incomplete, "process run")}; ${why}`,
    );
  }
  if (lost > 0) notes.push(`dropped, as the logs say: ${formatCount(lost, "line")}`);
  if (torn > 0) notes.push(`cut short at the end of a file: ${formatCount(torn, "line")}`);
  return notes;
}

function keyText(
  { limiter, key, tally, bounds, replay }: AttemptKeyReport,
  report: AttemptAuditReport,
  terminal: Terminal,
): string {
  const lines = [
    `key ${terminal.paint("bold", printable(key))} of ${printable(limiter)}: ${formatNumber(tally.allowed)} of ` +
      `${formatCount(tally.records, "attempt")} allowed, ${units(tally.granted)} admitted`,
  ];
  const rule = report.rules.find((each) => each.limiter === limiter);
  for (const bound of bounds.filter(({ holds }) => !holds)) {
    const policy = rule?.policies.find(({ name }) => name === bound.policy);
    const promise = policy === undefined ? "" : describeBound(policy);
    lines.push(...boundLines(bound, ` of "${bound.policy}"`, promise, terminal));
  }
  if (replay.violation !== undefined) {
    lines.push(...violationLines(replay.violation, report, terminal));
  }
  return lines.join("\n");
}

function violationLines(
  { record, kernel, tied }: Violation,
  { files }: AttemptAuditReport,
  terminal: Terminal,
): string[] {
  const place = `${printable(files[record.file] ?? "")}:${record.line}`;
  const lines = [
    `  ${mark(false, terminal)} replay ${terminal.paint("red", `is refuted at ${place}`)}: more was given than there was`,
    `      logged  ${outcomeText(record, kernel, terminal)}`,
    `      kernel  ${outcomeText(kernel, record, terminal)}`,
  ];
  if (tied > 1) {
    lines.push(
      `      ${formatCount(tied, "decision")} share its microsecond; together they took more than there was`,
    );
  }
  return lines;
}

function hiddenOf({ refutedCount }: AttemptAuditReport, shown: number): string[] {
  const hidden = refutedCount - shown;
  return hidden === 0
    ? []
    : [`and ${formatCount(hidden, "more refuted key")}; --json lists the first ones`];
}

/** The report for programs. */
export function attemptJson(report: AttemptAuditReport): object {
  const { files } = report;
  const keys = report.keys.map(({ bounds, replay, ...key }) => {
    const { violation, ...counts } = replay;
    const shown =
      violation === undefined
        ? null
        : {
            ...violation,
            record: { ...violation.record, file: files[violation.record.file] },
          };
    return { ...key, bounds: bounds.map(boundJson), replay: { ...counts, violation: shown } };
  });
  return { ...report, keys };
}

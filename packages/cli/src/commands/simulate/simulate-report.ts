/** Prints what a simulation found, for people and for programs. */
import { describePolicy } from "sluice/describe";
import type { Comparison, SimulationReport, Suggestion } from "sluice/simulate";
import {
  formatCount,
  formatNumber,
  formatSignificant,
  formatSpan,
  formatTimes,
  printable,
} from "../../terminal/format.js";
import { plot, sparkline } from "../../terminal/plot.js";
import { table } from "../../terminal/table.js";
import type { Terminal } from "../../terminal/terminal.js";

/** A report, and its options. */
export interface Simulated {
  readonly report: SimulationReport;
  /** How long the replay took, without the reading. */
  readonly durationMs: number;
  /** What was compared, in words: a line each. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly suggestions:
    | { readonly percent: number; readonly rules: readonly Suggestion[] }
    | undefined;
  /** What could not be simulated, in words. */
  readonly notes?: readonly string[];
}

const RETRIES = "callers who retry behave differently: the attempts are those of the log";

/** The report for people. */
export function simulationText(simulated: Simulated, terminal: Terminal): string {
  const { report } = simulated;
  const sections = [
    headOf(simulated, terminal),
    totalsOf(report.all, terminal),
    ...rulesOf(report),
    ...keysOf(report),
    timelineOf(report, terminal),
    ...suggestionsOf(simulated),
  ];
  return `${sections.map((lines) => lines.join("\n").trimEnd()).join("\n\n")}\n`;
}

/** The report for programs. */
export function simulationJson({ report, durationMs, suggestions, notes }: Simulated): object {
  const { stepUs, timeline, ...others } = report;
  return {
    ...others,
    durationMs,
    attemptsPerSecond: perSecond(report, durationMs),
    timeline: { stepUs, steps: timeline },
    suggestions: suggestions ?? null,
    notes: [...(notes ?? []), RETRIES],
  };
}

function perSecond({ all }: SimulationReport, durationMs: number): number {
  return durationMs > 0 ? Math.round((all.attempts / durationMs) * 1e3) : 0;
}

function headOf(
  { report, durationMs, before, after, notes = [] }: Simulated,
  terminal: Terminal,
): readonly string[] {
  const { all, files, sample, fromUs, toUs, blocked } = report;
  const where = files.length === 1 ? printable(files[0] ?? "") : formatCount(files.length, "file");
  const note = (text: string): [string, string] => ["note", terminal.paint("yellow", text)];
  const rows: [string, string][] = [
    [
      "read",
      `${formatCount(all.attempts, "attempt")} on ${formatCount(all.keys, "key")} from ${where}`,
    ],
    ["time", `${formatTimes(report)}, ${formatSpan(toUs - fromUs)}`],
    [
      "replay",
      `${formatSpan(Math.max(1, Math.round(durationMs * 1e3)), 3)}, ${formatSignificant(perSecond(report, durationMs))} attempts a second`,
    ],
    ...before.map((text): [string, string] => ["before", text]),
    ...after.map((text): [string, string] => ["after", text]),
    ...(sample < 1
      ? [note(`the logs hold ${percentOf(sample)} of the keys, and so do all counts`)]
      : []),
    ...(blocked > 0
      ? [note(`${formatCount(blocked, "attempt")} on blocked keys left out: a block is no limit`)]
      : []),
    ...missingIn(report).map(note),
    ...notes.map(note),
    note(RETRIES),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `${label.padEnd(width)}  ${text}`);
}

function missingIn(report: SimulationReport): readonly string[] {
  const { failedCalls, lost, incomplete, withoutStore, unlimited, askedApart, keysChanged } =
    report;
  const counts: readonly (readonly [number, string, string])[] = [
    [unlimited, "attempt", "that no rule applies to"],
    [
      withoutStore,
      "attempt",
      "that the store did not answer, at the time of their process's clock",
    ],
    [
      askedApart,
      "request",
      "for a part or a start ahead, of several rules: a set asks them one by one, the replay together",
    ],
    [keysChanged, "change", "of a rule's key by a reset or an unblock, not replayed"],
    [failedCalls, "call", "without an answer, not replayed"],
    [lost, "line", "missing in the logs"],
    [incomplete, "process run", "without its beginning or its end in the logs"],
  ];
  return counts
    .filter(([count]) => count > 0)
    .map(([count, noun, what]) => `${formatCount(count, noun)} ${what}`);
}

function totalsOf(all: Comparison, terminal: Terminal): readonly string[] {
  const rows = [
    ["", "before", "after"],
    ["attempts denied", ...sharesOf([all.deniedBefore, all.deniedAfter], all.attempts)],
    ["keys touched", ...sharesOf([all.keysDeniedBefore, all.keysDeniedAfter], all.keys)],
  ];
  const change = (attempts: number, keys: number): string =>
    `${formatCount(attempts, "attempt")} on ${formatCount(keys, "key")}`;
  return [
    ...table(rows),
    "",
    `newly denied   ${terminal.paint("red", change(all.newlyDenied, all.keysNewlyDenied))}`,
    `newly allowed  ${terminal.paint("cyan", change(all.newlyAllowed, all.keysNewlyAllowed))}`,
  ];
}

function sharesOf(counts: readonly number[], of: number): string[] {
  return counts.map((count) => `${formatNumber(count)} (${percentOf(count / of)})`);
}

function percentOf(share: number): string {
  return `${Number((share * 100).toPrecision(3)).toString()} %`;
}

const CHANGES = ["before", "after", "newly denied", "newly allowed"] as const;

function rulesOf({ rules }: SimulationReport): readonly string[][] {
  if (rules.length === 0) return [];
  const rows = rules.map((rule) => [
    `${printable(rule.rule)}${rule.votes ? "" : " (shadow)"}`,
    formatNumber(rule.attempts),
    ...changesOf(rule),
    `${formatNumber(rule.keysDeniedAfter)} of ${formatNumber(rule.keys)}`,
  ]);
  return [table([["denied by rule", "attempts", ...CHANGES, "keys touched"], ...rows])];
}

function keysOf({ keys }: SimulationReport): readonly string[][] {
  if (keys.length === 0) return [];
  const rows = keys.map((key) => [
    printable(key.limiter === "" ? key.key : `${key.limiter} ${key.key}`),
    formatNumber(key.attempts),
    ...changesOf(key),
  ]);
  return [table([["denied most anew, by id", "attempts", ...CHANGES], ...rows])];
}

function changesOf(
  counts: Pick<Comparison, "deniedBefore" | "deniedAfter" | "newlyDenied" | "newlyAllowed">,
): string[] {
  const { deniedBefore, deniedAfter, newlyDenied, newlyAllowed } = counts;
  return [deniedBefore, deniedAfter, newlyDenied, newlyAllowed].map(formatNumber);
}

function timelineOf({ timeline, stepUs }: SimulationReport, terminal: Terminal): readonly string[] {
  const points = timeline.flatMap(({ fromUs, allowed, denied }) => [
    { atUs: fromUs, allowed: true, count: allowed },
    { atUs: fromUs, allowed: false, count: denied },
  ]);
  const changed = (["newlyDenied", "newlyAllowed"] as const).flatMap((field) => {
    const counts = timeline.map((step) => step[field]);
    const most = counts.reduce((top, count) => Math.max(top, count), 0);
    if (most === 0) return [];
    const label = field === "newlyDenied" ? "newly denied " : "newly allowed";
    const room = terminal.columns - label.length - GAP.length;
    return [
      "",
      `${label}${GAP}${sparkline(folded(counts, room), terminal)}`.trimEnd(),
      peakOf(field),
    ];
  });
  function peakOf(field: "newlyDenied" | "newlyAllowed"): string {
    const peak = timeline.reduce((best, step) => (step[field] > best[field] ? step : best));
    const time = new Date(peak.fromUs / 1000).toISOString().slice(0, 19).replace("T", " ");
    const indent = " ".repeat("newly allowed".length + GAP.length);
    return `${indent}most: ${formatNumber(peak[field])} in the ${formatSpan(stepUs)} from ${time} UTC`;
  }
  return [...plot(points, terminal, stepUs).trimEnd().split("\n"), ...changed];
}

const GAP = "  ";

/** Sums of neighbours, no more than there are columns. */
function folded(counts: readonly number[], columns: number): readonly number[] {
  const each = Math.ceil(counts.length / columns);
  return Array.from({ length: Math.ceil(counts.length / each) }, (_, i) =>
    counts.slice(i * each, (i + 1) * each).reduce((sum, count) => sum + count, 0),
  );
}

function suggestionsOf({ suggestions }: Simulated): readonly string[][] {
  if (suggestions === undefined) return [];
  const { percent, rules } = suggestions;
  const lines = rules.map(({ rule, policy, keys, keysTouchedNow, keysTouched }) => {
    const name = `  ${printable(rule)}: `;
    if (policy === undefined) return `${name}none: even the largest limit touches too many keys`;
    return (
      `${name}${describePolicy(policy)}\n    touches ${formatNumber(keysTouched)} of ${formatCount(keys, "key")}; ` +
      `the limit simulated touches ${formatNumber(keysTouchedNow)}`
    );
  });
  return [
    [
      `the least limits that deny nothing to ${percent} % of the keys`,
      ...(rules.length === 0 ? ["  no rule has a limit"] : lines),
      "  with the same period or window, the bucket in proportion, each rule by itself",
    ],
  ];
}

/** What `sluice audit` says of the logs of a semaphore. */
import type { SemaphoreAuditReport, SemaphoreKeyReport } from "sluice/audit";
import {
  formatCount,
  formatNumber,
  formatSpan,
  formatTime,
  formatTimes,
  printable,
} from "../../terminal/format.js";
import type { Terminal } from "../../terminal/terminal.js";

/** The report for people. */
export function semaphoreText(report: SemaphoreAuditReport, terminal: Terminal): string {
  const { files, limit, grants, denied, failed, fromUs, toUs, keys, passed } = report;
  const from = files.length === 1 ? printable(files[0] ?? "") : formatCount(files.length, "file");
  const lines = [
    `read       ${formatCount(grants, "grant")} on ${formatCount(keys.length, "key")} from ${from}`,
    `semaphore  at most ${formatNumber(limit)} held at once`,
    `time       ${formatTimes({ fromUs, toUs })}, ${formatSpan(toUs - fromUs)} by the server's clock`,
  ];
  if (denied > 0) lines.push(`denied     ${formatCount(denied, "acquisition")} gave up waiting`);
  if (failed > 0) lines.push(`failed     ${formatCount(failed, "acquisition")} got no permit`);
  for (const key of keys) lines.push("", ...keyLines(key, limit, terminal));
  const refuted = keys.filter((key) => !key.passed).length;
  const verdict = passed
    ? terminal.paint("green", "PASSED")
    : terminal.paint(
        "red",
        `REFUTED on ${formatNumber(refuted)} of ${formatCount(keys.length, "key")}`,
      );
  return `${lines.join("\n")}\n\n${verdict}\n`;
}

function keyLines(key: SemaphoreKeyReport, limit: number, terminal: Terminal): string[] {
  const mark = (holds: boolean): string =>
    holds ? terminal.paint("green", "✓") : terminal.paint("red", "✗");
  const { most, mostAtUs, outOfOrder, grants, unreleased } = key;
  const ended = unreleased === 0 ? "" : `, ${formatNumber(unreleased)} never released`;
  return [
    `key ${terminal.paint("bold", printable(key.key))}: ${formatCount(grants, "grant")}${ended}`,
    `  ${mark(most <= limit)} limit  at most ${formatNumber(most)} of ${formatNumber(limit)} held at once, first at ${formatTime(mostAtUs)} UTC`,
    outOfOrder === undefined
      ? `  ${mark(true)} order  every permit was granted in FIFO order`
      : `  ${mark(false)} order  the grant at ${printable(outOfOrder.place)} went before an earlier ticket`,
  ];
}

/** A share of a whole, drawn. */
import type { Style, Terminal } from "./terminal.js";

/** So much of `columns` is filled: a share from 0 to 1. Anything at all shows. */
export function bar(
  share: number,
  columns: number,
  terminal: Terminal,
  style: Style = "cyan",
): string {
  const [full, empty] = terminal.unicode ? ["█", "░"] : ["#", "."];
  const whole = Math.round(Math.max(0, Math.min(share, 1)) * columns);
  const filled = share > 0 ? Math.max(1, whole) : whole;
  return terminal.paint(style, full.repeat(filled)) + empty.repeat(columns - filled);
}

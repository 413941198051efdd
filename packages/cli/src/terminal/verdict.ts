/** What a key has left, and how a call would be answered. */
import type { PolicyVerdict } from "sluice";
import { bar } from "./bar.js";
import { formatNumber, formatSpan } from "./format.js";
import type { Terminal } from "./terminal.js";

/** How wide the bar of what is left, or in use, is. */
export const LEFT_COLUMNS = 30;

/** What is left, drawn, and how a call of this cost would be answered. */
export function verdictLines(
  verdict: Pick<PolicyVerdict, "limit" | "remaining" | "retryAfterMs" | "resetAfterMs" | "reason">,
  cost: number,
  terminal: Terminal,
): string[] {
  const { limit, remaining, resetAfterMs } = verdict;
  const left = `${formatNumber(remaining)} of ${formatNumber(limit)} left`;
  const full = resetAfterMs === 0 ? "full" : `full in ${formatSpan(resetAfterMs * 1000)}`;
  return [
    `${bar(remaining / limit, LEFT_COLUMNS, terminal)}  ${left}, ${full}`,
    answer(verdict, cost),
  ];
}

function answer(
  { reason, retryAfterMs }: Pick<PolicyVerdict, "reason" | "retryAfterMs">,
  cost: number,
): string {
  const call = `a call of cost ${formatNumber(cost)}`;
  if (reason === "ok") return `${call} would be allowed`;
  if (reason === "too-costly") return `${call} can never fit`;
  const why = reason === "blocked" ? "the key is blocked" : "too little is left";
  return `${call} would be denied: ${why}, for ${formatSpan(retryAfterMs * 1000)}`;
}

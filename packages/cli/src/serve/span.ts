/** Spans of time, as settings and requests have them. */
import { type Duration, durationMs } from "sluice";

/** Milliseconds out of a number of them, its digits, or a text such as "10s"; undefined for anything else. */
export function spanMs(value: unknown): number | undefined {
  if (typeof value === "string" && /^\d{1,15}$/.test(value)) return Number(value);
  try {
    return durationMs(value as Duration);
  } catch {
    return undefined;
  }
}

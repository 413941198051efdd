/** Says who published a version, when and why. */
import type { DocumentNote } from "sluice/policies";
import { printable } from "../terminal/format.js";

/** "2026-11-27 14:02:11 UTC by ana: halve login". */
export function noteText({ atMs, by, comment }: DocumentNote): string {
  const who = by === undefined ? "" : ` by ${printable(by)}`;
  const why = comment === undefined ? "" : `: ${printable(comment)}`;
  return `${timeOf(atMs)} UTC${who}${why}`;
}

/** To the second, in UTC. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** A rule's policy with the changes of a plan and of an override put over it. */
import type { PolicyChange, PolicyWithoutName } from "./document.js";

/** Options as they are written, whatever the algorithm. */
type Written = Readonly<Record<string, unknown>>;

/** The later change wins, option by option; one with another algorithm starts from nothing. */
export function putOver(
  base: PolicyWithoutName,
  ...changes: readonly (PolicyChange | undefined)[]
): Written {
  let merged: Written = { ...base };
  for (const change of changes) {
    if (change === undefined) continue;
    const { algorithm = merged["algorithm"] } = change;
    merged = algorithm === merged["algorithm"] ? { ...merged, ...change } : { ...change };
  }
  return merged;
}

/** Which algorithms there are, and what each is given: for command lines, forms and tables. */
import type { PolicyField } from "../algorithms/fields.js";
import { everyAlgorithmsTools } from "../algorithms/toolbox.js";

/** One algorithm. */
export interface DescribedAlgorithm {
  /** What a policy calls it: "token-bucket". */
  readonly id: string;
  /** The fields of its policies but for `name` and `enforce`, which all have; those that must be given come first. */
  readonly fields: readonly PolicyField[];
}

/**
 * All algorithms, in the order in which the documentation lists them.
 *
 * @throws nothing
 * @example
 * import { describeAlgorithms } from "sluice/describe";
 * const gcra = describeAlgorithms().find(({ id }) => id === "gcra");
 * console.log(gcra?.fields.map(({ field }) => field)); // [ 'limit', 'period', 'burst' ]
 */
export function describeAlgorithms(): readonly DescribedAlgorithm[] {
  return everyAlgorithmsTools.map(({ algorithm, fields }) => ({ id: algorithm.id, fields }));
}

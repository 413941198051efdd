/** `sluice/describe`: policies in words, and the algorithms with their fields: for reports, forms and command lines. */
export type { PolicyField } from "../algorithms/fields.js";
export type { Wording } from "../algorithms/wording.js";
export { type DescribedAlgorithm, describeAlgorithms } from "./algorithms.js";
export { describeBound, describePolicy } from "./describe-policy.js";

/** What a store throws for a call that its caller can mend. */
import { MAX_HITS } from "../algorithms/sliding-log/kernel.js";
import { InvalidOptionError } from "../core/errors.js";

/** The log of a key is full: more, smaller hits than slidingLog is for. */
export function logFullError(): InvalidOptionError {
  return new InvalidOptionError(
    "cost",
    "one more hit",
    `at most ${MAX_HITS} stored hits a key; use slidingWindow or a bucket for more, smaller ones`,
  );
}

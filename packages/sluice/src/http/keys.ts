/** From what a request names its caller by to a key that every store takes. */
import { digestOf } from "../core/identity.js";

/** Longer ones are kept as a digest: a store should not have to hold what a client likes to send. */
const LONGEST_KEPT = 512;
/** What stores with plain ids refuse, for it would move a key to another slot, or cut it short. */
const NOT_PLAIN = /[{}\0]/;

/** A key of any text: the text itself, or its digest if it is empty, long, or not well-formed Unicode. */
export function keyOf(text: string, isPlain: boolean): string {
  const isKept = text.length > 0 && text.length <= LONGEST_KEPT && text.isWellFormed();
  if (isKept && !(isPlain && NOT_PLAIN.test(text))) return text;
  // As JSON, which escapes each lone surrogate differently: as UTF-8 they would all be the same bytes.
  return digestOf(JSON.stringify(text));
}

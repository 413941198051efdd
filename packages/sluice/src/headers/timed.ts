/** The option `nowMs` of whatever reads or writes moments. */
import { checkNumber, optional, optionReader } from "../core/options.js";

export const TIMED = optionReader<{ readonly nowMs?: number | undefined }>()({
  nowMs: optional(checkNumber),
});

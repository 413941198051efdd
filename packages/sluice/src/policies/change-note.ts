/** Who changes something, and why. */
import { optional, optionReader, textUpTo } from "../core/options.js";

/** Who changes something, and why. */
export interface ChangeNote {
  /** Who: text of at most 200 characters. */
  readonly by?: string | undefined;
  /** Why: text of at most 1,000 characters. */
  readonly comment?: string | undefined;
}

export const CHANGE_NOTE = optionReader<ChangeNote>()({
  by: optional(textUpTo(200)),
  comment: optional(textUpTo(1000)),
});

/** Who changes something, and why. */
import { InvalidOptionError } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";

/** Who changes something, and why. */
export interface ChangeNote {
  /** Who: text of at most 200 characters. */
  readonly by?: string | undefined;
  /** Why: text of at most 1,000 characters. */
  readonly comment?: string | undefined;
}

const LONGEST_BY = 200;
const LONGEST_COMMENT = 1000;

/** @throws InvalidOptionError */
export function checkNote(note: unknown): ChangeNote {
  const { by, comment } = checkOptions("note", note, ["by", "comment"]) as ChangeNote;
  checkNoteTexts({ by, comment });
  return { by, comment };
}

/** @throws InvalidOptionError */
export function checkNoteTexts({ by, comment }: ChangeNote): void {
  checkText("by", by, LONGEST_BY);
  checkText("comment", comment, LONGEST_COMMENT);
}

function checkText(option: string, value: unknown, longest: number): void {
  if (value === undefined || (typeof value === "string" && value.length <= longest)) return;
  throw new InvalidOptionError(option, withoutText(value), `text of at most ${longest} characters`);
}

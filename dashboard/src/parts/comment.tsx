/** Why something is changed: the field that each dialog has, and what is sent of it. */
import { signal } from "@preact/signals";
import { Field } from "./fields.js";

const comment = signal("");

/** A dialog opens: what was typed in the last one is not about this change. */
export function forgetComment(): void {
  comment.value = "";
}

export const CommentField = () => (
  <Field label="Comment" hint="why; kept with the change" value={comment} />
);

/** To be sent with the change; nothing if nothing was typed. */
export function commentTyped(): { readonly comment?: string } {
  const typed = comment.value.trim();
  return typed === "" ? {} : { comment: typed };
}

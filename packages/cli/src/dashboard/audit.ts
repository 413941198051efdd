/** The record of what was done on the page: who, what, before and after. */
import { channel } from "node:diagnostics_channel";

/** What `sluice:admin` publishes, once a change was made, or was refused by the store. */
export interface AdminMessage {
  /** ms since the epoch, by the store's clock as far as it is known. */
  readonly atMs: number;
  /** As the login or the app named them; undefined if they have no name. */
  readonly who: string | undefined;
  /** What was done. */
  readonly action:
    | "policies"
    | "mode"
    | "override"
    | "block"
    | "unblock"
    | "reset"
    | "publish"
    | "rollback";
  /** What was changed: a rule and a key's id, or a document's name. */
  readonly target: string;
  /** As it was, as far as it is known. */
  readonly before: unknown;
  /** As it is. */
  readonly after: unknown;
  /** The comment on the change; undefined if there was none. */
  readonly comment: string | undefined;
}

/** The channel of node:diagnostics_channel. */
const ADMIN_CHANNEL = "sluice:admin";

/** Notifies the listener. If it throws, that changes nothing. */
export function audited(
  message: AdminMessage,
  onChange: ((change: AdminMessage) => unknown) | undefined,
  failed: (error: unknown) => void,
): void {
  channel(ADMIN_CHANNEL).publish(message);
  try {
    const told = onChange?.(message);
    if (told instanceof Promise) told.catch(failed);
  } catch (error) {
    failed(error);
  }
}

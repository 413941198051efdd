/** What may be said of an override, and the checks on it. */
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import { InvalidOptionError } from "../core/errors.js";
import type { SlotOption } from "../core/key.js";
import { unchecked, optional, optionReader, textUpTo } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { KnownOverride, OverrideNote } from "./override-text.js";

/** Options of `override`. */
export interface OverrideOptions extends SlotOption {
  /** When it ends, by the store's clock: a Date, or ms since the epoch. Default: it stays until it is removed. */
  readonly until?: Date | number | undefined;
  /** Why it is there, or is removed: text of at most 500 UTF-16 units, for who lists overrides. */
  readonly comment?: string | undefined;
  /** Who sets or removes it: text of at most 200 UTF-16 units. */
  readonly by?: string | undefined;
}

/** What is to hold for a key: undefined = its policies, from now on. */
export interface OverrideChange {
  readonly to: Omit<KnownOverride, "text"> | undefined;
  readonly note: OverrideNote;
}

const OPTIONS = optionReader<OverrideOptions>()({
  ...unchecked("until", "slot"),
  comment: optional(textUpTo(500)),
  by: optional(textUpTo(200)),
});
const LATEST_MS = 8.64e15;

/** @throws InvalidOptionError */
export function checkOverride(override: unknown, options: OverrideOptions): OverrideChange {
  const { until, comment, by } = OPTIONS.read(options);
  const note = { comment, by };
  const untilMs = until instanceof Date ? until.getTime() : until;
  const isTime = typeof untilMs === "number" && untilMs >= 0 && untilMs <= LATEST_MS;
  if (untilMs !== undefined && !isTime) {
    throw new InvalidOptionError("until", until, "a Date, or milliseconds since the epoch");
  }
  if (override === undefined) return { to: undefined, note };
  const isWord = override === "deny" || override === "exempt";
  const what = isWord ? override : checkPolicy(override);
  return {
    to: { override: what, untilMs: isTime ? Math.ceil(untilMs) : undefined, ...note },
    note,
  };
}

function checkPolicy(override: unknown): Policy {
  if (typeof override === "object" && override !== null) return parsePolicy(override, "override");
  const allowed = 'a policy, "deny", "exempt", or undefined to remove it';
  throw new InvalidOptionError("override", withoutText(override), allowed);
}

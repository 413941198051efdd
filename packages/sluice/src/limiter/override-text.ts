/** Overrides as stores keep them: one text each. */
import { parsePolicy } from "../algorithms/registry.js";
import type { Override, OverrideTerms } from "../events/changes.js";
import type { StoredOverride } from "../stores/override-store.js";

/** Who changed an override, and why, as they said. */
export interface OverrideNote {
  readonly by: string | undefined;
  readonly comment: string | undefined;
}

/** An override that was set or read. */
export interface KnownOverride extends OverrideNote {
  readonly override: Override;
  /** When it ends, by the store's clock: ms since the epoch. */
  readonly untilMs: number | undefined;
  /** As it is kept: the same text is the same override. */
  readonly text: string;
}

export function overrideToText({ override, comment, by }: Omit<KnownOverride, "text">): string {
  return JSON.stringify({ override, comment, by });
}

/** What is kept of a removed override, for a minute. Undefined if its removal had no note. */
export function removalToText({ by, comment }: OverrideNote): string | undefined {
  return by === undefined && comment === undefined ? undefined : JSON.stringify({ by, comment });
}

/** @throws if it is not one of this release */
export function overrideOfText({ text, untilMs }: StoredOverride): KnownOverride {
  const { override, comment, by } = JSON.parse(text) as Partial<KnownOverride>;
  const isWord = override === "deny" || override === "exempt";
  return { override: isWord ? override : parsePolicy(override), untilMs, comment, by, text };
}

/** @throws if it is not one of this release */
export function removalOfText(text: string): OverrideNote {
  const { by, comment } = JSON.parse(text) as Partial<OverrideNote>;
  return { by, comment };
}

/** As it is shown. */
export function termsOf({ override, untilMs, comment, by }: KnownOverride): OverrideTerms {
  return { override, until: untilMs === undefined ? undefined : new Date(untilMs), comment, by };
}

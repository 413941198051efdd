/** What a PolicySet reports about its document. */

/** One part of a document of policies that has changed. */
export interface RuleChange {
  /** What kind of part it is: of "setting" there are the mode, the defaults and `activeFrom`. */
  readonly part: "setting" | "plan" | "rule" | "override";
  /** A setting's, plan's or rule's name; of an override its rule and key, with a blank between. */
  readonly name: string;
  /** As it was; undefined if it is new. */
  readonly before: unknown;
  /** As it is; undefined if it is gone. */
  readonly after: unknown;
}

/** A PolicySet decides by another document, or its switch was thrown. */
export interface RulesChanged {
  /** The set's namespace. */
  readonly set: string;
  /** The version that was in force; undefined before the first. */
  readonly before: number | string | undefined;
  /** The version in force. */
  readonly after: number | string;
  /** When, by the store's clock: µs since the epoch. */
  readonly atUs: number;
  /** Who changed it, as they said. */
  readonly by: string | undefined;
  /** Why, as they said. */
  readonly comment: string | undefined;
  /** What is not the same, by rule. */
  readonly changes: readonly RuleChange[];
}

/** A PolicySet has looked at its source, and found it changed or in trouble: each time, but of trouble once until it is another. */
export interface RulesReloaded {
  /** The set's namespace. */
  readonly set: string;
  /**
   * "applied": in force now; "scheduled": in force later; "recovered": as it was before some trouble; "invalid", "older",
   * "lost" or "failed": what is in force stays, for `error` says why.
   */
  readonly outcome: "applied" | "scheduled" | "recovered" | "invalid" | "older" | "lost" | "failed";
  /** Of what was found, as far as it is known. */
  readonly version: number | string | undefined;
  /** Why the source could not be used; undefined if it could. */
  readonly error: Error | undefined;
}

/** The kinds of events of a PolicySet, beside those of the limiters behind it. */
export interface RuleEvents {
  /** It decides by another document, or its switch was thrown. */
  readonly rules: RulesChanged;
  /** It has found its source changed, or in trouble. */
  readonly reload: RulesReloaded;
}

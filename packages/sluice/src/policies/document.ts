/** The document of policies: one immutable value, as it is written. `parsePolicies` checks one and `printPolicies` writes it. */
import type { CalendarWindowOptions } from "../algorithms/calendar-window/policy.js";
import type { FixedWindowOptions } from "../algorithms/fixed-window/policy.js";
import type { GcraOptions } from "../algorithms/gcra/policy.js";
import type { LeakyBucketOptions } from "../algorithms/leaky-bucket/policy.js";
import type { Policy } from "../algorithms/registry.js";
import type { SlidingLogOptions } from "../algorithms/sliding-log/policy.js";
import type { SlidingWindowOptions } from "../algorithms/sliding-window/policy.js";
import type { TokenBucketOptions } from "../algorithms/token-bucket/policy.js";
import type { UnlimitedOptions } from "../algorithms/unlimited/policy.js";

/** "enforce": denials count; "shadow": decided and counted, and everything passes; "off": not asked at all. */
export type PoliciesMode = "enforce" | "shadow" | "off";

/** A policy's algorithm and options, as in code, without its name: that is the rule's. */
export type PolicyWithoutName =
  | ({
      /** The algorithm's id; its options are beside it. */
      readonly algorithm: "token-bucket";
    } & Omit<TokenBucketOptions, "name" | "enforce">)
  | ({ readonly algorithm: "gcra" } & Omit<GcraOptions, "name" | "enforce">)
  | ({ readonly algorithm: "leaky-bucket" } & Omit<LeakyBucketOptions, "name" | "enforce">)
  | ({ readonly algorithm: "fixed-window" } & Omit<FixedWindowOptions, "name" | "enforce">)
  | ({ readonly algorithm: "calendar-window" } & Omit<CalendarWindowOptions, "name" | "enforce">)
  | ({ readonly algorithm: "sliding-window" } & Omit<SlidingWindowOptions, "name" | "enforce">)
  | ({ readonly algorithm: "sliding-log" } & Omit<SlidingLogOptions, "name" | "enforce">)
  | ({ readonly algorithm: "unlimited" } & Omit<UnlimitedOptions, "name" | "enforce">);

/**
 * Options put over those of a rule's policy. Options that are left out stay as the rule has them, and defaults are taken
 * afterwards. With another `algorithm` than the rule's they are the whole policy.
 */
export type PolicyChange = {
  /** The algorithm, if the change names another. */
  readonly algorithm?: Policy["algorithm"] | undefined;
} & Partial<
  Omit<
    TokenBucketOptions &
      GcraOptions &
      LeakyBucketOptions &
      FixedWindowOptions &
      CalendarWindowOptions &
      SlidingWindowOptions &
      SlidingLogOptions &
      UnlimitedOptions,
    "name" | "enforce"
  >
>;

/** Which entry of a request has its cost. */
export interface CostFrom {
  /** The entry that holds it, a number of units. */
  readonly from: string;
  /** The cost if the entry is absent or is not a number of units; default 1. */
  readonly default?: number | undefined;
}

/** Texts that an entry may be, with `*` for any run of characters; `\*` is a star. */
export type EntryTexts = string | readonly string[];

/** What an entry must be: of the texts in `is`, and of none in `not`. It must be there in any case. */
export interface EntryCondition {
  /** Default: any text. */
  readonly is?: EntryTexts | undefined;
  /** Default: none. */
  readonly not?: EntryTexts | undefined;
}

/** A rule: which requests it is for, whose budget they charge, and how much that is. */
export interface PolicyRule {
  /** 1 to 54 characters of A-Z a-z 0-9 . _ -; its policy's name too, so the state goes by it. */
  readonly name: string;
  /** For people; no effect. */
  readonly comment?: string | undefined;
  /** What entries of the request must be. An entry that is not named may be anything. Default: every request. */
  readonly match?: Readonly<Record<string, EntryTexts | EntryCondition>> | undefined;
  /** true: only for requests without entries besides those in `match` and `key`; default false. */
  readonly exact?: boolean | undefined;
  /** Entries that make the identity which is limited. Default: none, so all requests share one budget. */
  readonly key?: readonly string[] | undefined;
  /** If an entry of `key` is absent: "skip" (default), the rule does not apply; "deny". */
  readonly onMissing?: "skip" | "deny" | undefined;
  /** The limit. */
  readonly policy: PolicyWithoutName;
  /**
   * Units a request costs, 0 to 1e9 in whole thousandths, or the entry that says so; default: what the request says, or
   * 1.
   */
  readonly cost?: number | CostFrom | undefined;
  /** Default "enforce". */
  readonly mode?: PoliciesMode | undefined;
  /**
   * The rule is enforced for this percentage of its keys and shadowed for the others: 0 to 100; default 100. A higher
   * percentage only adds keys.
   */
  readonly rollout?: { readonly percent: number } | undefined;
  /** A second limit, decided and counted beside the first under the name `<rule>.candidate`, never enforced. */
  readonly candidate?: { readonly policy: PolicyWithoutName } | undefined;
  /** Whether a request may bring its own policy for this rule; default false. */
  readonly allowOverride?: boolean | undefined;
}

/** Another limit, a deny or an exemption for one key of a rule, or for all that begin alike. */
export interface PolicyOverride {
  /** The rule's name. */
  readonly rule: string;
  /**
   * As `ruleKey` writes it: `user=acme`, or `user=acme,route=/v1` for two entries. With one `*` at its end, every key
   * that begins so. The longest that fits counts, and an exact one before all others.
   */
  readonly key: string;
  /** Put over the rule's policy and the plan's. This or `mode`. */
  readonly policy?: PolicyChange | undefined;
  /** "deny": every request; "exempt": the rule does not apply. */
  readonly mode?: "deny" | "exempt" | undefined;
  /** Until when, as `2026-12-31T00:00:00Z`; default: for ever. */
  readonly until?: string | undefined;
  /** For people: why. */
  readonly comment?: string | undefined;
  /** For people: who. */
  readonly by?: string | undefined;
}

/** Changes to rules' policies, by the rule's name. */
export type PolicyPlan = Readonly<Record<string, PolicyChange>>;

/** All policies of a service. Plain and frozen, and the same after `parsePolicies(printPolicies(document))`. */
export interface PoliciesDocument {
  /** The address of the JSON Schema, for editors; no effect. */
  readonly $schema?: string | undefined;
  /** A whole number that a publisher raises. Without one, a hash of the content replaces it. */
  readonly version?: number | undefined;
  /** From when it is in force, as `2026-12-01T00:00:00Z`, by the store's clock; default: at once. */
  readonly activeFrom?: string | undefined;
  /** The switch over all rules: "shadow" and "off" win over what the rules say; default "enforce". */
  readonly mode?: PoliciesMode | undefined;
  /** What holds for rules that say nothing else. */
  readonly defaults?:
    | { readonly onStoreFailure?: "local" | "open" | "closed" | "throw" | undefined }
    | undefined;
  /** Plans by name, for the `plan` of a request. */
  readonly plans?: Readonly<Record<string, PolicyPlan>> | undefined;
  /** In the order in which matches are listed; all that match are decided together. */
  readonly rules: readonly PolicyRule[];
  /** What holds for single keys. */
  readonly overrides?: readonly PolicyOverride[] | undefined;
}

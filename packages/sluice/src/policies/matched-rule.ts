/** What a request meets: the rules that match it, each with its identity, cost and limits. */
import type { Policy } from "../algorithms/registry.js";
import type { PoliciesMode } from "./document.js";
import type { RequestEntries } from "./rule-key.js";

/** What is to be decided on. */
export interface PolicyRequest {
  /** What the request says of itself: `{ user: "acme", path: "/v1/items" }`. Only own entries count. */
  readonly entries: RequestEntries;
  /** The one rule to ask, by its name, whatever its `match` says; default: all that the request meets. */
  readonly rule?: string | undefined;
  /** Units, for rules that say nothing of the cost; default 1. */
  readonly cost?: number | undefined;
  /** The plan whose limits apply; one that the document does not have changes nothing. Default: none. */
  readonly plan?: string | undefined;
}

/** An override as answers name it. */
export interface MatchedOverride {
  /** 12 characters, the same for this rule and key in every version; no key can be read from it. */
  readonly id: string;
  /** Its index in the document's `overrides`. */
  readonly index: number;
  /** What it does to the rule. */
  readonly kind: "policy" | "deny" | "exempt";
}

/** One rule that a request meets. */
export interface MatchedRule {
  /** The rule's name; its policy has it too. */
  readonly rule: string;
  /** The identity to charge; undefined if an entry is absent and the rule denies that. */
  readonly identity: string | undefined;
  /** "decide": ask `policy`; "deny": refuse, whatever is left; "exempt": do not ask. */
  readonly verdict: "decide" | "deny" | "exempt";
  /** "shadow": what is decided is counted and not enforced. A rule that is off is not listed. */
  readonly mode: "enforce" | "shadow";
  /** Units, from 0 to 1e9 in whole thousandths. */
  readonly cost: number;
  /** Frozen, and the same object for the same rule, plan and override as long as this document is in use. */
  readonly policy: Policy;
  /** The same limits under the name `<rule>.candidate`: to decide and to count beside, never to enforce. */
  readonly candidate: Policy | undefined;
  /** The override that decides on the key; undefined if none does. */
  readonly override: MatchedOverride | undefined;
  /** Whether the request may bring its own policy. */
  readonly allowOverride: boolean;
}

/** Why a rule does not match: what an entry should have been. */
export interface UnmetEntry {
  /** The entry of the request. */
  readonly entry: string;
  /** The texts that the rule accepts; undefined if it accepts any, empty if the entry must be absent. */
  readonly allowed: readonly string[] | undefined;
  /** The texts that the rule is not for; undefined if there are none. */
  readonly refused: readonly string[] | undefined;
  /** Whether the request lacks it. */
  readonly isAbsent: boolean;
}

/** What one rule says to a request. */
export interface RuleExplanation {
  /** The rule's name. */
  readonly rule: string;
  /** Undefined if the rule does not match, or is off. */
  readonly match: MatchedRule | undefined;
  /** What keeps the rule from matching; empty if it matches. */
  readonly unmet: readonly UnmetEntry[];
  /** The mode that the rule has, with the switch over all rules. */
  readonly mode: PoliciesMode;
  /** The key's position in the rollout, from 0 to below 100: enforced if that is below the rule's percent. */
  readonly rolloutPlace: number | undefined;
}

/** What attempts are replayed under. */
import type { Policy } from "../algorithms/registry.js";
import { type Rule, rulesOf } from "../algorithms/rule.js";
import type { AttemptPolicies } from "../audit/attempts-read.js";
import type { LogRecord } from "../audit/record.js";
import { InvalidOptionError } from "../core/errors.js";
import { aText, checkFunction, optional, unchecked } from "../core/options.js";
import { hasField, withoutText } from "../core/shown.js";
import type { LoggedRequest } from "../audit/request-record.js";

/** One attempt of a log. */
export interface LoggedAttempt {
  /** The number of its key: that of a limiter's key. */
  readonly key: number;
  readonly record: LogRecord;
  /** What decided it; undefined if the log does not say. */
  readonly under: AttemptPolicies | undefined;
}

/** One rule that is asked about an attempt. */
export interface AskedRule {
  /** The rule's name. */
  readonly name: string;
  readonly rule: Rule;
  /** Whose units it takes: attempts of one id and name share them. */
  readonly id: string;
  /** Whether its denial denies the attempt; else it is decided and counted beside. */
  readonly votes: boolean;
  /** Thousandths; undefined = the attempt's own cost. */
  readonly cost?: number | undefined;
  /** Whether it denies without counting, whatever is left. */
  readonly refuses?: boolean;
  /** Of a candidate: its rule. */
  readonly ofRule?: string | undefined;
  /** What replaces the rule's own policy for this key. */
  readonly override?: string | undefined;
}

/** The rules that a logged request meets; `isSecret`: no text can be compared with its ids. */
export type RulesForRequest = (
  request: LoggedRequest,
  isSecret: boolean,
  atUs: number,
) => readonly AskedRule[];

/** Limits that attempts can be replayed under. Made by `limitsOf` or `limitsOfDocument`. */
export interface Limits {
  /** What they cannot take into account, as sentences for people. */
  readonly notes: readonly string[];
}

/** The same, to be asked. */
export interface ReplayableLimits extends Limits {
  /** The rules that apply to an attempt; none if nothing limits it. */
  rulesFor(attempt: LoggedAttempt): readonly AskedRule[];
  /** The same of a request with its entries; undefined if limits are for keys alone. */
  readonly rulesForRequest?: RulesForRequest | undefined;
}

/** What simulations and suggestions share. */
export const REPLAY_OPTIONS = {
  ...unchecked("limits"),
  limiter: optional(aText("the name of a limiter")),
  onProgress: optional(checkFunction),
};

/** Limits that a user passes. */
export function replayable(limits: Limits, option = "limits"): ReplayableLimits {
  if (hasField(limits, "rulesFor")) return limits as ReplayableLimits;
  throw new InvalidOptionError(option, withoutText(limits), "limitsOf(…) or limitsOfDocument(…)");
}

/**
 * The same policies for every key, as a limiter has them.
 *
 * @throws InvalidOptionError
 * @example
 * import { tokenBucket } from "sluice";
 * import { limitsOf } from "sluice/simulate";
 * console.log(typeof limitsOf([tokenBucket({ limit: 3, period: "1h" })])); // object
 */
export function limitsOf(policies: readonly Policy[]): Limits {
  return limitsOfRules(rulesOf(policies, "policies"));
}

function limitsOfRules(rules: readonly Rule[]): ReplayableLimits {
  return {
    notes: [],
    rulesFor({ key }) {
      const id = String(key);
      return rules.map((rule) => ({ name: rule.policy.name, rule, id, votes: true }));
    },
  };
}

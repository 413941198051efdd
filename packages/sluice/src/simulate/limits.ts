/** What attempts are replayed under. */
import type { Policy } from "../algorithms/registry.js";
import { type Rule, rulesOf } from "../algorithms/rule.js";
import type { AttemptPolicies } from "../audit/attempts-read.js";
import type { LogRecord } from "../audit/record.js";

/** One attempt of a log. */
export interface LoggedAttempt {
  /** The number of its key: that of a limiter's key. */
  readonly key: number;
  readonly record: LogRecord;
  /** What decided it; undefined where the log does not know. */
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
  /** Thousandths; undefined = what the attempt asked for. */
  readonly cost?: number | undefined;
  /** What takes the place of the rule's own policy for this key. */
  readonly override?: string | undefined;
}

/** Limits that attempts can be replayed under. */
export interface Limits {
  /** The rules that apply to an attempt; none where nothing limits it. */
  rulesFor(attempt: LoggedAttempt): readonly AskedRule[];
}

/**
 * The same policies for every key, as a limiter has them.
 *
 * @throws InvalidOptionError
 */
export function limitsOf(policies: readonly Policy[]): Limits {
  const rules = rulesOf(policies, "policies");
  return {
    rulesFor({ key }) {
      const id = String(key);
      return rules.map((rule) => ({ name: rule.policy.name, rule, id, votes: true }));
    },
  };
}

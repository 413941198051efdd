/**
 * What a limiter has decided, in plain numbers: bumped where decisions are reported, and read by `stats()`. Keys are
 * never counted by name, and the names of policies are few, so this stays small whatever is asked.
 */
import type { Rule } from "../algorithms/rule.js";
import {
  type Decision,
  type DecisionReason,
  type DecisionSource,
  isNear,
} from "../core/decision.js";
import { WaitCounts } from "../events/wait-counts.js";

/** Why, and whether that let the call pass: without the store both may be. */
const ROWS = [
  { reason: "ok", allowed: true },
  { reason: "quota", allowed: false },
  { reason: "too-costly", allowed: false },
  { reason: "blocked", allowed: false },
  { reason: "store", allowed: false },
  { reason: "store", allowed: true },
] as const;
const SOURCES = [
  "store",
  "deny-cache",
  "prefetch",
  "local",
  "fail-open",
  "fail-closed",
  "fallback",
  "override",
  "rules",
] as const;
const REASON_PLACES: Readonly<Record<DecisionReason, number>> = {
  ok: 0,
  quota: 1,
  "too-costly": 2,
  blocked: 3,
  store: 4,
};
const SOURCE_PLACES: Readonly<Record<DecisionSource, number>> = {
  store: 0,
  "deny-cache": 1,
  prefetch: 2,
  local: 3,
  "fail-open": 4,
  "fail-closed": 5,
  fallback: 6,
  override: 7,
  rules: 8,
};
/** Rows are distinguished by the reason, but for the last one. */
const PASSED_WITHOUT_STORE = 5;

/** Every name beyond this many is counted as one: a policy function may make a thousand. */
export const MOST_NAMES = 100;
/** What these are called together. */
export const OTHER_POLICIES = "other";

/** Decisions of one reason and one source. */
export interface Cell {
  readonly allowed: boolean;
  readonly reason: DecisionReason;
  readonly source: DecisionSource;
  readonly count: number;
  readonly units: number;
}

/** The decisions that one policy made, or was the tightest of. */
export class PolicyCounts {
  /** As it was last bound, but for a call's own options; undefined for the names that are counted as one. */
  rule: Rule | undefined;
  /** Admitted by the store, as nearly all are: these two are bumped by who decides, without a call. */
  admitted = 0;
  admittedUnits = 0;
  /** Admitted, and left a tenth of the limit or less. */
  near = 0;
  /** All others, by reason and source. */
  readonly #counts = ROWS.map(() => SOURCES.map(() => 0));
  readonly #units = ROWS.map(() => SOURCES.map(() => 0));

  /** Counts a decision on `units`, whatever it is; as it was before shadow mode let it pass. */
  add(decision: Decision, units: number): void {
    const { allowed, reason } = decision;
    const row = allowed && reason === "store" ? PASSED_WITHOUT_STORE : REASON_PLACES[reason];
    const source = SOURCE_PLACES[decision.source];
    bump(this.#counts[row] as number[], source, 1);
    bump(this.#units[row] as number[], source, units);
    if (isNear(decision)) this.near += 1;
  }

  /** Of each reason and source that there was. Admissions of the store are there from the start. */
  cells(): readonly Cell[] {
    return ROWS.flatMap(({ reason, allowed }, i) =>
      SOURCES.map((source, j) => {
        const isUsual = i === 0 && j === 0;
        const count = (this.#counts[i]?.[j] as number) + (isUsual ? this.admitted : 0);
        const units = (this.#units[i]?.[j] as number) + (isUsual ? this.admittedUnits : 0);
        return { allowed, reason, source, count, units };
      }),
    ).filter(
      ({ count, reason, source }) =>
        count > 0 || (source === "store" && (reason === "ok" || reason === "quota")),
    );
  }
}

/**
 * What a policy was to the calls that are counted: it decided them; it decided what they would have come to, since none of
 * theirs had a vote; or it was asked beside those that decided.
 */
export type Vote = "own" | "none" | "beside";

/** The counts of one limiter. */
export class LimiterCounts {
  readonly #policies: Readonly<Record<Vote, Map<string, PolicyCounts>>> = {
    own: new Map(),
    none: new Map(),
    beside: new Map(),
  };
  /** Calls for quota that were aborted by their callers. */
  aborted = 0;
  /** Calls for quota that threw: no store, no policies, or closed during the call. */
  failed = 0;
  readonly waits = new WaitCounts();
  /** Units taken ahead; given back; and lost on the way back. */
  prefetchTaken = 0;
  prefetchReturned = 0;
  prefetchLost = 0;

  /** The counts of a policy by its name. */
  of(name: string, vote: Vote = "own"): PolicyCounts {
    const policies = this.#policies[vote];
    let counts = policies.get(name);
    if (counts === undefined) {
      if (policies.size >= MOST_NAMES && name !== OTHER_POLICIES) {
        return this.of(OTHER_POLICIES, vote);
      }
      counts = new PolicyCounts();
      policies.set(name, counts);
    }
    return counts;
  }

  /** The counts of a policy that is bound. */
  bound(name: string, rule: Rule): PolicyCounts {
    const vote = rule.policy.enforce === false ? "beside" : "own";
    const counts = this.of(name, vote);
    const policies = this.#policies[vote];
    const standsForMany = counts === policies.get(OTHER_POLICIES) && policies.size > MOST_NAMES;
    counts.rule = standsForMany ? undefined : rule;
    return counts;
  }

  /** By name, in the order in which they came. */
  policies(vote: Vote = "own"): ReadonlyMap<string, PolicyCounts> {
    return this.#policies[vote];
  }
}

function bump(numbers: number[], place: number, by: number): void {
  numbers[place] = (numbers[place] as number) + by;
}

/** What `limiter.stats()` shows: the counts of a limiter, by what people ask of them. */
import type { Rule } from "../algorithms/rule.js";
import type { DecisionReason, DecisionSource } from "../core/decision.js";
import type { WaitStats } from "../events/wait-counts.js";
import type { LimiterCounts, PolicyCounts } from "./counts.js";
import type { Shortcuts } from "./shortcuts/shortcuts.js";

/**
 * What a decision came to. A limiter with `enforce: false` lets pass what it would deny, and so does a policy: that is
 * "shadow-denied".
 */
export type DecisionOutcome = "allowed" | "denied" | "shadow-denied";

/** Decisions that are alike. */
export interface DecisionCount {
  /** The deciding policy: on a denial the one with the longest wait, else the one with least remaining. */
  readonly policy: string;
  /** What became of the calls. */
  readonly outcome: DecisionOutcome;
  /** As the decisions' own. */
  readonly reason: DecisionReason;
  /** As the decisions' own. */
  readonly source: DecisionSource;
  /** Decisions since the start. */
  readonly count: number;
  /** Units that they requested; of a partial grant, the granted units. */
  readonly units: number;
}

/** One policy of a limiter. After 100 names all others are one, "other". */
export interface PolicyStats {
  /** Its name; "" for calls whose policies were not known. */
  readonly policy: string;
  /** Units: a bucket's capacity or a window's limit; of several policies of one name the latest. Undefined for "other". */
  readonly limit: number | undefined;
  /** Its window, or how long its bucket takes to fill: ms, as `limit`. */
  readonly windowMs: number | undefined;
  /** Whether it has a vote. */
  readonly mode: "enforce" | "shadow";
  /** Decisions that it admitted and that left a tenth of the limit or less. */
  readonly nearLimit: number;
}

/** What a limiter has decided since it was made, by this process. */
export interface LimiterStats {
  /** Its namespace. */
  readonly limiter: string;
  /** Calls for quota (consume, consumeUpTo, reserve; acquire asks by reserve, at times more than once). */
  readonly allowed: number;
  /** Calls that were denied. */
  readonly denied: number;
  /** Allowed, for the limiter or its policy does not enforce, but it would have denied. */
  readonly shadowDenied: number;
  /** Of all these: decided without the store (sources "local", "fail-open", "fail-closed", "fallback"). */
  readonly withoutStore: number;
  /** Of the allowed: left a tenth of the limit or less. */
  readonly nearLimit: number;
  /** Calls for quota without a decision: given up by their callers. */
  readonly aborted: number;
  /** Calls for quota without a decision: no store, no policies, or closed during the call. */
  readonly failed: number;
  /** Units, by outcome. */
  readonly units: {
    readonly allowed: number;
    readonly denied: number;
    readonly shadowDenied: number;
  };
  /** The same decisions, one by one policy, outcome, reason and source. */
  readonly decisions: readonly DecisionCount[];
  /**
   * What policies with `enforce: false` said beside those that decided: a verdict a call and policy, none of which is among
   * the decisions.
   */
  readonly shadows: readonly DecisionCount[];
  /** The same by policy. */
  readonly policies: readonly PolicyStats[];
  /** Of acquire and wrap. */
  readonly waits: WaitStats;
  /** Units that were taken ahead: since the start, and held now. */
  readonly prefetch: {
    readonly taken: number;
    readonly spent: number;
    readonly returned: number;
    /** Their way back failed: they come back only as quota does. */
    readonly lost: number;
    readonly held: number;
  };
  /** Keys whose denials are remembered now. */
  readonly deniedKeys: number;
  /** Overrides that this process knows of now. */
  readonly overrides: number;
}

/** Whose stats they are. */
export interface CountedLimiter {
  readonly name: string;
  readonly counts: LimiterCounts;
  readonly enforce: boolean;
  readonly shortcuts: Shortcuts;
  readonly resolver: { readonly overrides: { readonly size: number } | undefined };
}

/** Sources of decisions that were made without the store. */
export const WITHOUT_STORE: ReadonlySet<DecisionSource> = new Set([
  "local",
  "fail-open",
  "fail-closed",
  "fallback",
]);

export function limiterStats({
  name,
  counts,
  enforce,
  shortcuts,
  resolver,
}: CountedLimiter): LimiterStats {
  const decisions = [
    ...cellsOf(counts.policies(), enforce ? "denied" : "shadow-denied"),
    ...cellsOf(counts.policies("none"), "shadow-denied"),
  ];
  const sum = (what: "count" | "units", of: (each: DecisionCount) => boolean): number =>
    decisions.filter(of).reduce((total, each) => total + each[what], 0);
  const by = (outcome: DecisionOutcome) => (each: DecisionCount) => each.outcome === outcome;
  const policies = policiesOf(counts, enforce);
  return {
    limiter: name,
    allowed: sum("count", by("allowed")),
    denied: sum("count", by("denied")),
    shadowDenied: sum("count", by("shadow-denied")),
    withoutStore: sum("count", ({ source }) => WITHOUT_STORE.has(source)),
    nearLimit: policies.reduce((total, each) => total + each.nearLimit, 0),
    aborted: counts.aborted,
    failed: counts.failed,
    units: {
      allowed: sum("units", by("allowed")),
      denied: sum("units", by("denied")),
      shadowDenied: sum("units", by("shadow-denied")),
    },
    decisions,
    shadows: cellsOf(counts.policies("beside"), "shadow-denied"),
    policies,
    waits: counts.waits.stats(),
    prefetch: {
      taken: counts.prefetchTaken,
      spent: sum("units", ({ source }) => source === "prefetch"),
      returned: counts.prefetchReturned,
      lost: counts.prefetchLost,
      held: shortcuts.prefetch?.heldUnits ?? 0,
    },
    deniedKeys: shortcuts.deniedKeys,
    overrides: resolver.overrides?.size ?? 0,
  };
}

function cellsOf(
  policies: ReadonlyMap<string, PolicyCounts>,
  denied: DecisionOutcome,
): DecisionCount[] {
  return [...policies].flatMap(([policy, counts]) =>
    counts.cells().map(({ allowed, ...cell }): DecisionCount => {
      return { policy, outcome: allowed ? "allowed" : denied, ...cell };
    }),
  );
}

function policiesOf(counts: LimiterCounts, enforce: boolean): PolicyStats[] {
  const decided = [...counts.policies()].map(([policy, { rule, near }]) =>
    policyStats(policy, rule, enforce ? "enforce" : "shadow", near),
  );
  const beside = counts.policies("beside");
  const alone = counts.policies("none");
  const onTrial = [...new Set([...beside.keys(), ...alone.keys()])].map((policy) =>
    policyStats(policy, beside.get(policy)?.rule, "shadow", alone.get(policy)?.near ?? 0),
  );
  return [...decided, ...onTrial];
}

function policyStats(
  policy: string,
  rule: Rule | undefined,
  mode: PolicyStats["mode"],
  nearLimit: number,
): PolicyStats {
  return { policy, limit: rule?.limit, windowMs: rule?.windowMs, mode, nearLimit };
}

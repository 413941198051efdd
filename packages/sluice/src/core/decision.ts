/** What a limiter answers, and when that is near its limit. */

/** Why: "too-costly" can never fit, "store" is a degraded answer made without the store. */
export type DecisionReason = "ok" | "quota" | "too-costly" | "blocked" | "store";

/**
 * How the answer was made. Anything but "store" is a shortcut or a degraded answer; "local" is this process's own, by the
 * same policies, while the store is away; "override" is an override of the key that denies all or lets all pass; "rules" is
 * a document of rules alone: no rule matches the request, or it lacks an entry that a rule requires.
 */
export type DecisionSource =
  | "store"
  | "deny-cache"
  | "prefetch"
  | "local"
  | "fail-open"
  | "fail-closed"
  | "fallback"
  | "override"
  | "rules";

/** One policy's own part of a decision. */
export interface PolicyVerdict {
  /** The policy's name. */
  readonly policy: string;
  /** Whether this policy alone would have allowed the call. */
  readonly allowed: boolean;
  /** Why this policy allows or denies. */
  readonly reason: DecisionReason;
  /** As in the decision, of this policy alone. */
  readonly limit: number;
  /** As in the decision, of this policy alone: whole units. */
  readonly remaining: number;
  /** As in the decision, of this policy alone: whole ms, 0 when it allows, Infinity for never. */
  readonly retryAfterMs: number;
  /** As in the decision, of this policy alone: whole ms. */
  readonly resetAfterMs: number;
  /** As in the decision, of this policy alone: whole ms. */
  readonly windowMs: number;
  /** As in the decision, of a policy without a vote. */
  readonly charged?: number | undefined;
}

/** What a verb answers: whether the call may go on, and what is left. */
export interface Decision {
  /** Whether the call may go ahead; in shadow mode always true. */
  readonly allowed: boolean;
  /** Why: "ok", or what denies, such as "quota" or "blocked". */
  readonly reason: DecisionReason;
  /** Units a fresh key could take at once: a bucket's capacity or a window's limit. */
  readonly limit: number;
  /** Whole units available right after this decision; the true number on a denial too, 0 while in debt. */
  readonly remaining: number;
  /**
   * Whole ms, rounded up, until this cost would be allowed if no other call consumes: 0 when allowed, Infinity when never.
   * `setTimeout` takes Infinity for 1 ms, and JSON has no Infinity: there it is `null`, which reads as "never".
   */
  readonly retryAfterMs: number;
  /** Whole ms, rounded up, until the key is back to full quota (and no longer blocked). */
  readonly resetAfterMs: number;
  /** The store's clock at the decision: integer µs since the Unix epoch. */
  readonly decidedAtUs: number;
  /**
   * Length of the deciding policy's window, or how long its bucket takes to fill from empty: whole ms, rounded up; 0
   * for a policy without a limit. What the field RateLimit-Policy calls w, in ms.
   */
  readonly windowMs: number;
  /** The deciding policy: on a denial the one with the longest wait, else the one with least remaining. */
  readonly policy: string;
  /** Every policy's verdict, in order, if there are several. */
  readonly policies?: readonly PolicyVerdict[] | undefined;
  /**
   * The verdicts of policies with `enforce: false`, if there are some beside those that decide. They have no vote, and are
   * neither in `policies` nor in any other number here. Reason "store": the store could not be asked.
   */
  readonly shadow?: readonly PolicyVerdict[] | undefined;
  /**
   * Of `consumeUpTo` if no policy has a vote: the whole units that were really taken, although the whole request is
   * granted.
   */
  readonly charged?: number | undefined;
  /** The rule that the policies belong to, if they come from a document of rules. */
  readonly rule?: string | undefined;
  /** The version of that document. */
  readonly version?: string | number | undefined;
  /** The id of the override that replaced the limiter's policies. */
  readonly override?: string | undefined;
  /** What decided: the store, or what answered instead. */
  readonly source: DecisionSource;
}

/** Part of the limit at or below which an allowed call is "near" it. */
export const NEAR_LIMIT = 0.1;

/** Whether a decision admitted by its policies left a tenth of the limit or less. */
export function isNear({ allowed, reason, remaining, limit }: Decision): boolean {
  return (
    allowed &&
    reason === "ok" &&
    remaining < Number.POSITIVE_INFINITY &&
    remaining <= limit * NEAR_LIMIT
  );
}

/** The lines of a limiter's log: how they are written, and what they come to when read. */
import type { VerbName } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { identifyBy } from "../core/identity.js";
import { checkKey } from "../core/key.js";

/** The version that this code writes and reads; a change of meaning raises it. */
export const FORMAT = 1;

export const REASONS = [
  "ok",
  "quota",
  "too-costly",
  "blocked",
  "store",
] as const satisfies readonly Decision["reason"][];
export const SOURCES = [
  "store",
  "deny-cache",
  "override",
  "rules",
  "prefetch",
  "local",
  "fail-open",
  "fail-closed",
  "fallback",
] as const satisfies readonly Decision["source"][];

/** Calls that take units: those that `sluice exercise` makes. */
export const TAKING_VERBS = [
  "consume",
  "consumeUpTo",
  "reserve",
] as const satisfies readonly VerbName[];
/** The verbs that logs hold. */
export type LoggedVerb = (typeof TAKING_VERBS)[number];

/** All that changes a key, in logs of attempts. */
export const LOGGED_VERBS = [
  ...TAKING_VERBS,
  "refund",
  "penalize",
  "block",
  "unblock",
  "reset",
  "cancel",
  "extendBlock",
  "clearBlock",
  "clearExtendBlock",
] as const satisfies readonly VerbName[];

/** One decision, as it was given to the caller. Amounts are units, times integer µs since the epoch. */
export interface LogRecord {
  /** When the store decided, by its own clock. */
  readonly atUs: number;
  /** When reserved work may start, if that is later. */
  readonly readyAtUs: number | undefined;
  /** The key's hash: a log can be passed on without its identities. */
  readonly key: string;
  /** What was asked. */
  readonly verb: (typeof LOGGED_VERBS)[number];
  /** The longest wait that a reserve would take; undefined for other verbs. */
  readonly maxWaitUs: number | undefined;
  /** Units. */
  readonly cost: number;
  /** Whether it was allowed. */
  readonly allowed: boolean;
  /** Units that were granted. */
  readonly granted: number;
  /** Units left; Infinity, written as null, if there is no limit. */
  readonly remaining: number;
  /** Milliseconds until the cost would fit; Infinity, written as null, if it never can. */
  readonly retryAfterMs: number;
  /** As the decision's own. */
  readonly resetAfterMs: number;
  /** As the decision's own. */
  readonly reason: Decision["reason"];
  /** As the decision's own. */
  readonly source: Decision["source"];
  /** In a log of attempts: an index into the log's `rules`. */
  readonly rule?: number | undefined;
  /** Which of the policies decided, counted from 0, if the line says it. */
  readonly decider?: number | undefined;
  /** The record's file: an index into the log's `files`. */
  readonly file: number;
  /** The record's line in that file, counted from 1. */
  readonly line: number;
}

/** A call that got no answer: whether it took units is unknown. */
export interface FailedCall {
  /** The code of the error, or its name. */
  readonly failed: string;
  /** The key, or its id. */
  readonly key: string;
  /** Units. */
  readonly cost: number;
}

const idOfKey = identifyBy("sha256", true);

/**
 * The id under which a key is logged, which is also its id in a store outside the process.
 *
 * @throws InvalidOptionError unless the key is a well-formed string of 1 to 4,096 bytes: others would share an id
 * @example
 * import { keyId } from "sluice/audit";
 * console.log(keyId("user:42").length); // 22
 */
export function keyId(key: string): string {
  checkKey(key);
  return idOfKey(key);
}

/**
 * The first line of a log.
 *
 * @throws nothing
 * @example
 * import { tokenBucket } from "sluice";
 * import { headerLine } from "sluice/audit";
 * console.log(JSON.parse(headerLine([tokenBucket({ limit: 1, period: "1s" })])).policy.limit); // 1
 */
export function headerLine(policies: readonly Policy[]): string {
  const [only, ...others] = policies;
  return `${JSON.stringify({ sluice: FORMAT, policy: others.length === 0 ? only : policies })}\n`;
}

/** What was asked: the key by its id, and the verb if it is not "consume". */
export interface LoggedCall {
  /** The key, or its id. */
  readonly key: string;
  /** Units. */
  readonly cost: number;
  /** What was asked. */
  readonly verb?: (typeof LOGGED_VERBS)[number] | undefined;
  /** The longest wait that a reservation took, in µs. */
  readonly maxWaitUs?: number | undefined;
  /** In a log of attempts: what decided; elsewhere the policy, if there are several. */
  readonly rule?: RuleReference | Pick<RuleReference, "policy"> | undefined;
}

/** What decided: the number of a rule that the log has defined before, and names, for readers of the line alone. */
export interface RuleReference {
  /** Undefined if it is not known what decided. */
  readonly rule: number | undefined;
  /** The limiter of the rule. */
  readonly limiter: string;
  /** The policy that decided. */
  readonly policy: string;
}

/**
 * The line of one decision. `granted` is there for partial grants; else it is all of the cost or nothing.
 *
 * @throws InvalidOptionError for what is no key
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { recordLine } from "sluice/audit";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
 * const line = recordLine({ key: "k", cost: 1 }, await limiter.consume("k"));
 * console.log(JSON.parse(line).cost); // 1
 */
export function recordLine(
  { key, cost, verb, maxWaitUs, rule }: LoggedCall,
  decision: Decision & {
    readonly granted?: number | undefined;
    readonly readyAtUs?: number | undefined;
  },
): string {
  const { decidedAtUs, readyAtUs, allowed, granted, remaining } = decision;
  const { retryAfterMs, resetAfterMs, reason, source } = decision;
  return `${JSON.stringify({
    atUs: decidedAtUs,
    ...(readyAtUs === undefined ? {} : { readyAtUs }),
    key,
    ...(verb === undefined || verb === "consume" ? {} : { verb }),
    ...(maxWaitUs === undefined ? {} : { maxWaitUs }),
    cost,
    allowed,
    granted: granted ?? (allowed ? cost : 0),
    remaining,
    retryAfterMs,
    resetAfterMs,
    reason,
    source,
    ...rule,
  })}\n`;
}

/**
 * The line for a failed call, so that an audit knows that units may be missing.
 *
 * @throws nothing
 * @example
 * import { failedCallLine } from "sluice/audit";
 * console.log(failedCallLine({ failed: "STORE_TIMEOUT", key: "an id", cost: 1 }).includes("STORE_TIMEOUT")); // true
 */
export function failedCallLine(call: FailedCall): string {
  return `${JSON.stringify(call)}\n`;
}

/** Worked examples: what an algorithm answers, computed by hand. Every store must answer the same. */
import type { Decision } from "../core/decision.js";
import type { VerbName } from "./decide.js";
import type { Policy } from "./registry.js";

/** One call and what must come of it. */
export interface CaseStep {
  /** Milliseconds since the case began; less than the step before = the clock went back. */
  readonly at: number;
  /** Default "consume". */
  readonly verb?: Exclude<VerbName, "extendBlock" | "clearBlock" | "clearExtendBlock">;
  /** Which reservation a cancel gives back, counted back from the newest; default 0. */
  readonly back?: number;
  /** The longest wait of a reserve; default any. */
  readonly maxWaitMs?: number;
  /** Units, of refund and penalize too; default 1. */
  readonly cost?: number;
  /** Options of this call instead of the case's. */
  readonly policy?: Policy | readonly Policy[];
  /** Length of a block. */
  readonly durationMs?: number;
  /** Whether the block leaves longer ones as they are. */
  readonly keepLonger?: boolean;
  /** Whether the block forgets what is in use. */
  readonly reset?: boolean;
  /** The part of the answer that the case is about. */
  readonly says?: Expectation;
}

export interface Expectation extends Partial<Omit<Decision, "decidedAtUs">> {
  /** Of reserve: milliseconds since the case began. */
  readonly readyAt?: number;
  /** Of consumeUpTo. */
  readonly granted?: number;
  /** Of cancel: whether anything came back. */
  readonly cancelled?: boolean;
  /** Milliseconds since the case began. */
  readonly decidedAt?: number;
}

/** Calls on one key that no other case uses. */
export interface AlgorithmCase {
  readonly name: string;
  readonly policy: Policy | readonly Policy[];
  readonly blockForMs?: number;
  /** When it begins; default 2030-01-01T00:00:00Z, a Tuesday, when whole minutes, hours and days begin. */
  readonly startMs?: number;
  readonly steps: readonly CaseStep[];
}

/** Allowed, with so much left. */
export function allows(remaining: number, resetAfterMs?: number): Expectation {
  return {
    allowed: true,
    reason: "ok",
    remaining,
    retryAfterMs: 0,
    ...(resetAfterMs !== undefined && { resetAfterMs }),
  };
}

/** Denied for lack of quota, until then. */
export function denies(retryAfterMs: number, remaining = 0, resetAfterMs?: number): Expectation {
  return {
    allowed: false,
    reason: "quota",
    remaining,
    retryAfterMs,
    ...(resetAfterMs !== undefined && { resetAfterMs }),
  };
}

/** Denied because the key is blocked. */
export function blocks(retryAfterMs: number, remaining: number, resetAfterMs: number): Expectation {
  return { allowed: false, reason: "blocked", remaining, retryAfterMs, resetAfterMs };
}

/** Denied because such a cost can never fit. */
export function neverFits(remaining: number, resetAfterMs?: number): Expectation {
  return {
    allowed: false,
    reason: "too-costly",
    remaining,
    retryAfterMs: Number.POSITIVE_INFINITY,
    ...(resetAfterMs !== undefined && { resetAfterMs }),
  };
}

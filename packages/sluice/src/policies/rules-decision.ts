/** What a PolicySet answers: one decision over all rules that a request meets, and each rule's own. */
import type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "../core/decision.js";
import { InvalidOptionError } from "../core/errors.js";
import { InWords, withoutText } from "../core/shown.js";
import type { CompiledPolicies } from "./compile.js";
import type { RuleCharge } from "./rule-charge.js";
import type { RulesRequest, RulesSettlement } from "./rules-request.js";

/** What one rule said. */
export interface RuleDecision {
  /** Its name. */
  readonly rule: string;
  /** "shadow": whatever it said, the request passes. */
  readonly mode: "enforce" | "shadow";
  /** Its own answer; what its candidate would have said is in `shadow`. */
  readonly decision: Decision;
}

/**
 * One decision over all rules. Its numbers are those of the deciding rule: on a denial the one with the longest wait, else
 * the one with least left; of rules that enforce, if there are any. If a request meets no rule, it passes.
 */
export interface RulesDecision extends Decision {
  /** Of the document that decided. */
  readonly version: number | string;
  /** Every rule that the request meets, in the document's order. */
  readonly rules: readonly RuleDecision[];
  /** false if the keys of the rules are in different slots of a Cluster: each was asked separately. */
  readonly atomic: boolean;
}

/** What many requests came to. */
export interface RulesDecisions {
  /** Whether all of them passed. */
  readonly allowed: boolean;
  /**
   * Each request's own, in order. If one of an atomic call was denied, none was charged, though the others say that they
   * would pass.
   */
  readonly decisions: readonly RulesDecision[];
  /** Whether all were decided in one call: false if that was not requested, or the keys are in different slots. */
  readonly atomic: boolean;
}

/** What a decision took, so that it can be given back. */
export interface TakenByRules {
  readonly request: RulesRequest;
  readonly slot: string | undefined;
  readonly compiled: CompiledPolicies;
  readonly nowUs: number;
  readonly charges: readonly RuleCharge[];
  /** "asked": it was a peek. "spared": another request denied, so this one was not charged though it would pass. */
  state: "charged" | "asked" | "spared";
  /** The listener for the answer; undefined if requests are not logged. */
  readonly heard: RequestListener | undefined;
}

/** What was asked of a set and answered, with the entries of the requests. */
export interface HeardRequests {
  readonly verb: "consume" | "consumeUpTo" | "reserve" | "penalize" | "refund";
  /** Decided together, all or nothing; mostly one. */
  readonly takens: readonly TakenByRules[];
  readonly decisions: readonly Decision[];
  readonly atUs: number;
  readonly maxWaitUs?: number | undefined;
  /** Of a refund that settles: what the request cost after all. */
  readonly after?: RulesSettlement | undefined;
}

export type RequestListener = (heard: HeardRequests) => void;

/** Of a request that meets no rule. */
function freeDecision(decidedAtUs: number): Decision {
  return {
    allowed: true,
    reason: "ok",
    limit: Number.POSITIVE_INFINITY,
    remaining: Number.POSITIVE_INFINITY,
    retryAfterMs: 0,
    resetAfterMs: 0,
    decidedAtUs,
    windowMs: 0,
    policy: "",
    source: "rules",
  };
}

let takenIn: (decision: object) => TakenByRules | undefined;

/** What the decision of a PolicySet took; undefined for any other object, copies of one included. */
function takenBy(decision: unknown): TakenByRules | undefined {
  return typeof decision === "object" && decision !== null ? takenIn(decision) : undefined;
}

class Answer implements RulesDecision {
  static {
    takenIn = (decision) => (#taken in decision ? decision.#taken : undefined);
  }

  readonly allowed: boolean;
  readonly reason: DecisionReason;
  readonly limit: number;
  readonly remaining: number;
  readonly retryAfterMs: number;
  readonly resetAfterMs: number;
  readonly decidedAtUs: number;
  readonly windowMs: number;
  readonly policy: string;
  declare readonly policies?: readonly PolicyVerdict[];
  declare readonly shadow?: readonly PolicyVerdict[];
  declare readonly rule?: string;
  declare readonly override?: string;
  readonly source: DecisionSource;
  readonly version: number | string;
  readonly rules: readonly RuleDecision[];
  readonly atomic: boolean;
  readonly #taken: TakenByRules;

  constructor(
    decision: Decision,
    rules: readonly RuleDecision[],
    atomic: boolean,
    taken: TakenByRules,
  ) {
    const { shadow, rule, override } = decision;
    this.allowed = decision.allowed;
    this.reason = decision.reason;
    this.limit = decision.limit;
    this.remaining = decision.remaining;
    this.retryAfterMs = decision.retryAfterMs;
    this.resetAfterMs = decision.resetAfterMs;
    this.decidedAtUs = decision.decidedAtUs;
    this.windowMs = decision.windowMs;
    this.policy = decision.policy;
    this.source = decision.source;
    if (rule !== undefined) this.rule = rule;
    if (override !== undefined) this.override = override;
    if (shadow !== undefined) this.shadow = shadow;
    this.version = taken.compiled.version;
    this.rules = rules;
    this.atomic = atomic;
    this.#taken = taken;
  }
}

/** The answer to a request, out of what each rule said. */
export function rulesDecision(
  rules: readonly RuleDecision[],
  atomic: boolean,
  taken: TakenByRules,
): RulesDecision {
  const decision = decidingOf(rules)?.decision ?? freeDecision(taken.nowUs);
  return new Answer(decision, rules, atomic, taken);
}

/** The rule that decides: of those that enforce, if there are any. */
function decidingOf(rules: readonly RuleDecision[]): RuleDecision | undefined {
  let best = rules[0];
  for (let i = 1; i < rules.length; i++) {
    const other = rules[i] as RuleDecision;
    if (weighsMore(other, best as RuleDecision)) best = other;
  }
  return best;
}

/** Whether of two answers `a` tells more: of those that enforce, a denial with its longest wait, else the least that is left. */
export function weighsMore(a: RuleDecision, b: RuleDecision): boolean {
  if (a.mode !== b.mode) return a.mode === "enforce";
  const { decision: one } = a;
  const { decision: other } = b;
  if (one.allowed !== other.allowed) return !one.allowed;
  if (!one.allowed) return one.retryAfterMs > other.retryAfterMs;
  return one.remaining < other.remaining;
}

/**
 * What a decision is about.
 * @throws InvalidOptionError
 */
export function checkDecided(decision: unknown): TakenByRules {
  const taken = takenBy(decision);
  if (taken !== undefined) return taken;
  const allowed = "the decision of a PolicySet, as it was answered: the object itself, no copy";
  throw new InvalidOptionError("decision", withoutText(decision), allowed);
}

/**
 * What a decision took; undefined if it took nothing.
 * @throws InvalidOptionError, for the answer of peek too
 */
export function checkTakenBy(decision: RulesDecision): TakenByRules | undefined {
  const taken = checkDecided(decision);
  if (taken.state === "asked") {
    const allowed = "a decision that consume answered: peek takes nothing";
    throw new InvalidOptionError("decision", new InWords("the answer of peek"), allowed);
  }
  return decision.allowed && taken.state === "charged" ? taken : undefined;
}

/**
 * Policies on trial, beside those that decide: each is asked in a separate call, in the same tick, so that it is charged by
 * its own answer, whatever the others say; and it denies nothing.
 */
import { type Verb, VERBS } from "../algorithms/decide.js";
import { UNIT } from "../core/amount.js";
import { monotonicMs } from "../core/clock.js";
import type { PolicyVerdict } from "../core/decision.js";
import { asStoreError } from "../core/errors.js";
import type { AskOptions } from "../resilience/guarded-store.js";
import type { Debit, Outcome, StoreCall, StoreResult, SyncStore } from "../stores/store.js";
import type { BoundPolicy } from "./bound-policies.js";
import type { LimiterCounts } from "./counts.js";
import { decisionOf, degradedDecision } from "./decisions.js";
import { type ReportingLimiter, undecided } from "./report.js";
import {
  type LimiterAnswer,
  type LimiterRequest,
  type PreparedRequest,
  takerOf,
} from "./request.js";
import { asksForQuota } from "./verbs.js";

/** A policy without a vote, and what it is asked. */
export interface ShadowCall {
  readonly policy: BoundPolicy;
  readonly call: StoreCall;
}

/** Whose policies they are. */
export interface ShadowedLimiter extends ReportingLimiter {
  readonly counts: LimiterCounts;
  readonly blockForUs: number;
  readonly local: Here | undefined;
  outcomeOf(
    call: StoreCall,
    signal: AbortSignal | undefined,
    atMs: number,
    options?: AskOptions<StoreCall, StoreResult>,
  ): Promise<Outcome>;
  failed(error: Error, request: LimiterRequest): void;
  conclude(prepared: PreparedRequest, outcome: Outcome): LimiterAnswer | Promise<LimiterAnswer>;
}

/** Decides in this process. */
interface Here {
  readonly store: { decide(call: StoreCall): Outcome };
}

/** What was asked, and the outcome. */
export interface ShadowAnswers {
  readonly verdicts: readonly PolicyVerdict[] | undefined;
  /** Of those that were not answered: to be reported once the call itself is. */
  readonly errors: readonly Error[];
}

/** Whether policies without a vote are to be asked beside this call. */
export function hasShadowsToAsk({ request, bound, shadow }: PreparedRequest): boolean {
  if (bound.terms === undefined || bound.terms.shadows.length === 0) return false;
  if (bound.terms.note.answer !== undefined && asksForQuota(request.verb)) return false;
  return request.votersAlone !== true && request.shadow === undefined && shadow === undefined;
}

/** What each policy without a vote is asked. A wait takes its units at once: a policy on trial has no line. */
export function shadowCallsOf(
  { request, bound, call }: PreparedRequest,
  blockForUs: number,
): readonly ShadowCall[] {
  const { ofShadows, settle } = request;
  const verb: Verb = call.verb === VERBS.reserve ? VERBS.consume : call.verb;
  const { id = "", cost = 0 } = call.debits[0] ?? {};
  const known = call.nonce === undefined ? undefined : { nonce: call.nonce };
  const blockUs = call.verb === VERBS.consume && settle !== true ? blockForUs : call.blockUs;
  return (bound.terms?.shadows ?? [])
    .filter(({ name }) => ofShadows?.has(name) !== false)
    .map((policy) => {
      const { name, rule, keyspace } = policy;
      const units = ofShadows?.get(name);
      const own = units === undefined ? cost : Math.round(units * UNIT);
      const debit: Debit = { name, rule, keyspace, id, cost: own };
      return {
        policy,
        call: { verb, debits: [debit], blockUs, maxWaitUs: 0, handOver: undefined, ...known },
      };
    });
}

/** Asks all of them, behind the call itself in the same tick. Never rejects. */
export async function askShadows(
  limiter: ShadowedLimiter,
  prepared: PreparedRequest,
  options?: AskOptions<StoreCall, StoreResult>,
): Promise<ShadowAnswers> {
  const { request } = prepared;
  const asked = shadowCallsOf(prepared, limiter.blockForUs);
  const outcomes = await Promise.all(
    asked.map(({ call }) =>
      limiter.outcomeOf(call, request.signal, monotonicMs(), options).catch(asStoreError),
    ),
  );
  const decisions = asked.map((each, i) =>
    outcomeDecision(limiter.local, request, each, outcomes[i] as Outcome),
  );
  return {
    verdicts: verdictsOf(limiter, request, asked, decisions),
    errors: outcomes.filter((outcome) => outcome instanceof Error),
  };
}

/** The call and its policies without a vote, asked together; `main` is the call's own way to the store. */
export async function withShadows(
  limiter: ShadowedLimiter,
  prepared: PreparedRequest,
  main: (prepared: PreparedRequest) => Promise<Outcome>,
): Promise<LimiterAnswer> {
  const deciding = main(prepared);
  const beside = askShadows(limiter, prepared);
  let outcome: Outcome;
  try {
    outcome = await deciding;
  } catch (error) {
    throw undecided(limiter, prepared.request, error as Error, prepared.atMs);
  }
  const { verdicts, errors } = await beside;
  try {
    return await limiter.conclude({ ...prepared, shadow: verdicts }, outcome);
  } finally {
    for (const error of errors) limiter.failed(error, prepared.request);
  }
}

/** The verdicts of a store inside the process, at once. */
export function shadowsSync(
  limiter: ReportingLimiter & { readonly blockForUs: number },
  prepared: PreparedRequest,
  store: SyncStore,
): readonly PolicyVerdict[] | undefined {
  if (!hasShadowsToAsk(prepared)) return undefined;
  return verdictsSync(
    limiter,
    prepared.request,
    shadowCallsOf(prepared, limiter.blockForUs),
    store,
  );
}

/** The same of calls that are made already. */
export function verdictsSync(
  limiter: ReportingLimiter,
  request: Pick<LimiterRequest, "verb" | "key" | "cost">,
  asked: readonly ShadowCall[],
  store: SyncStore,
): readonly PolicyVerdict[] {
  const { key, cost } = request;
  const decisions = asked.map((each) => {
    try {
      return answerOf(each, store.executeSync(each.call), "store");
    } catch (error) {
      limiter.events.to.failure?.({ error, key, cost });
      return degradedDecision([each.policy], "fail-open");
    }
  });
  return verdictsOf(limiter, request, asked, decisions);
}

/** The verdicts of this process, for units that it took itself. */
export function shadowsHere(
  limiter: ReportingLimiter & { readonly blockForUs: number },
  prepared: PreparedRequest,
  local: Here,
): readonly PolicyVerdict[] | undefined {
  if (!hasShadowsToAsk(prepared)) return undefined;
  const asked = shadowCallsOf(prepared, limiter.blockForUs);
  const decisions = asked.map((each) => hereDecision(local, each));
  return verdictsOf(limiter, prepared.request, asked, decisions);
}

function outcomeDecision(
  local: Here | undefined,
  { of }: LimiterRequest,
  asked: ShadowCall,
  outcome: Outcome,
): LimiterAnswer {
  if (!(outcome instanceof Error)) return answerOf(asked, outcome, "store");
  // What the store took is not this process's to give back.
  const isLost = of !== undefined && takerOf(of) === "store";
  if (local === undefined || isLost) return degradedDecision([asked.policy], "fail-open");
  return hereDecision(local, asked);
}

function hereDecision(local: Here, asked: ShadowCall): LimiterAnswer {
  const outcome = local.store.decide(asked.call);
  if (outcome instanceof Error) return degradedDecision([asked.policy], "fail-open");
  return answerOf(asked, outcome, "local");
}

function answerOf(
  { policy, call }: ShadowCall,
  result: StoreResult,
  source: "store" | "local",
): LimiterAnswer {
  const decision = decisionOf([policy], result, source);
  if (call.verb !== VERBS.consumeUpTo) return decision;
  return Object.assign(decision, { granted: result.granted / UNIT });
}

/** The verdicts; a request for quota is counted. */
function verdictsOf(
  { counts }: ReportingLimiter,
  { verb, cost }: Pick<LimiterRequest, "verb" | "cost">,
  asked: readonly ShadowCall[],
  decisions: readonly LimiterAnswer[],
): readonly PolicyVerdict[] {
  return asked.map(({ policy }, i) => {
    const decision = decisions[i] as LimiterAnswer;
    if (asksForQuota(verb)) counts.of(policy.name, "beside").add(decision, cost);
    return verdictOf(decision);
  });
}

function verdictOf(decision: LimiterAnswer): PolicyVerdict {
  const { policy, allowed, reason, limit, remaining, retryAfterMs, resetAfterMs, windowMs } =
    decision;
  const { granted } = decision;
  const verdict = {
    policy,
    allowed,
    reason,
    limit,
    remaining,
    retryAfterMs,
    resetAfterMs,
    windowMs,
  };
  return granted === undefined ? verdict : { ...verdict, charged: granted };
}

/** What each policy without a vote gives back that took units by this decision, by how much was taken beside them. */
export function sharesOfShadows(
  shadow: readonly PolicyVerdict[] | undefined,
  units: (verdict: PolicyVerdict) => number,
): ReadonlyMap<string, number> {
  const took = (shadow ?? []).filter(({ reason }) => reason === "ok");
  return new Map(took.map((verdict) => [verdict.policy, units(verdict)]));
}

/** Gives back what policies without a vote took beside a start that was cancelled. */
export async function returnShadows(
  limiter: Pick<ShadowedLimiter, "outcomeOf">,
  prepared: PreparedRequest,
): Promise<void> {
  const { request, shadow, call } = prepared;
  const ofShadows = request.ofShadows ?? sharesOfShadows(shadow, () => request.cost);
  const refund = { ...call, verb: VERBS.refund, blockUs: 0, maxWaitUs: 0 };
  const calls = shadowCallsOf({ ...prepared, request: { ...request, ofShadows }, call: refund }, 0);
  await Promise.all(
    calls.map((each) => limiter.outcomeOf(each.call, undefined, monotonicMs()).catch(asStoreError)),
  );
}

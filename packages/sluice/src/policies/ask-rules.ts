/** Asks limiters about the rules that a request meets: all together, all or nothing. */
import { VERBS } from "../algorithms/decide.js";
import type { Decision } from "../core/decision.js";
import type { AtomicRequest } from "../limiter/consume-atomic.js";
import { consumeHere } from "../limiter/consume-here.js";
import { consumeTogether } from "../limiter/consume-together.js";
import { inLine, MANY_DEBITS } from "../limiter/many-line.js";
import { asRefund, type Refund, refundRequest, settleRequest } from "../limiter/give-back.js";
import type { Pipeline } from "../limiter/pipeline.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { LimiterRequest } from "../limiter/request.js";
import { isSyncStore } from "../stores/store.js";
import { hear } from "./met-rules.js";
import type { RuleCharge } from "./rule-charge.js";
import type { RulesSettlement } from "./rules-request.js";
import {
  type RuleDecision,
  type RulesDecision,
  type RulesDecisions,
  rulesDecision,
  type TakenByRules,
} from "./rules-decision.js";

type MaybePromised<T> = T | Promise<T>;

/**
 * Takes what the rules charge for all requests, or nothing. What requests charge to one rule and key adds up.
 */
export async function consumeTogetherByRules(
  takens: readonly TakenByRules[],
  signal: AbortSignal | undefined,
): Promise<RulesDecisions> {
  const [only] = takens;
  if (takens.length === 1 && only !== undefined) {
    const decision = await consumeRules(only, signal);
    return { allowed: decision.allowed, decisions: [decision], atomic: decision.atomic };
  }
  const requests = takens.flatMap(requestsOf);
  if (requests.length === 0) {
    const decisions = takens.map((taken) => answered(taken, [], true));
    hear("consume", takens, decisions);
    return { allowed: true, decisions, atomic: true };
  }
  const together = await consumeTogether(requests, { signal });
  const { allowed, atomic } = together;
  let at = 0;
  const decisions = takens.map((taken) => {
    if (!allowed) taken.state = "spared";
    const own = together.decisions.slice(at, at + taken.charges.length);
    at += own.length;
    return answered(taken, own, atomic);
  });
  hear("consume", takens, decisions);
  return { allowed, decisions, atomic };
}

/**
 * Takes what the rules charge for each request separately. Requests beyond those that may be under way begin when earlier
 * ones are answered.
 */
export async function consumeEachByRules(
  takens: readonly TakenByRules[],
  signal: AbortSignal | undefined,
): Promise<RulesDecisions> {
  const decisions: RulesDecision[] = [];
  for (let begin = 0; begin < takens.length; ) {
    let charges = 0;
    let end = begin;
    do {
      charges += chargesOf(takens, end);
      end += 1;
    } while (end < takens.length && charges + chargesOf(takens, end) <= MANY_DEBITS);
    const group = takens.slice(begin, end);
    const consume = (): MaybePromised<readonly RulesDecision[]> => consumedBy(group, signal);
    const charge = group.find((taken) => taken.charges.length > 0)?.charges[0];
    const asked =
      charge === undefined ? consume() : inLine(pipelineIn(charge).store, charges, consume);
    decisions.push(...(await asked));
    begin = end;
  }
  return { allowed: decisions.every(({ allowed }) => allowed), decisions, atomic: false };
}

function chargesOf(takens: readonly TakenByRules[], i: number): number {
  return takens[i]?.charges.length ?? 0;
}

/** Promises nothing if every answer is known at once. What is thrown at once is a rejection too, and keeps no other back. */
function consumedBy(
  takens: readonly TakenByRules[],
  signal: AbortSignal | undefined,
): MaybePromised<readonly RulesDecision[]> {
  const answers = takens.map((taken) => begun(taken, signal));
  return answers.some((answer) => answer instanceof Promise)
    ? Promise.all(answers.map(async (answer) => answer))
    : (answers as readonly RulesDecision[]);
}

function begun(taken: TakenByRules, signal: AbortSignal | undefined): MaybePromised<RulesDecision> {
  try {
    return consumeRules(taken, signal);
  } catch (error) {
    const reason = error as Error;
    return Promise.reject(reason);
  }
}

/** Takes what all rules charge; at once if nothing outside the process need be asked. */
export function consumeRules(
  taken: TakenByRules,
  signal: AbortSignal | undefined,
): RulesDecision | Promise<RulesDecision> {
  const { charges, slot } = taken;
  const [only] = charges;
  if (only === undefined) return consumed(taken, [], true);
  if (charges.length > 1) return consumeSeveral(taken, signal);
  const pipeline = pipelineIn(only);
  const { key, cost, policies } = only;
  const { store } = pipeline;
  if (signal === undefined && isSyncStore(store)) {
    const decision = pipeline.consumeSync(store, key, { cost, slot, policy: policies });
    return consumed(taken, [decision], true);
  }
  const answer = pipeline.begin({ verb: VERBS.consume, key, slot, cost, policy: policies, signal });
  return answer instanceof Promise
    ? answer.then((decision) => consumed(taken, [decision], true))
    : consumed(taken, [answer], true);
}

function consumed(
  taken: TakenByRules,
  decisions: readonly Decision[],
  atomic: boolean,
): RulesDecision {
  const answer = answered(taken, decisions, atomic);
  if (taken.heard !== undefined) hear("consume", [taken], [answer]);
  return answer;
}

function consumeSeveral(
  taken: TakenByRules,
  signal: AbortSignal | undefined,
): RulesDecision | Promise<RulesDecision> {
  const { charges, slot } = taken;
  const { store } = pipelineIn(charges[0] as RuleCharge);
  if (signal === undefined && isSyncStore(store)) {
    const asked = charges.map((charge) => {
      const { key, cost, policies: policy } = charge;
      return { limiter: pipelineIn(charge), key, slot, cost, policy };
    });
    const decisions = consumeHere(store, asked);
    if (decisions !== undefined) return consumed(taken, decisions, true);
  }
  return consumeTogether(requestsOf(taken), { signal }).then(({ decisions, atomic }) =>
    consumed(taken, decisions, atomic),
  );
}

function requestsOf({ charges, slot }: TakenByRules): readonly AtomicRequest[] {
  return charges.map(({ limiter, key, cost, policies: policy }) => {
    return { limiter, key, slot, cost, policy };
  });
}

/** What all rules would say; writes nothing. */
export async function peekRules(
  taken: TakenByRules,
  signal: AbortSignal | undefined,
): Promise<RulesDecision> {
  const { charges, slot } = taken;
  const decisions = await Promise.all(
    charges.map((charge) => {
      const { key, cost, policies: policy } = charge;
      return pipelineIn(charge).run({ verb: VERBS.peek, key, slot, cost, policy, signal });
    }),
  );
  taken.state = "asked";
  return answered(taken, decisions, true);
}

/**
 * Gives back what all rules would charge, whichever decision took it; an override that decides without a policy charges
 * nothing.
 */
export async function giveBackByRules(
  taken: TakenByRules,
  signal: AbortSignal | undefined,
): Promise<readonly Refund[]> {
  const { request, charges, slot } = taken;
  const refunds = await Promise.all(
    charges.map((charge) => {
      const { key, cost, matched } = charge;
      const amount = matched.verdict === "decide" ? cost : 0;
      const { nonce } = request;
      return adjusted(charge, { ...refundRequest(key, amount, { slot }), signal, nonce });
    }),
  );
  hear("refund", [taken], refunds);
  return refunds;
}

/** Gives back all that a decision took. */
export async function refundRules(taken: TakenByRules): Promise<readonly Refund[]> {
  const { charges, slot } = taken;
  const refunds = await Promise.all(
    charges.map((charge) =>
      adjusted(charge, refundRequest(charge.key, charge.cost, { of: charge.decision, slot })),
    ),
  );
  hear("refund", [taken], refunds);
  return refunds;
}

/** Refunds what was not used, or takes what is missing; `costs` are the rules' own, in order. */
export async function settleRules(
  taken: TakenByRules,
  costs: readonly number[],
  after: RulesSettlement,
): Promise<readonly Refund[]> {
  const { charges, slot } = taken;
  const refunds = await Promise.all(
    charges.map((charge, i) => {
      const { key, cost: reserved, decision: of } = charge;
      const actual = costs[i] ?? reserved;
      return adjusted(charge, settleRequest(key, { reserved, actual, of, slot }));
    }),
  );
  hear("refund", [taken], refunds, { after });
  return refunds;
}

async function adjusted(charge: RuleCharge, request: LimiterRequest): Promise<Refund> {
  const { policies: policy } = charge;
  return asRefund(await pipelineIn(charge).run({ ...request, policy }));
}

export function answered(
  taken: TakenByRules,
  decisions: readonly Decision[],
  atomic: boolean,
): RulesDecision {
  const { charges } = taken;
  const rules: RuleDecision[] = [];
  for (let i = 0; i < charges.length; i++) {
    const charge = charges[i] as RuleCharge;
    const decision = decisions[i] as Decision;
    charge.decision = decision;
    rules.push({ rule: charge.matched.rule, mode: charge.matched.mode, decision });
  }
  return rulesDecision(rules, atomic, taken);
}

export function pipelineIn({ limiter }: RuleCharge): Pipeline {
  return pipelineOf(limiter) as Pipeline;
}

/** The other verbs of rules, over all rules that a request meets: a part of the cost, a penalty, a start ahead. */
import { VERBS } from "../algorithms/decide.js";
import type { ReservationReceipt } from "../algorithms/kernel.js";
import { MAX_UNITS } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import { CENTURY_US, type Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { maxWaitMs } from "../core/max-wait.js";
import { checkCount, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { cancelStart } from "../limiter/answers.js";
import { refundRequest } from "../limiter/give-back.js";
import type { LimiterAnswer, LimiterRequest } from "../limiter/request.js";
import { restated } from "../limiter/restated.js";
import { sharesOfShadows } from "../limiter/shadows.js";
import { answered, consumeRules, pipelineIn } from "./ask-rules.js";
import { hear, meetOf } from "./met-rules.js";
import type { PolicySet } from "./policy-set.js";
import type { RuleCharge } from "./rule-charge.js";
import type { RulesDecision, TakenByRules } from "./rules-decision.js";
import type { RulesRequest } from "./rules-request.js";
import { readTicket, type RulesReservation, writeTicket } from "./rules-reservation.js";

/**
 * As `rules.consume`, but returns the decision itself instead of a promise if nothing outside the process need be
 * asked: that saves a busy server a tenth of its work.
 *
 * @throws InvalidOptionError at once
 * @example
 * import { consumeRulesNow, PolicySet } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const answer = consumeRulesNow(rules, { entries: { user: "ann" } });
 * console.log(answer instanceof Promise, (await answer).remaining); // false 2
 * await rules.close();
 */
export function consumeRulesNow(
  rules: PolicySet,
  request: RulesRequest,
): RulesDecision | Promise<RulesDecision> {
  return consumeRules(metBy(rules, request), request.signal);
}

/**
 * Takes as many whole units, up to `cost`, as every rule has that the request meets and that enforces. Each rule is asked
 * separately, in one tick; what one granted beyond the least goes back in the next.
 *
 * @throws InvalidOptionError
 * @example
 * import { consumeRulesUpTo, PolicySet } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * console.log((await consumeRulesUpTo(rules, { entries: { user: "ann" }, cost: 5 })).granted); // 3
 * await rules.close();
 */
export async function consumeRulesUpTo(
  rules: PolicySet,
  request: RulesRequest & { readonly cost: number },
): Promise<RulesDecision & { readonly granted: number }> {
  const { cost } = request;
  checkCount("cost", cost, 1, MAX_UNITS);
  const taken = metBy(rules, request);
  const answers = await askAll(taken, (charge) => {
    return { verb: VERBS.consumeUpTo, cost: charge.cost, signal: request.signal };
  });
  let granted = cost;
  taken.charges.forEach(({ enforce }, i) => {
    if (enforce) granted = Math.min(granted, answers[i]?.granted ?? 0);
  });
  const decisions = await Promise.all(
    taken.charges.map(async (charge, i) => {
      const answer = answers[i] as LimiterAnswer;
      const spare = Math.max(0, (answer.granted ?? 0) - granted);
      const back = await giveSpareBack(taken, charge, spare, answer);
      return back === undefined ? answer : { ...restated(answer, back), granted };
    }),
  );
  const decision = asAsked(taken, decisions, taken.charges.length < 2);
  hear("consumeUpTo", [taken], [decision]);
  return Object.assign(decision, { granted });
}

/** Answers what is left then; undefined if nothing goes back. */
async function giveSpareBack(
  { slot }: TakenByRules,
  charge: RuleCharge,
  spare: number,
  of: Decision | undefined,
): Promise<Decision | undefined> {
  const refund = refundRequest(charge.key, spare, { of, slot });
  if (refund.verb === VERBS.peek) return undefined;
  return pipelineIn(charge).run({ ...refund, policy: charge.policies });
}

/**
 * Takes the cost from every rule that the request meets, whatever is left, into debt if need be. Answers as a peek at
 * cost 0 right after would.
 *
 * @throws InvalidOptionError
 * @example
 * import { penalizeRules, PolicySet } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const request = { entries: { user: "ann" }, cost: 5 };
 * console.log((await penalizeRules(rules, request)).remaining, (await rules.peek(request)).allowed); // 0 false
 * await rules.close();
 */
export async function penalizeRules(
  rules: PolicySet,
  request: RulesRequest,
): Promise<RulesDecision> {
  const taken = metBy(rules, request);
  const answers = await askAll(taken, ({ cost }) => {
    return { verb: VERBS.penalize, cost, signal: request.signal };
  });
  const decision = asAsked(taken, answers, true);
  hear("penalize", [taken], [decision]);
  return decision;
}

const WAIT = optionReader<{ readonly maxWait?: Duration | undefined }>()({
  maxWait: (option, value) => maxWaitMs(value as Duration | undefined, option),
});

/**
 * Takes the cost for the first moment at which it fits in every rule that the request meets, as `limiter.reserve` does.
 * Each rule is asked separately, in one tick; if one that enforces refuses, the others' starts are given back in the next.
 *
 * @throws InvalidOptionError
 * @example
 * import { cancelReserved, PolicySet, reserveRules } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 1, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const request = { entries: { user: "ann" } };
 * await rules.consume(request);
 * const start = await reserveRules(rules, request, { maxWait: "2h" });
 * console.log(start.allowed && Math.round(start.delayMs / 60_000)); // 60
 * console.log(start.allowed && (await cancelReserved(rules, start.ticket))); // true
 * console.log((await reserveRules(rules, request, { maxWait: "10m" })).allowed); // false
 * await rules.close();
 */
export async function reserveRules(
  rules: PolicySet,
  request: RulesRequest,
  options: { readonly maxWait?: Duration | undefined } = {},
): Promise<RulesReservation> {
  const maxWaitUs = Math.min(CENTURY_US, Math.round(WAIT.read(options).maxWait * 1e3));
  const taken = metBy(rules, request);
  const answers = await askAll(taken, ({ cost }) => {
    return { verb: VERBS.reserve, cost, maxWaitUs, signal: request.signal };
  });
  const attempts = answers.map(({ reserved, ...decision }) => ({ reserved, decision }));
  const decisions = attempts.map((each) => each.decision);
  const decision = asAsked(taken, decisions, taken.charges.length < 2);
  hear("reserve", [taken], [decision], { maxWaitUs });
  if (!decision.allowed) {
    await Promise.all(
      taken.charges.map(async (charge, i) => {
        const { reserved, decision: own } = attempts[i] ?? {};
        const isTaken = reserved?.result?.receipt !== undefined && own?.allowed === true;
        if (!isTaken || (await reserved.cancel())) return;
        // Its start was at once, and has passed.
        await giveSpareBack(taken, charge, charge.cost, own);
      }),
    );
    const { reason, retryAfterMs } = decision;
    return { allowed: false, reason, retryAfterMs, decision };
  }
  const receipts: Record<string, ReservationReceipt> = {};
  const beside = decisions.flatMap(({ shadow }) => [...sharesOfShadows(shadow, () => 0).keys()]);
  let [delayUs, readyAtUs] = [0, decision.decidedAtUs];
  taken.charges.forEach(({ matched }, i) => {
    const { result, enforce = true } = attempts[i]?.reserved ?? {};
    const receipt = result?.receipt;
    if (receipt === undefined) return;
    receipts[matched.rule] = receipt;
    if (!enforce) return;
    delayUs = Math.max(delayUs, receipt.delayUs);
    readyAtUs = Math.max(readyAtUs, receipt.readyAtUs);
  });
  const { signal: _, policy: __, nonce: ___, ...kept } = request;
  const ticket = writeTicket({ request: kept, receipts, beside });
  return { allowed: true, delayMs: delayUs / 1e3, readyAtUs, ticket, decision };
}

/**
 * Gives back what `reserveRules` was promised, except what is promised to later calls in line by now; true if anything
 * came back. The rules are those of the document in force.
 *
 * @throws InvalidOptionError
 * @example
 * import { cancelReserved, PolicySet, reserveRules } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 1, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * await rules.consume({ entries: { user: "ann" } });
 * const start = await reserveRules(rules, { entries: { user: "ann" } }, { maxWait: "2h" });
 * console.log(start.allowed && (await cancelReserved(rules, start.ticket))); // true
 * await rules.close();
 */
export async function cancelReserved(rules: PolicySet, ticket: string): Promise<boolean> {
  const { request, receipts, beside } = readTicket(ticket);
  const taken = metBy(rules, request);
  const starts = taken.charges.flatMap((charge) => {
    const { rule } = charge.matched;
    const receipt = Object.hasOwn(receipts, rule) ? receipts[rule] : undefined;
    const { cost } = charge;
    const ofShadows = new Map(beside.map((name) => [name, cost]));
    return receipt === undefined ? [] : [{ charge, receipt, ofShadows }];
  });
  const lastUs = Math.max(...starts.map(({ receipt }) => receipt.readyAtUs));
  const isLast = ({ receipt }: Start): boolean => receipt.readyAtUs === lastUs;
  const given = await Promise.all(
    starts.filter(isLast).map((start) => cancelReceipt(taken, start)),
  );
  // The work begins with the last start of all: when that has passed, nothing comes back.
  if (!given.includes(true)) return false;
  await Promise.all(
    starts.map(async (start) => {
      if (isLast(start) || (await cancelReceipt(taken, start))) return;
      const { key, cost, policies: policy } = start.charge;
      const refund = refundRequest(key, cost, { slot: taken.slot });
      const { ofShadows } = start;
      await pipelineIn(start.charge).run({ ...refund, ofShadows, policy });
    }),
  );
  hear("refund", [taken], []);
  return true;
}

interface Start {
  readonly charge: RuleCharge;
  readonly receipt: ReservationReceipt;
  readonly ofShadows: ReadonlyMap<string, number>;
}

async function cancelReceipt(
  { slot }: TakenByRules,
  { charge, receipt, ofShadows }: Start,
): Promise<boolean> {
  const { key, cost, policies: policy } = charge;
  const pipeline = pipelineIn(charge);
  const request = { verb: VERBS.cancel, key, slot, cost, policy, ofShadows };
  const prepared = await pipeline.prepare(request);
  return cancelStart(pipeline, prepared, { receipt });
}

type Question = Pick<LimiterRequest, "verb" | "cost" | "signal"> & { readonly maxWaitUs?: number };

async function askAll(
  { charges, slot }: TakenByRules,
  question: (charge: RuleCharge) => Question,
): Promise<readonly LimiterAnswer[]> {
  return Promise.all(
    charges.map((charge) => {
      const { key, policies: policy } = charge;
      return pipelineIn(charge).run({ ...question(charge), key, slot, policy });
    }),
  );
}

/** An answer that `refund` takes no more than that of a peek. */
function asAsked(
  taken: TakenByRules,
  decisions: readonly Decision[],
  atomic: boolean,
): RulesDecision {
  taken.state = "asked";
  return answered(taken, decisions, atomic);
}

/** @throws InvalidOptionError */
function metBy(rules: PolicySet, request: RulesRequest): TakenByRules {
  const meet = meetOf(rules);
  if (meet !== undefined) return meet(request);
  throw new InvalidOptionError("rules", withoutText(rules), "a PolicySet");
}

/** From a store's answer in thousandths and µs to the decision that callers see. */
import { NEVER, STANDING } from "../algorithms/decide.js";
import { wholeUnits } from "../core/amount.js";
import type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "../core/decision.js";
import { ceilMs } from "../core/duration.js";
import type { Answer, SeatAnswer } from "../stores/store.js";

/** What a decision says of a seat beside the answer. */
export interface SeatLabel {
  readonly name: string;
  readonly rule: { readonly limit: number };
}

const REASONS: readonly DecisionReason[] = ["ok", "quota", "too-costly", "blocked"];

/** The decision on a call with these seats. */
export function decisionOf(
  labels: readonly SeatLabel[],
  answer: Answer,
  source: DecisionSource,
): Decision {
  const deciding = labels.length === 1 ? 0 : decidingSeat(labels.length, answer.seats);
  const label = labels[deciding] as SeatLabel;
  const seat = answer.seats[deciding] as SeatAnswer;
  const decision: Decision = {
    allowed: seat.standing === STANDING.ok,
    reason: REASONS[seat.standing] as DecisionReason,
    limit: label.rule.limit,
    remaining: wholeUnits(seat.room),
    retryAfterMs: retryAfterMs(seat),
    resetAfterMs: ceilMs(seat.resetUs),
    decidedAtUs: answer.nowUs,
    policy: label.name,
    source,
  };
  if (labels.length === 1) return decision;
  return {
    ...decision,
    policies: labels.map((each, i) => verdictOf(each, answer.seats[i] as SeatAnswer)),
  };
}

function verdictOf(label: SeatLabel, seat: SeatAnswer): PolicyVerdict {
  return {
    policy: label.name,
    allowed: seat.standing === STANDING.ok,
    reason: REASONS[seat.standing] as DecisionReason,
    limit: label.rule.limit,
    remaining: wholeUnits(seat.room),
    retryAfterMs: retryAfterMs(seat),
    resetAfterMs: ceilMs(seat.resetUs),
  };
}

function retryAfterMs(seat: SeatAnswer): number {
  return seat.waitUs === NEVER ? Number.POSITIVE_INFINITY : ceilMs(seat.waitUs);
}

/** On a denial the seat with the longest wait, else the one with least room; the first of equals. */
function decidingSeat(count: number, seats: readonly SeatAnswer[]): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if (weighs(seats[i] as SeatAnswer, seats[best] as SeatAnswer)) best = i;
  }
  return best;
}

function weighs(a: SeatAnswer, b: SeatAnswer): boolean {
  const deniedA = a.standing !== STANDING.ok;
  const deniedB = b.standing !== STANDING.ok;
  if (deniedA !== deniedB) return deniedA;
  if (!deniedA) return a.room < b.room;
  return retryAfterMs(a) > retryAfterMs(b);
}

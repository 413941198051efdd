/**
 * The kernels as one pure function from states and a call to states and an answer: what replaying a log
 * and checking a store against the mathematics need. Slow and allocating, on purpose simple.
 */
import { decide, type DebitState, type VerbCall, type CallResult } from "./decide.js";
import {
  type ReservationReceipt,
  NEED_CALENDAR,
  READY,
  type Readiness,
  type State,
} from "./kernel.js";
import type { Rule } from "./rule.js";

/** One state a rule; undefined = never seen. */
export type States = readonly (State | undefined)[];

export interface StepCall extends VerbCall {
  /** Thousandths: for every rule the same, or one number a rule. */
  readonly cost: number | readonly number[];
  /** The raw clock. */
  readonly nowUs: number;
}

export interface Step {
  readonly states: States;
  readonly readiness: Readiness;
  readonly nowUs: number;
  readonly granted: number;
  readonly debits: readonly DebitState[];
  /** The position in line that reserve got. */
  readonly receipt: ReservationReceipt | undefined;
}

/** Decides one call; the given states are not touched. */
export function step(rules: readonly Rule[], states: States, call: StepCall): Step {
  for (const rule of rules) rule.refresh?.(call.nowUs);
  let attempt = decideOn(rules, states, call);
  if (attempt.result.readiness === NEED_CALENDAR) {
    for (const rule of rules) rule.refresh?.(attempt.result.nowUs);
    attempt = decideOn(rules, states, call);
  }
  const { debits, result } = attempt;
  const { readiness, nowUs, granted, changed, receipt } = result;
  return {
    states: changed
      ? debits.map((debit) => (debit.resetUs === 0 ? undefined : debit.state))
      : states,
    readiness,
    nowUs,
    granted,
    debits,
    receipt,
  };
}

function decideOn(
  rules: readonly Rule[],
  states: States,
  call: StepCall,
): { debits: readonly DebitState[]; result: CallResult } {
  const { cost, nowUs } = call;
  const debits = rules.map((rule, i): DebitState => {
    const { kernel, params } = rule;
    const before = states[i];
    const state = before === undefined ? kernel.fresh() : kernel.copy(before);
    const own = typeof cost === "number" ? cost : (cost[i] as number);
    return {
      kernel,
      params,
      state,
      rawUs: nowUs,
      nowUs,
      cost: own,
      asked: 0,
      reason: 0,
      available: 0,
      waitUs: 0,
      resetUs: 0,
    };
  });
  const result: CallResult = {
    readiness: READY,
    nowUs,
    granted: 0,
    changed: false,
    receipt: undefined,
  };
  decide(call, debits, debits.length, nowUs, result);
  return { debits, result };
}

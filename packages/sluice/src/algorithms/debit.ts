/** What a call works on: one debit a policy, and the result that they share. */
import type { ReservationReceipt, Kernel, Params, Readiness, State } from "./kernel.js";
import { READY } from "./kernel.js";

/** Whether a debit passes, or why not. */
export const REASON = Object.freeze({ ok: 0, quota: 1, tooCostly: 2, blocked: 3 });

/** `waitUs` of a cost that can never fit. */
export const NEVER = -1;

/** One policy at work on one key, with room for the answer. */
export interface DebitState {
  /** What decides on it. */
  kernel: Kernel;
  /** The policy's numbers. */
  params: Params;
  /** What is stored, before and after. */
  state: State;
  /** The raw clock of this debit's policy; debits of one call have at most two, if one of them goes by the wall clock. */
  rawUs: number;
  /** The time of its decision: the raw clock, raised to the last change of any debit that goes by the same. */
  nowUs: number;
  /** What the caller named, in thousandths. */
  cost: number;
  /** What the answer is about: the cost, one unit for consumeUpTo, nothing for verbs that adjust. */
  asked: number;
  /** The number of the reason, as in the kernel's module. */
  reason: number;
  /** Thousandths of a unit left after the call; negative in debt. */
  available: number;
  /** Microseconds until the same cost fits. */
  waitUs: number;
  /** Microseconds until the key is full again. */
  resetUs: number;
}

/** The answer that all debits of a call share. */
export interface CallResult {
  /** READY, or why nothing was done. */
  readiness: Readiness;
  /** The time of the decision: the raw clock, raised to the last change of any debit that goes by it. */
  nowUs: number;
  /** Thousandths taken by consume, consumeUpTo and reserve, or given back by refund and cancel. */
  granted: number;
  /** Whether the debits' states must be stored. */
  changed: boolean;
  /** The position in line that reserve got. */
  receipt: ReservationReceipt | undefined;
}

/** Sets each debit's `nowUs`; returns that of the debits that go by the clock which shows `rawUs`. */
export function toOneTime(debits: readonly DebitState[], count: number, rawUs: number): number {
  let nowUs = rawUs;
  let otherUs = 0;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const { lastUs } = debit.state;
    if (debit.rawUs !== rawUs) otherUs = Math.max(otherUs, debit.rawUs, lastUs);
    else if (lastUs > nowUs) nowUs = lastUs;
  }
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    debit.nowUs = debit.rawUs === rawUs ? nowUs : otherUs;
  }
  return nowUs;
}

/** Whether every debit can take its cost; the result says why not. */
export function ready(debits: readonly DebitState[], count: number, result: CallResult): boolean {
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    if (debit.cost > 0 && debit.kernel.ready !== undefined) {
      result.readiness = debit.kernel.ready(debit.state, debit.params, debit.nowUs);
      if (result.readiness !== READY) return false;
    }
  }
  return true;
}

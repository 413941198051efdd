/** Asks the pure kernel in a log's own terms. */
import { VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { type Rule, ruleOf } from "../algorithms/rule.js";
import { type States, step } from "../algorithms/step.js";
import { toThousandths } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import { decisionOf } from "../limiter/decisions.js";
import type { LogRecord } from "./record.js";

/** What a decision said to its caller, as far as a log keeps it. */
export type LoggedDecision = Pick<
  LogRecord,
  "allowed" | "granted" | "remaining" | "retryAfterMs" | "resetAfterMs" | "reason" | "readyAtUs"
>;

/** What a caller asked for. */
export type Request = Pick<LogRecord, "verb" | "cost" | "maxWaitUs">;

/** The kernel's answer, and the states it leaves. */
export interface Reply {
  readonly decision: LoggedDecision;
  readonly states: States;
}

/** The pure kernel on one key, asked in the log's own terms. */
export class Replayer {
  readonly fresh: States;
  readonly #rules: readonly Rule[];
  readonly #labels: readonly { readonly name: string; readonly rule: Rule }[];

  constructor(policies: readonly Policy[]) {
    this.#rules = policies.map((policy) => ruleOf(policy));
    this.#labels = this.#rules.map((rule) => ({ name: rule.policy.name, rule }));
    this.fresh = this.#rules.map(() => undefined);
  }

  /** Decides a request when the server's clock, which may have gone back, shows `nowUs`. */
  ask(states: States, { verb, cost, maxWaitUs = 0 }: Request, nowUs: number): Reply {
    const call = {
      verb: VERBS[verb],
      cost: toThousandths("cost", cost),
      nowUs,
      blockUs: 0,
      maxWaitUs,
    };
    const reply = step(this.#rules, states, call);
    const decision: Decision = decisionOf(this.#labels, reply, "store");
    const granted = reply.granted / 1000;
    const readyAtUs = reply.receipt?.readyAtUs;
    return { decision: { ...pick(decision), granted, readyAtUs }, states: reply.states };
  }
}

function pick(decision: Decision): Omit<LoggedDecision, "granted" | "readyAtUs"> {
  const { allowed, remaining, retryAfterMs, resetAfterMs, reason } = decision;
  return { allowed, remaining, retryAfterMs, resetAfterMs, reason };
}

export function sameDecision(a: LoggedDecision, b: LoggedDecision): boolean {
  return (
    sameButForWaits(a, b) && a.retryAfterMs === b.retryAfterMs && a.resetAfterMs === b.resetAfterMs
  );
}

/** Equal in all that does not count from the clock. */
export function sameButForWaits(a: LoggedDecision, b: LoggedDecision): boolean {
  return (
    a.allowed === b.allowed &&
    a.granted === b.granted &&
    a.remaining === b.remaining &&
    a.reason === b.reason &&
    a.readyAtUs === b.readyAtUs
  );
}

/** What the charges of a request came to, as an adapter passes it on: fields, a denial, and what is left to settle. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { fieldsOf } from "../headers/decision-fields.js";
import type { Fields, FieldWriter } from "../headers/field-writers.js";
import { secondsOf, state, type StatedLimit } from "../headers/stated-limit.js";
import type { ChargeAnswer, Answered } from "./charging.js";
import type { HttpOutcome } from "./call.js";
import type { ChargedSemaphore } from "./chargeable.js";
import { type Denial, denialOf } from "./denial.js";
import { OpenCharges } from "./open-charges.js";

/** Where a request got to. */
export interface Pass {
  /** Of the answer, whichever it is. Lists go behind what it has already. */
  readonly fields: Fields;
  /** Set where the request is refused. */
  readonly denial: Denial | undefined;
  /** To be called once the request has ended, however it did; later calls do nothing. Never rejects. */
  readonly settle: ((outcome: HttpOutcome) => Promise<void>) | undefined;
}

/** No cache may keep a refusal. */
export const NO_STORE: Fields = Object.freeze([["Cache-Control", "no-store"]]);

/** Promised where policies are. */
export function passOf(answered: Answered, write: FieldWriter | undefined): Pass | Promise<Pass> {
  if (write === undefined) return withLimits(answered, [], write);
  const limits: StatedLimit[] = [];
  const { answers } = answered;
  for (let i = 0; i < answers.length; i++) {
    const answer = answers[i] as ChargeAnswer;
    if (!answer.charge.show) continue;
    const policies = policiesOf(answer);
    if (policies instanceof Promise) return whenKnown(answered, write);
    stateAnswer(answer, policies, limits);
  }
  return withLimits(answered, limits, write);
}

async function whenKnown(answered: Answered, write: FieldWriter): Promise<Pass> {
  const limits: StatedLimit[] = [];
  const shown = answered.answers.filter(({ charge }) => charge.show);
  const known = await Promise.all(shown.map(async (answer) => policiesOf(answer)));
  for (const [i, answer] of shown.entries()) stateAnswer(answer, known[i] ?? [], limits);
  return withLimits(answered, limits, write);
}

/** What decided; nothing where that cannot be had any more, for then there is nothing to say. */
function policiesOf({
  charge: { to },
  key,
}: ChargeAnswer): readonly Policy[] | Promise<readonly Policy[]> {
  if (to.kind === "semaphore") return [];
  if (to.policies !== undefined) return to.policies;
  try {
    const policies = to.limiter.policies(key);
    return policies instanceof Promise ? policies.catch(() => []) : policies;
  } catch {
    return [];
  }
}

function stateAnswer(
  answer: ChargeAnswer,
  policies: readonly Policy[],
  limits: StatedLimit[],
): void {
  const { charge, decision, refused } = answer;
  if (charge.to.kind === "semaphore") {
    // How many places are left is not known, but where none was free.
    if (refused !== undefined && charge.cost === 1) limits.push(usedUp(charge.to));
  } else if (decision !== undefined) {
    state({ decision, policies, enforce: charge.to.pipeline.enforce }, limits);
  }
}

function usedUp({ quota }: ChargedSemaphore): StatedLimit {
  return { quota, remaining: 0, resetSeconds: undefined, deniedForMs: 0 };
}

function withLimits(
  { answers, refused }: Answered,
  limits: readonly StatedLimit[],
  write: FieldWriter | undefined,
): Pass {
  if (refused === undefined) {
    const settlement = OpenCharges.of(answers);
    return {
      fields: fieldsOf(limits, undefined, write),
      denial: undefined,
      settle: settlement && ((outcome) => settlement.settle(outcome)),
    };
  }
  const { reason, retryAfterMs } = refused;
  const decisions = answers.flatMap(({ decision }) => decision ?? []);
  const denial = denialOf({ reason, retryAfterMs, decisions, violated: violatedBy(answers) });
  const fields = [...fieldsOf(limits, secondsOf(retryAfterMs), write), ...NO_STORE];
  return { fields, denial, settle: undefined };
}

function violatedBy(answers: readonly ChargeAnswer[]): readonly string[] {
  return answers.flatMap(({ charge: { to, show }, decision, refused }) => {
    if (!show || refused === undefined) return [];
    return to.kind === "semaphore" ? [to.quota.name] : namesOf(decision);
  });
}

/** Of several policies those that denied. */
function namesOf(decision: Decision | undefined): readonly string[] {
  if (decision === undefined || decision.reason === "store") return [];
  const { policies, policy } = decision;
  return policies === undefined
    ? [policy]
    : policies.filter(({ allowed }) => !allowed).map((verdict) => verdict.policy);
}

/** What the charges of a request came to, as an adapter passes it on: fields, a denial, and what is left to settle. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { fieldsOf } from "../headers/decision-fields.js";
import type { Fields, FieldWriter } from "../headers/field-writers.js";
import { secondsOf, state, type StatedLimit } from "../headers/stated-limit.js";
import type { HttpOutcome } from "./call.js";
import type { AskedCharge, ChargeRefused } from "./charge.js";
import type { ChargedSemaphore } from "./chargeable.js";
import { type Denial, denialOf } from "./denial.js";
import { settlementOf } from "./settlement.js";

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
export function passOf(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  write: FieldWriter | undefined,
): Pass | Promise<Pass> {
  const limits: StatedLimit[] = [];
  if (write === undefined) return withLimits(asked, refused, limits, write);
  for (const charge of asked) {
    const isPromised = charge.show && stateCharge(charge, limits) === undefined;
    if (isPromised) return whenKnown(asked, refused, write);
  }
  return withLimits(asked, refused, limits, write);
}

async function whenKnown(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  write: FieldWriter,
): Promise<Pass> {
  const shown = asked.filter(({ show }) => show);
  const known = await Promise.all(shown.map(async (charge) => policiesOf(charge)));
  const limits: StatedLimit[] = [];
  for (const [i, charge] of shown.entries()) stateCharge(charge, limits, known[i]);
  return withLimits(asked, refused, limits, write);
}

/** Adds what may be said of a charge; undefined where its policies are promised. */
function stateCharge(
  charge: AskedCharge,
  limits: StatedLimit[],
  known?: readonly Policy[],
): readonly StatedLimit[] | undefined {
  const { to, decision, refused, cost } = charge;
  if (to.kind === "semaphore") {
    // How many places are left is not known, but where none was free.
    if (refused !== undefined && cost === 1) limits.push(usedUp(to));
  } else if (decision !== undefined && to.pipeline.enforce) {
    const policies = known ?? policiesOf(charge);
    if (policies instanceof Promise) return undefined;
    state(decision, policies, limits);
  }
  return limits;
}

/** What decided; nothing where that cannot be had any more, for then there is nothing to say. */
function policiesOf({ to, key }: AskedCharge): readonly Policy[] | Promise<readonly Policy[]> {
  if (to.kind === "semaphore") return [];
  if (to.policies !== undefined) return to.policies;
  try {
    const policies = to.limiter.policies(key);
    return policies instanceof Promise ? policies.catch(() => []) : policies;
  } catch {
    return [];
  }
}

function usedUp({ quota }: ChargedSemaphore): StatedLimit {
  return { quota, remaining: 0, resetSeconds: undefined, deniedForMs: 0 };
}

function withLimits(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  limits: readonly StatedLimit[],
  write: FieldWriter | undefined,
): Pass {
  if (refused === undefined) {
    const fields = fieldsOf(limits, undefined, write);
    return { fields, denial: undefined, settle: settlementOf(asked) };
  }
  const { reason, retryAfterMs } = refused;
  const decisions = asked.flatMap(({ decision }) => decision ?? []);
  const denial = denialOf({ reason, retryAfterMs, decisions, violated: violatedBy(asked) });
  const fields = [...fieldsOf(limits, secondsOf(retryAfterMs), write), ...NO_STORE];
  return { fields, denial, settle: undefined };
}

function violatedBy(asked: readonly AskedCharge[]): readonly string[] {
  return asked.flatMap(({ to, show, decision, refused }) => {
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

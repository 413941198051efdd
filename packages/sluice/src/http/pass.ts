/** What the charges of a request came to, as an adapter passes it on: fields, a denial, and what is left to settle. */
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { fieldsOf } from "../headers/decision-fields.js";
import type { Fields, FormWriter } from "../headers/field-writers.js";
import { secondsOf, type StatedLimit, withDecision } from "../headers/stated-limit.js";
import type { HttpOutcome } from "./call.js";
import type { AskedCharge, ChargeRefused } from "./charge.js";
import type { ChargedSemaphore } from "./chargeable.js";
import { type Denial, denialOf } from "./denial.js";
import { settlementOf } from "./settlement.js";

/** Whether a request may go on, and what its answer has to say. */
export interface Pass {
  /** The fields of its answer, whether it may go on or not. Lists are appended to those that the answer has already. */
  readonly fields: Fields;
  /** Set if the request is refused. */
  readonly denial: Denial | undefined;
  /** To be called once the request has ended, however it did; later calls do nothing. Never rejects. */
  readonly settle: ((outcome: HttpOutcome) => Promise<void>) | undefined;
}

/** No cache may keep a refusal. */
export const NO_STORE: Fields = Object.freeze([["Cache-Control", "no-store"]]);

const NO_LIMITS: readonly StatedLimit[] = [];
const NO_POLICIES: readonly Policy[] = [];
const NO_NAMES: readonly string[] = [];

/** Promised if policies are. */
export function passOf(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  write: FormWriter | undefined,
): Pass | Promise<Pass> {
  if (write === undefined) return withLimits(asked, refused, NO_LIMITS, write);
  let limits = NO_LIMITS;
  for (const charge of asked) {
    if (!charge.show) continue;
    const policies = policiesOf(charge);
    if (policies instanceof Promise) return whenKnown(asked, refused, write);
    limits = withCharge(limits, charge, policies);
  }
  return withLimits(asked, refused, limits, write);
}

async function whenKnown(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  write: FormWriter,
): Promise<Pass> {
  const shown = asked.filter(({ show }) => show);
  const known = await Promise.all(shown.map(async (charge) => policiesOf(charge)));
  const limits = shown.reduce(
    (before, charge, i) => withCharge(before, charge, known[i] as readonly Policy[]),
    NO_LIMITS,
  );
  return withLimits(asked, refused, limits, write);
}

/** `limits`, and behind them what may be said of a charge. */
function withCharge(
  limits: readonly StatedLimit[],
  { to, decision, refused, cost }: AskedCharge,
  policies: readonly Policy[],
): readonly StatedLimit[] {
  if (to.kind === "semaphore") {
    // How many permits are left is known only if none was free.
    return refused !== undefined && cost === 1 ? [...limits, usedUp(to)] : limits;
  }
  return decision === undefined ? limits : withDecision(limits, decision, policies);
}

/** The policies that decided; none if they are no longer known, or are not to be shown: then no field states them. */
function policiesOf({
  to,
  key,
  decision,
  policies: brought,
}: AskedCharge): readonly Policy[] | Promise<readonly Policy[]> {
  if (to.kind === "semaphore" || decision === undefined || !to.pipeline.enforce) return NO_POLICIES;
  if (brought !== undefined) return brought.slice(0, 1);
  if (to.policies !== undefined) return to.policies;
  try {
    const policies = to.limiter.policies(key);
    return policies instanceof Promise ? policies.catch(() => NO_POLICIES) : policies;
  } catch {
    return NO_POLICIES;
  }
}

function usedUp({ quota }: ChargedSemaphore): StatedLimit {
  return { quota, remaining: 0, resetSeconds: undefined, deniedForMs: 0 };
}

function withLimits(
  asked: readonly AskedCharge[],
  refused: ChargeRefused | undefined,
  limits: readonly StatedLimit[],
  write: FormWriter | undefined,
): Pass {
  if (refused === undefined) {
    const fields = fieldsOf(limits, undefined, write);
    return { fields, denial: undefined, settle: settlementOf(asked) };
  }
  const { reason, retryAfterMs } = refused;
  const decisions = asked.map(({ decision }) => decision).filter((each) => each !== undefined);
  const denial = denialOf({ reason, retryAfterMs, decisions, violated: violatedBy(asked) });
  const fields = fieldsOf(limits, secondsOf(retryAfterMs), write).concat(NO_STORE);
  return { fields, denial, settle: undefined };
}

function violatedBy(asked: readonly AskedCharge[]): readonly string[] {
  let names: readonly string[] = NO_NAMES;
  for (const { to, show, decision, refused } of asked) {
    if (!show || refused === undefined) continue;
    names = names.concat(to.kind === "semaphore" ? to.names : namesOf(decision));
  }
  return names;
}

/** Of several policies those that denied. */
function namesOf(decision: Decision | undefined): readonly string[] {
  if (decision === undefined || decision.reason === "store") return NO_NAMES;
  const { policies, policy } = decision;
  return policies === undefined
    ? [policy]
    : policies.filter(({ allowed }) => !allowed).map((verdict) => verdict.policy);
}

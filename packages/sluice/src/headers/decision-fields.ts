/** From decisions to the header fields of an answer: nothing that is not so, and never an error. */
import { InvalidOptionError } from "../core/errors.js";
import { asGiven, checkList, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { type FieldForm, type Fields, type FormWriter, writerOf } from "./field-writers.js";
import { type ChargedDecision, secondsOf, type StatedLimit, withDecision } from "./stated-limit.js";
import { TIMED } from "./timed.js";

/** How `decisionFields` writes. */
export interface DecisionFieldsOptions {
  /** Default "draft-11". A list has one writer after another; a function is a writer of one's own; false: none. */
  readonly form?: FieldForm | undefined;
  /** When the answer is given, in milliseconds since the Unix epoch: "x-ratelimit" counts from it. Default: now. */
  readonly nowMs?: number | undefined;
}

const OPTIONS = optionReader<DecisionFieldsOptions>()({ ...TIMED.checks, form: asGiven });
const NO_OPTIONS: DecisionFieldsOptions = Object.freeze({});
const NONE: Fields = Object.freeze([]);

const DRAFT_11 = writerOf("form", "draft-11") as FormWriter;

/**
 * What an answer says of the decisions on its request: its limits, and `Retry-After` on a denial.
 *
 * Of a bucket the quota is its burst, and the window how long it takes to fill. `t` is when more may be used: on a
 * denial when the call would pass, else with the next unit of a bucket or at the end of a window. A blocked key has
 * nothing left. Nothing is said of a shadow, nor of a decision that was made without the store; a denial that never ends
 * has no `Retry-After`. Never throws for what a decision says, whatever its numbers.
 *
 * @param charged the decisions, in the order in which they are to be listed; names of their policies must differ
 * @returns fields by name, for lists that an answer has already to be appended to
 * @throws InvalidOptionError for arguments that are none
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { decisionFields } from "sluice/headers";
 * const limiter = new RateLimiter({ policy: tokenBucket({ name: "burst", limit: 60, period: "1m" }) });
 * const decision = limiter.consumeSync("user:42");
 * const fields = decisionFields([{ decision, policies: await limiter.policies("user:42") }]);
 * console.log(fields[0]); // [ 'RateLimit-Policy', '"burst";q=60;w=60' ]
 * console.log(fields[1]); // [ 'RateLimit', '"burst";r=59;t=1' ]
 */
export function decisionFields(
  charged: readonly ChargedDecision[],
  options: DecisionFieldsOptions = NO_OPTIONS,
): Fields {
  checkCharged(charged);
  const { form = "draft-11", nowMs } = options === NO_OPTIONS ? NO_OPTIONS : OPTIONS.read(options);
  const write = form === "draft-11" ? DRAFT_11 : writerOf("form", form);
  let limits: readonly StatedLimit[] = [];
  for (const { decision, policies, enforce = true } of charged) {
    if (enforce && write !== undefined) limits = withDecision(limits, decision, policies);
  }
  return fieldsOf(limits, retryAfterSeconds(charged), write, nowMs);
}

/** The fields of limits, with what a refused caller is to wait. */
export function fieldsOf(
  limits: readonly StatedLimit[],
  retryAfter: number | undefined,
  write: FormWriter | undefined,
  nowMs?: number,
): Fields {
  const stated = write === undefined || limits.length === 0 ? NONE : write(limits, nowMs);
  return retryAfter === undefined ? stated : [...stated, ["Retry-After", `${retryAfter}`]];
}

/** Whole seconds, rounded up, until all that denied would pass; undefined if nothing did, or one never would. */
function retryAfterSeconds(charged: readonly ChargedDecision[]): number | undefined {
  let longest: number | undefined;
  for (const { decision, enforce = true } of charged) {
    if (!enforce || decision.allowed) continue;
    const seconds = secondsOf(decision.retryAfterMs);
    if (seconds === undefined) return undefined;
    if (longest === undefined || seconds > longest) longest = seconds;
  }
  return longest;
}

/** @throws InvalidOptionError */
function checkCharged(charged: readonly ChargedDecision[]): void {
  checkList("charged", charged);
  for (let i = 0; i < charged.length; i++) {
    const { decision, policies } = (charged[i] ?? {}) as Partial<ChargedDecision>;
    if (typeof decision === "object" && decision !== null && Array.isArray(policies)) continue;
    const allowed = "{ decision, policies }, with the policies that limiter.policies(key) says";
    throw new InvalidOptionError(`charged[${i}]`, withoutText(charged[i]), allowed);
  }
}

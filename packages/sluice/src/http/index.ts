/** sluice/http: requests and their charges, for every framework. Needs no Node. */
export type * from "../policies/index.js";
export { addressKey, clientAddress, type ClientAddressOptions } from "./address.js";
export { type AnswerFields, problemBody, PROBLEM_TYPE, writeFields } from "./answer.js";
export type { HttpCall, HttpOutcome as Outcome } from "./call.js";
export { by, type Charge, type ChargeFunction, type Charges, type Falsy } from "./charge.js";
export type { Limit } from "./chargeable.js";
export {
  type Denial,
  DENIAL_KINDS,
  type DenialKind,
  type DenialReason,
  type Problem,
} from "./denial.js";
export { createGate, type Gate, type HttpOptions } from "./gate.js";
export type { Pass } from "./pass.js";

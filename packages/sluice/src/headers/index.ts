/** sluice/headers: what HTTP answers say about rate limits, read and written. Needs no Node. */
export { decisionFields, type DecisionFieldsOptions } from "./decision-fields.js";
export type { Field, FieldForm, Fields, FieldWriter } from "./field-writers.js";
export {
  formatRateLimit,
  formatRateLimitPolicy,
  formatRetryAfter,
  type QuotaPolicyInput,
  rateLimitFields,
  type RateLimitFieldsInput,
} from "./format.js";
export type { ChargedDecision, Quota, StatedLimit } from "./stated-limit.js";
export type { FieldValue, HeaderSource } from "./header-source.js";
export { parseRateLimit, waitMsOf } from "./parse.js";
export type {
  QuotaPolicy,
  RateLimitForm,
  RateLimitInfo,
  ServiceLimit,
  TightestLimit,
} from "./rate-limit.js";

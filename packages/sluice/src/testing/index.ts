/** sluice/testing: a manual clock, the conformance suite for stores of one's own, the audit of logs. */
export { type AuditReport, auditFiles } from "../audit/index.js";
export {
  type ConformanceCase,
  storeConformance,
  type StoreConformanceOptions,
} from "./conformance.js";
export { ManualClock } from "./manual-clock.js";
export { PureStore } from "./pure-store.js";

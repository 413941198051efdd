/** sluice/testing: a manual clock, the conformance suites for stores and HTTP adapters of one's own, the audit of logs. */
export { type AuditReport, auditFiles } from "../audit/index.js";
export {
  type ConformanceCase,
  storeConformance,
  type StoreConformanceOptions,
} from "./conformance.js";
export { httpConformance, type HttpConformanceOptions } from "./http/http-conformance.js";
export type * from "../http/index.js";
export type { HttpSubject, RunningServer, SubjectOptions, Weakness } from "./http/subject.js";
export { ManualClock } from "./manual-clock.js";
export { type Kept, type PureSnapshot, PureStore } from "./pure-store.js";

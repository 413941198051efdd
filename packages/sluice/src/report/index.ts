/** sluice/report: what limiters and semaphores of all processes count, in the store that they share. */
export type * from "../policies/index.js";
export { type ReadReportsOptions, readReports } from "./read-reports.js";
export { report, type Reporter, type ReportHooks, type ReportOptions } from "./report.js";
export type {
  DeniedId,
  LimiterReport,
  MinuteReport,
  MinuteSums,
  PolicyReport,
  ReportedSums,
  ReportGap,
  ReportingProcess,
  Reports,
  SemaphoreReport,
  ShadowReport,
} from "./view.js";

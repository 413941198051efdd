/** sluice/audit: logs of limiters and semaphores, and what they prove: that a limit was kept, or at which lines it was not. */
export {
  auditFiles,
  auditLogs,
  type AuditReport,
  type KeyReport,
  type LogAudit,
} from "./audit.js";
export type { AttemptAuditReport, AttemptKeyReport } from "./attempt-audit.js";
export type { AttemptPolicies } from "./attempts-read.js";
export type { AttemptReplay, Violation } from "./attempt-replay.js";
export type { Tally, Unaudited } from "./tally.js";
export type { BoundReport, WorstInterval } from "./bound.js";
export { type Fraction, fractionToNumber, fractionToText } from "./fraction.js";
export type { ByteSource } from "./lines.js";
export { LogError, type LogSource } from "./log.js";
export type { Mismatch } from "./mismatch.js";
export {
  type FailedCall,
  failedCallLine,
  headerLine,
  keyId,
  type LoggedCall,
  type LoggedVerb,
  type LogRecord,
  recordLine,
  type RuleReference,
} from "./record.js";
export type { ReplayReport } from "./replay.js";
export type { LoggedDecision } from "./replayer.js";
export type { SemaphoreAuditReport, SemaphoreKeyReport } from "./semaphore-audit.js";
export type { Hold } from "./holds.js";
export {
  deniedAcquisitionLine,
  failedAcquisitionLine,
  permitLog,
  semaphoreHeaderLine,
} from "./semaphore-record.js";

import type { LogRecord } from "../../src/audit/record.js";

/** 2026-01-01T00:00:00Z */
export const START_US = 1_767_225_600_000_000;

/** A record of an allowed call of the store's; whatever a test does not name is plain. */
export function record(fields: Partial<LogRecord> & { readonly atUs: number }): LogRecord {
  const granted = fields.granted ?? 1;
  return {
    readyAtUs: undefined,
    maxWaitUs: undefined,
    key: "k",
    verb: "consume",
    cost: granted,
    allowed: true,
    granted,
    remaining: 0,
    retryAfterMs: 0,
    resetAfterMs: 0,
    reason: "ok",
    source: "store",
    file: 0,
    line: 1,
    ...fields,
  };
}

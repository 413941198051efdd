/** Logs of attempts for tests of what reads them. */
import { endLine, ruleLine, sessionLine } from "../../src/audit/attempt-record.js";
import type { LogSource } from "../../src/audit/log.js";
import { type LoggedCall, recordLine } from "../../src/audit/record.js";
import type { Policy } from "../../src/index.js";
import { START_US } from "../support/records.js";

/** What a test says of an attempt; the rest is plain. */
export interface AttemptMade {
  /** µs since the beginning. */
  readonly atUs: number;
  readonly key: string;
  readonly cost?: number;
  readonly verb?: LoggedCall["verb"];
  readonly maxWaitUs?: number;
  readonly allowed?: boolean;
  readonly reason?: "ok" | "quota" | "blocked";
  readonly source?: "store" | "local";
  /** The policy that decided; default the first. */
  readonly policy?: string;
  /** Units that came back, of a refund. */
  readonly granted?: number;
}

export interface LoggedLimiter {
  readonly limiter?: string;
  readonly store?: string;
  readonly policies: readonly Policy[];
  readonly attempts: readonly AttemptMade[];
}

/** The log of one process, as sluice/log writes it. */
export function attemptLog(session: string, limiters: readonly LoggedLimiter[]): LogSource {
  let text = sessionLine({ session, part: 1, sample: 1 });
  limiters.forEach(({ limiter = "api", store, policies, attempts }, i) => {
    text += ruleLine({ rule: i + 1, limiter, store, policies });
    for (const made of attempts) {
      const { policy = policies[0]?.name ?? "" } = made;
      text += attemptLine(made, { rule: i + 1, limiter, policy });
    }
  });
  text += endLine(session);
  return textSource(session, text);
}

export function textSource(name: string, text: string): LogSource {
  const open = async function* () {
    yield text;
  };
  return { name, open };
}

export function attemptLine(made: AttemptMade, rule?: LoggedCall["rule"]): string {
  const { atUs, key, cost = 1, verb, maxWaitUs, allowed = true, granted } = made;
  const { reason = allowed ? "ok" : "quota", source = "store" } = made;
  const call = {
    key,
    cost,
    ...(verb !== undefined && { verb }),
    ...(maxWaitUs !== undefined && { maxWaitUs }),
    ...(rule !== undefined && { rule }),
  };
  return recordLine(call, {
    allowed,
    reason,
    limit: 1,
    remaining: 0,
    retryAfterMs: 0,
    resetAfterMs: 0,
    windowMs: 1000,
    decidedAtUs: START_US + atUs,
    policy: "",
    source,
    ...(granted !== undefined && { granted }),
  });
}

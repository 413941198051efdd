/** The lines of a log that say what a set of rules was asked, with the entries of its requests. */
import type { Policy } from "../algorithms/registry.js";
import type { DecisionReason, DecisionSource } from "../core/decision.js";
import type { LOGGED_VERBS } from "./record.js";

/** One request as a log has it. */
export interface LoggedRequest {
  /** Entries that may be read, by name. */
  readonly entries?: Readonly<Record<string, string>> | undefined;
  /** The ids of the others: of what `ruleKey` writes of a rule whose key is this entry alone. */
  readonly ids?: Readonly<Record<string, string>> | undefined;
  readonly cost?: number | undefined;
  readonly plan?: string | undefined;
  /** The one rule that the request named. */
  readonly rule?: string | undefined;
  /** The id of the slot. */
  readonly slot?: string | undefined;
  /** What the request brought. */
  readonly policy?: Policy | undefined;
  /** The rules that it met, each with what it was charged. */
  readonly met: Readonly<Record<string, number>>;
  /** Of a refund that settles: the request as it turned out. */
  readonly after?: Pick<LoggedRequest, "entries" | "ids" | "cost" | "met"> | undefined;
}

export const REQUEST_VERBS = [
  "consume",
  "consumeUpTo",
  "reserve",
  "penalize",
  "refund",
] as const satisfies readonly (typeof LOGGED_VERBS)[number][];
export type RequestVerb = (typeof REQUEST_VERBS)[number];

/** What was asked of a set at once. */
export interface AskedRequests {
  /** The store's clock in µs. */
  readonly atUs: number;
  readonly verb: RequestVerb;
  /** All or nothing; mostly one. */
  readonly asked: readonly LoggedRequest[];
  /** Whether ids are made with a secret, so that only its holders can compare a text with them. */
  readonly isSecret: boolean;
  readonly limiter: string;
  readonly maxWaitUs?: number | undefined;
  readonly allowed: boolean;
  readonly reason: DecisionReason;
  readonly source: DecisionSource;
  /** The rule that denied. */
  readonly denied?: string | undefined;
}

export function requestLine(line: AskedRequests): string {
  const { atUs, verb, asked, isSecret, limiter, maxWaitUs, denied } = line;
  const { allowed, reason, source } = line;
  return `${JSON.stringify({
    atUs,
    ...(verb !== "consume" && { verb }),
    ...(maxWaitUs !== undefined && { maxWaitUs }),
    asked,
    ...(isSecret && { secret: true }),
    allowed,
    reason,
    source,
    ...(denied !== undefined && { denied }),
    limiter,
  })}\n`;
}

/** The lines that only logs of attempts have: who wrote them, what decided, what is missing. */
import type { Policy } from "../algorithms/registry.js";
import { FORMAT, type LOGGED_VERBS, type RuleReference } from "./record.js";

/** Who wrote a log: a process, from when it opened its log to when it closed it. */
export interface Session {
  /** A name that no other session has. */
  readonly session: string;
  /** Counts the files that the session has filled, from 1. */
  readonly part: number;
  /** The share of keys that are in the log: 0 to 1. */
  readonly sample: number;
}

/** The first line of a session in each of its files. */
export function sessionLine({ session, part, sample }: Session): string {
  return `${JSON.stringify({ sluice: FORMAT, attempts: { session, part, sample } })}\n`;
}

/** What decides, by a number that the session's records refer to. */
export interface AttemptRule {
  readonly rule: number;
  readonly limiter: string;
  /** Set if the state is in the memory of one process: a name that no other store has. */
  readonly store?: string | undefined;
  readonly policies: readonly Policy[];
  /** Whether it is a rule of a set whose requests the log has too. */
  readonly ofSet?: boolean | undefined;
}

/** Comes before the first record of its rule in each file. */
export function ruleLine({ rule, limiter, store, policies, ofSet }: AttemptRule): string {
  const [only, ...others] = policies;
  const policy = others.length === 0 ? only : policies;
  const set = ofSet === true ? { set: true } : {};
  return `${JSON.stringify({ rule, limiter, ...(store !== undefined && { store }), policy, ...set })}\n`;
}

/** A change to a key by a verb that has no decision. */
export interface Adjustment {
  readonly key: string;
  readonly verb: (typeof LOGGED_VERBS)[number];
  /** Units that came back. */
  readonly units: number;
  /** The store's clock in µs; undefined if the store did not answer: the call may have been executed or not. */
  readonly atUs: number | undefined;
}

export function adjustmentLine(
  { atUs, key, verb, units }: Adjustment,
  { rule, limiter }: Omit<RuleReference, "policy">,
): string {
  const time = atUs === undefined ? {} : { atUs };
  return `${JSON.stringify({ ...time, key, verb, adjusted: units, rule, limiter })}\n`;
}

/** How many lines are missing here, and on which limiters some of them gave units back. */
export function lostLine(lost: number, gaveBack: readonly string[]): string {
  return `${JSON.stringify({ lost, gaveBack })}\n`;
}

/** Says how many live keys a full store in memory has dropped. */
export function evictedLine(evicted: number, store: string): string {
  return `${JSON.stringify({ evicted, store })}\n`;
}

/** The last line of a session: nothing is missing after it. */
export function endLine(session: string): string {
  return `${JSON.stringify({ end: session })}\n`;
}

/** Verbs after which more may be left than before. */
export const GIVING_BACK: ReadonlySet<string> = new Set([
  "refund",
  "cancel",
  "reset",
  "clearBlock",
  "clearExtendBlock",
] satisfies (typeof LOGGED_VERBS)[number][]);

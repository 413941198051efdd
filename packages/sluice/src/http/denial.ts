/** A request that is refused: why, with which status, and the body that says so. */
import type { Decision } from "../core/decision.js";

/**
 * Why: "concurrency" is a semaphore without a free permit, "store" a limit whose store could not be asked, and which does
 * not let requests pass then, "key" a request whose caller's name is not text.
 */
export type DenialReason = "quota" | "too-costly" | "concurrency" | "blocked" | "store" | "key";

/** A body of the type application/problem+json (RFC 9457). */
export interface Problem {
  /** A URI that names the kind of problem. */
  readonly type: string;
  /** The kind of problem in words. */
  readonly title: string;
  /** The status of the answer. */
  readonly status: number;
  /** This problem in words. */
  readonly detail?: string | undefined;
  /** The names of the policies that denied, of those that are shown. */
  readonly "violated-policies"?: readonly string[] | undefined;
}

/** A request that may not go on, and what it is answered. */
export interface Denial {
  /** The status of the answer: 429, or 503 if the store failed. */
  readonly status: 400 | 429 | 503;
  /** Why it was denied. */
  readonly reason: DenialReason;
  /** Whole milliseconds until the request would pass, as far as is known; Infinity if it never will. */
  readonly retryAfterMs: number;
  /** Of all its charges that a limiter decided, in order. */
  readonly decisions: readonly Decision[];
  /** The body of the answer, as RFC 9457 has it. */
  readonly problem: Problem;
}

/** What answers say of all denials for one reason. */
export interface DenialKind {
  /** Of the answer. */
  readonly status: Denial["status"];
  /** A URI that programs know the kind by. */
  readonly type: string;
  /** For people. */
  readonly title: string;
}

/** Of draft-ietf-httpapi-ratelimit-headers, section 6. They are not registered yet. */
const TYPES = "https://iana.org/assignments/http-problem-types#";
const QUOTA: DenialKind = { status: 429, type: `${TYPES}quota-exceeded`, title: "Quota exceeded" };

/**
 * Status, type and title of the problems of denials, by their reason, for an answer without a gate.
 * @example
 * import { DENIAL_KINDS } from "sluice/http";
 * console.log(DENIAL_KINDS.store.status, DENIAL_KINDS.quota.title); // 503 Quota exceeded
 */
export const DENIAL_KINDS: Readonly<Record<DenialReason, DenialKind>> = {
  quota: QUOTA,
  "too-costly": QUOTA,
  concurrency: QUOTA,
  blocked: {
    status: 429,
    type: `${TYPES}abnormal-usage-detected`,
    title: "Abnormal usage detected",
  },
  store: {
    status: 503,
    type: `${TYPES}temporary-reduced-capacity`,
    title: "Temporarily reduced capacity",
  },
  key: { status: 400, type: "about:blank", title: "Bad Request" },
};

const DETAILS: Partial<Readonly<Record<DenialReason, string>>> = {
  "too-costly": "The request costs more than the whole quota.",
  concurrency: "Too many requests are under way.",
  key: "The request must identify its caller by a text.",
};

/** The JSON of a problem up to what differs from one to the next of its reason. */
const BODY_HEADS = Object.fromEntries(
  Object.entries(DENIAL_KINDS).map(([reason, { type, title, status }]) => {
    const detail = DETAILS[reason as DenialReason];
    return [reason, JSON.stringify({ type, title, status, detail }).slice(0, -1)];
  }),
) as Readonly<Record<DenialReason, string>>;

/** The body of an unchanged denial: the same text as JSON.stringify of its problem, in a fraction of the time. */
export function defaultBody({ reason, problem }: Denial): string {
  const violated = problem["violated-policies"];
  const head = BODY_HEADS[reason];
  return violated === undefined
    ? `${head}}`
    : `${head},"violated-policies":${JSON.stringify(violated)}}`;
}

export interface Refusal {
  readonly reason: DenialReason;
  readonly retryAfterMs: number;
  readonly decisions: readonly Decision[];
  /** Names of the policies that denied and are shown. */
  readonly violated: readonly string[];
}

export function denialOf({ reason, retryAfterMs, decisions, violated }: Refusal): Denial {
  const { status, type, title } = DENIAL_KINDS[reason];
  const detail = DETAILS[reason];
  const problem: { -readonly [K in keyof Problem]: Problem[K] } = { type, title, status };
  if (detail !== undefined) problem.detail = detail;
  if (violated.length > 0) problem["violated-policies"] = violated;
  return { status, reason, retryAfterMs, decisions, problem };
}

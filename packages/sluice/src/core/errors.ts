/** Every error that Sluice throws: typed, with a stable code, a docs page and, if there is one, a cause. */
import type { Decision } from "./decision.js";
import { A_PROMISE, shorten, shown } from "./shown.js";

/** What an error's `code` may be. A code never changes between releases. */
export type ErrorCode =
  | "INVALID_OPTION"
  | "STORE_UNAVAILABLE"
  | "STORE_FULL"
  | "STORE_TIMEOUT"
  | "MAX_WAIT_EXCEEDED"
  | "QUEUE_FULL"
  | "LEASE_LOST"
  | "CROSS_SLOT"
  | "CLOSED"
  | "POLICY_UNAVAILABLE"
  | "INVALID_POLICIES"
  | "POLICY_CONFLICT";

/** The base of all errors of this package. `code` never changes between releases; messages may. */
export class SluiceError extends Error {
  /** Stable, for programs to compare with. */
  readonly code: ErrorCode;
  /** The page of the documentation that explains the error and its remedy. */
  readonly docs: string;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(escaped(message), options);
    this.name = NAMES.get(new.target) ?? new.target.name;
    this.code = code;
    this.docs = `docs/errors.md#${code.toLowerCase().replaceAll("_", "-")}`;
  }
}

/** A caller passed something that can never work. Nothing was written. */
export class InvalidOptionError extends SluiceError {
  /** The option or argument at fault, as the caller would write it: `limit`, `policy[1].name`. */
  readonly option: string;
  /**
   * What was passed, if that is a number, true, false or a short text; else words for it, such as "a promise". Never an
   * object, a URL or what may be a secret. Not enumerable.
   */
  declare readonly value: unknown;
  /** What would have been accepted, in words. */
  readonly allowed: string;

  constructor(
    option: string,
    value: unknown,
    allowed: string,
    options: { cause?: unknown; hint?: string | undefined } = {},
  ) {
    const { value: kept, text } = shown(value);
    const { hint = text === A_PROMISE ? "forgot await?" : undefined, ...rest } = options;
    const slip = hint === undefined ? "" : `; ${hint}`;
    super(
      "INVALID_OPTION",
      `${shorten(option)}: ${text} is not allowed; expected ${allowed}${slip}`,
      rest,
    );
    this.option = option;
    this.allowed = allowed;
    Object.defineProperty(this, "value", { value: kept, enumerable: false });
  }
}

/**
 * The store could not be reached, or answered with an error. The call may or may not have been counted. With the code
 * "STORE_FULL" a memory store has no room for the state, and nothing was counted.
 */
export class StoreUnavailableError extends SluiceError {
  /**
   * The store is well, but a key of this call is not Sluice's: something else than its own state is stored
   * there, or its user may not access it.
   */
  readonly ofKey: boolean;
  /** The client had too much to do and did not take the call: that is no failure of the store. */
  readonly busy: boolean;

  constructor(
    message: string,
    options: {
      cause?: unknown;
      ofKey?: boolean | undefined;
      busy?: boolean | undefined;
      code?: "STORE_UNAVAILABLE" | "STORE_FULL" | undefined;
    } = {},
  ) {
    const { ofKey = false, busy = false, code = "STORE_UNAVAILABLE", ...rest } = options;
    super(code, message, rest);
    this.ofKey = ofKey;
    this.busy = busy;
  }
}

/** The store did not answer within the limiter's `timeout`. The call may or may not have been counted, if it was sent. */
export class StoreTimeoutError extends SluiceError {
  /** The deadline that passed, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether the call was handed to the Redis client. If not, it was not counted. */
  readonly sent: boolean;
  /**
   * There was too much to do, here or at the store: the call waited in line, or the store was deciding other calls. That is
   * no failure of the store, and the breaker does not count it.
   */
  readonly busy: boolean;

  constructor(
    timeoutMs: number,
    options: { sent?: boolean | undefined; busy?: boolean | undefined } = {},
  ) {
    const { sent = true, busy = !sent } = options;
    super("STORE_TIMEOUT", timeoutMessage(timeoutMs, sent, busy));
    this.timeoutMs = timeoutMs;
    this.sent = sent;
    this.busy = busy;
  }
}

function timeoutMessage(timeoutMs: number, sent: boolean, busy: boolean): string {
  if (!sent) return `the call waited in line and was not sent within ${timeoutMs} ms`;
  const meanwhile = busy ? ": it was busy with other calls" : "";
  return `the store did not answer within ${timeoutMs} ms${meanwhile}`;
}

/** Whether this is the store's failure, which may be over soon: another attempt may succeed. */
export function mayPass(error: unknown): error is StoreTimeoutError | StoreUnavailableError {
  if (error instanceof StoreTimeoutError) return true;
  return error instanceof StoreUnavailableError && !error.ofKey;
}

/** Quota, or a permit, does not become free within `maxWait`. Nothing was taken. */
export class MaxWaitExceededError extends SluiceError {
  /** Whole ms until another attempt may succeed, as far as is known; Infinity if it never can. */
  readonly retryAfterMs: number;
  /** The limiter's denial, as `consume` would have returned it; undefined if the wait was for a semaphore. */
  readonly decision: Decision | undefined;

  constructor(
    retryAfterMs: number,
    message = noQuotaWithin(retryAfterMs),
    options?: { readonly decision?: Decision | undefined },
  ) {
    super("MAX_WAIT_EXCEEDED", message);
    this.retryAfterMs = retryAfterMs;
    this.decision = options?.decision;
  }
}

function noQuotaWithin(retryAfterMs: number): string {
  const when =
    retryAfterMs === Number.POSITIVE_INFINITY
      ? "the cost can never fit"
      : `it takes ${retryAfterMs} ms`;
  return `no quota within maxWait: ${when}`;
}

/** As many units as a leaky bucket holds are in line already. Nothing was taken. */
export class QueueFullError extends SluiceError {
  /** Whole ms until there is room in line if no other call joins; Infinity if the cost is more than the capacity. */
  readonly retryAfterMs: number;
  /** The limiter's denial, as `consume` would have returned it. */
  readonly decision: Decision | undefined;

  constructor(
    retryAfterMs: number,
    options?: { readonly cause?: unknown; readonly decision?: Decision | undefined },
  ) {
    const when =
      retryAfterMs === Number.POSITIVE_INFINITY
        ? "the cost is more than its capacity"
        : `there is room in ${retryAfterMs} ms`;
    super("QUEUE_FULL", `the queue is full: ${when}`, options);
    this.retryAfterMs = retryAfterMs;
    this.decision = options?.decision;
  }
}

/** The keys of one atomic call are in several slots of a Cluster, which no script can span. Nothing was written. */
export class CrossSlotError extends SluiceError {
  constructor(options?: { cause?: unknown }) {
    super(
      "CROSS_SLOT",
      "the identities of this call lie in different slots of the Cluster; " +
        "pass { atomic: false } to consumeAtomic, use one identity, " +
        "or put identities together by the store's option partitions",
      options,
    );
  }
}

/** The function that promises a limiter's policies has not given any for this key, in time or at all. Nothing was written. */
export class PolicyUnavailableError extends SluiceError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("POLICY_UNAVAILABLE", message, options);
  }
}

/** A permit can no longer be trusted: its lease ended, or may end before the holder learns of it. */
export class LeaseLostError extends SluiceError {
  constructor(message: string) {
    super("LEASE_LOST", message);
  }
}

/**
 * The limiter, the semaphore or their store is closed. What was asked before may have been counted; nothing that was asked
 * after.
 */
export class ClosedError extends SluiceError {
  constructor(
    what: "limiter" | "semaphore" | "policy set" | "store",
    options?: { cause?: unknown },
  ) {
    super("CLOSED", `the ${what} is closed`, options);
  }
}

/** Written out, since a bundler that makes code small renames classes. */
const NAMES: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [SluiceError, "SluiceError"],
  [InvalidOptionError, "InvalidOptionError"],
  [StoreUnavailableError, "StoreUnavailableError"],
  [StoreTimeoutError, "StoreTimeoutError"],
  [MaxWaitExceededError, "MaxWaitExceededError"],
  [QueueFullError, "QueueFullError"],
  [CrossSlotError, "CrossSlotError"],
  [PolicyUnavailableError, "PolicyUnavailableError"],
  [LeaseLostError, "LeaseLostError"],
  [ClosedError, "ClosedError"],
]);

/** A store's failure as one of ours; the client's own error is its cause. */
export function asStoreError(error: unknown): Error {
  if (error instanceof SluiceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StoreUnavailableError(`the store failed: ${message}`, { cause: error });
}

/** What ends a line, drives a terminal or turns the direction of text. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** Escapes what would let a value or a server's reply forge a line of a log. */
export function escaped(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

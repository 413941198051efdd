/** What callers of other people's services can be told, and the checks on it. */
import { toThousandths } from "../core/amount.js";
import { type Clock, checkClock, monotonicUs, systemClock } from "../core/clock.js";
import { type Duration, toMicroseconds } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkKey } from "../core/key.js";
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkFunction,
  checkList,
  checkOptions,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { maxWaitMs } from "../core/max-wait.js";
import type { BlockOptions } from "../limiter/options.js";
import type { Acquirer } from "../limiter/waiting/wrap.js";

/** What a request is to be judged by. */
export interface OutgoingRequest {
  /** Where it goes. */
  readonly url: URL;
  /** In upper case. */
  readonly method: string;
  /** As they were at the call. */
  readonly headers: Headers;
}

/** A `RateLimiter`, or anything with its `acquire`. */
export interface OutgoingLimiter extends Acquirer {
  /**
   * Denies the key for a while, in every process: how others are told what an answer said. A block that lasts longer
   * must stay.
   */
  block?(key: string, duration: Duration, options?: BlockOptions): Promise<void>;
  /** Ends, with its reason, pauses that calls wait for. */
  readonly closed?: AbortSignal;
}

/** A `Semaphore`, or anything with its `acquire`. */
export interface OutgoingSemaphore {
  /** As `Semaphore`'s own. */
  acquire(
    key: string,
    options?: { readonly maxWait?: Duration; readonly signal?: AbortSignal },
  ): Promise<OutgoingPermit>;
}

/** What a semaphore gives for a call. */
export interface OutgoingPermit {
  /** Called when the call has ended. */
  release(): Promise<void>;
}

/** How often, and after which waits, a call is sent again. */
export interface RetryOptions {
  /** Tries after the first, 0 to 100; default 2. */
  readonly attempts?: number | undefined;
  /** The longest the first retry waits by chance; it doubles with each. Default 250 ms. */
  readonly baseDelay?: Duration | undefined;
  /**
   * The longest that chance makes a retry wait; where the server asks for longer than this, its answer
   * is handed back instead. Default 30 s.
   */
  readonly maxDelay?: Duration | undefined;
  /**
   * Statuses, 200 to 999, after which a request is tried again; default 408, 425, 429, 500, 502, 503 and 504. Methods
   * that are not idempotent are repeated only after 429, and after 403 and 503 with Retry-After.
   */
  readonly statuses?: readonly number[] | undefined;
}

/** Options of calls to a service of others. */
export interface OutgoingOptions {
  /** Each try waits for its quota, retries too. If it is a `Semaphore`, the permit is held as that of `semaphore` is. */
  readonly limiter?: OutgoingLimiter | undefined;
  /** Each try holds a permit until its answer's body is done, or as `releaseAt` says. */
  readonly semaphore?: OutgoingSemaphore | undefined;
  /**
   * When a try gives its permits back: "body", when the answer's body is done (undici: when the answer has arrived), or
   * "headers", when the answer begins. Default "body".
   */
  readonly releaseAt?: "body" | "headers" | undefined;
  /** The key for limiter and semaphore; default: the origin, as in `https://example.org`. */
  readonly key?: (string | ((request: OutgoingRequest) => string)) | undefined;
  /** Units of quota a try takes; default 1. */
  readonly cost?: (number | ((request: OutgoingRequest) => number)) | undefined;
  /** The longest that a call waits in all, for quota, permits, pauses and before retries; default: no bound. */
  readonly maxWait?: Duration | undefined;
  /** Whether `Retry-After` and `RateLimit` of answers make later calls of the key wait; default true. */
  readonly obey?: boolean | undefined;
  /** Statuses, 200 to 999, whose `Retry-After` makes later calls of the key wait; default 403, 429 and 503. */
  readonly pauseStatuses?: readonly number[] | undefined;
  /** Whether other processes are told to wait as well, by the limiter's `block`; default true. */
  readonly share?: boolean | undefined;
  /** The longest that one answer makes later calls wait; default 1 h. */
  readonly maxPause?: Duration | undefined;
  /** false: none. */
  readonly retries?: false | RetryOptions | undefined;
  /** For tests; default: the machine's own. */
  readonly clock?: Clock | undefined;
  /** From 0 up to 1, for the jitter of retries; for tests. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

export const OUTGOING_OPTIONS: readonly string[] = [
  "limiter",
  "semaphore",
  "releaseAt",
  "key",
  "cost",
  "maxWait",
  "obey",
  "pauseStatuses",
  "share",
  "maxPause",
  "retries",
  "clock",
  "random",
];

export interface RetrySettings {
  readonly attempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly statuses: ReadonlySet<number>;
}

/** The options, checked, with their defaults. */
export interface OutgoingSettings {
  readonly limiter: OutgoingLimiter | undefined;
  readonly semaphore: OutgoingSemaphore | undefined;
  readonly releasesAtHeaders: boolean;
  /** undefined: the origin. */
  readonly keyOf: ((request: OutgoingRequest) => string) | undefined;
  readonly costOf: ((request: OutgoingRequest) => number) | undefined;
  readonly maxWaitMs: number;
  readonly obey: boolean;
  readonly pauseStatuses: ReadonlySet<number>;
  readonly share: boolean;
  readonly maxPauseMs: number;
  readonly retries: RetrySettings;
  /** Milliseconds that never go back, from any moment on. */
  readonly nowMs: () => number;
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: () => number;
  readonly sleep: Clock["sleep"];
  readonly random: () => number;
}

const DEFAULT_MAX_PAUSE = "1h";
const DEFAULT_PAUSE_STATUSES: readonly number[] = [403, 429, 503];
const DEFAULT_RETRY_STATUSES: readonly number[] = [408, 425, 429, 500, 502, 503, 504];
const MAX_ATTEMPTS = 100;

export function checkOutgoing(
  options: OutgoingOptions,
  known: readonly string[] = OUTGOING_OPTIONS,
): OutgoingSettings {
  checkOptions("options", options, known);
  const { limiter, semaphore, key, cost, clock = systemClock, random = Math.random } = options;
  const { obey = true, share = true, maxPause = DEFAULT_MAX_PAUSE } = options;
  const { releaseAt = "body", pauseStatuses = DEFAULT_PAUSE_STATUSES } = options;
  checkAcquirer("limiter", limiter);
  checkAcquirer("semaphore", semaphore);
  if (key !== undefined && typeof key !== "function") checkKey(key);
  if (typeof cost === "number") toThousandths("cost", cost);
  else if (cost !== undefined) checkFunction("cost", cost);
  checkFunction("random", random);
  const time = checkClock(clock);
  return {
    limiter,
    semaphore,
    releasesAtHeaders: checkChoice("releaseAt", releaseAt, ["body", "headers"]) === "headers",
    keyOf: typeof key === "string" ? () => key : key,
    costOf: typeof cost === "number" ? () => cost : cost,
    maxWaitMs: maxWaitMs(options.maxWait),
    obey: checkBoolean("obey", obey),
    pauseStatuses: checkStatuses("pauseStatuses", pauseStatuses),
    share: checkBoolean("share", share),
    maxPauseMs: toMicroseconds("maxPause", maxPause) / 1e3,
    retries: checkRetries(options.retries),
    nowMs: () => monotonicUs(time) / 1e3,
    wallMs: () => time.nowUs() / 1e3,
    sleep: (ms, signal) => time.sleep(ms, signal),
    random,
  };
}

function checkAcquirer(option: string, value: Partial<Acquirer> | undefined): void {
  if (value === undefined || typeof value?.acquire === "function") return;
  throw new InvalidOptionError(option, withoutText(value), "an object with acquire()");
}

const NO_RETRIES: RetrySettings = {
  attempts: 0,
  baseDelayMs: 0,
  maxDelayMs: 0,
  statuses: new Set(),
};

function checkRetries(retries: OutgoingOptions["retries"] = {}): RetrySettings {
  if (retries === false) return NO_RETRIES;
  checkOptions("retries", retries, ["attempts", "baseDelay", "maxDelay", "statuses"]);
  const { attempts = 2, baseDelay = "250ms", maxDelay = "30s" } = retries;
  const { statuses = DEFAULT_RETRY_STATUSES } = retries;
  return {
    attempts: checkCount("retries.attempts", attempts, 0, MAX_ATTEMPTS),
    baseDelayMs: toMicroseconds("retries.baseDelay", baseDelay) / 1e3,
    maxDelayMs: toMicroseconds("retries.maxDelay", maxDelay) / 1e3,
    statuses: checkStatuses("retries.statuses", statuses),
  };
}

function checkStatuses(option: string, statuses: readonly number[]): ReadonlySet<number> {
  checkList(option, statuses);
  return new Set(statuses.map((status, i) => checkCount(`${option}[${i}]`, status, 200, 999)));
}

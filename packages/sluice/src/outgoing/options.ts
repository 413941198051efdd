/** Options of outgoing calls, and their checks. */
import { toThousandths } from "../core/amount.js";
import { type Clock, checkClock, monotonicUs, systemClock } from "../core/clock.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkKey } from "../core/key.js";
import {
  byDefault,
  checkBoolean,
  checkChoice,
  checkCount,
  checkFunction,
  checkList,
  aCount,
  milliseconds,
  optional,
  optionReader,
  orFunction,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { maxWaitMs } from "../core/max-wait.js";
import type { BlockOptions } from "../limiter/options.js";
import type { Acquirer } from "../limiter/waiting/wrap.js";

/** What a request is to be judged by. */
export interface OutgoingRequest {
  /** Its target. */
  readonly url: URL;
  /** In upper case. */
  readonly method: string;
  /** As they were at the call. */
  readonly headers: Headers;
}

/** A `RateLimiter`, or anything with its `acquire`. */
export interface OutgoingLimiter extends Acquirer {
  /**
   * Denies the key for a while, in every process: so others learn what an answer said. A block that lasts longer
   * must stay.
   */
  block?(key: string, duration: Duration, options?: BlockOptions): Promise<void>;
  /** Ends, with its reason, pauses that calls wait for. */
  readonly closed?: AbortSignal | undefined;
}

/** A `Semaphore`, or anything with its `acquire`. */
export interface OutgoingSemaphore {
  /** As `Semaphore`'s own. */
  acquire(
    key: string,
    options?: {
      readonly maxWait?: Duration | undefined;
      readonly signal?: AbortSignal | undefined;
    },
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
   * The longest that chance makes a retry wait; if the server asks for longer than this, its answer is handed back instead.
   * Default 30 s.
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
  /** Whether other processes wait as well, by the limiter's `block`; default true. */
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

const acquirer = optional((option, value) => {
  if (typeof (value as Partial<Acquirer> | null)?.acquire === "function") return value;
  throw new InvalidOptionError(option, withoutText(value), "an object with acquire()");
});

export const OUTGOING = optionReader<OutgoingOptions>()({
  limiter: acquirer,
  semaphore: acquirer,
  releaseAt: byDefault("body", (option, value) => checkChoice(option, value, ["body", "headers"])),
  key: optional((_option, value): unknown => {
    if (typeof value !== "function") checkKey(value);
    return value;
  }),
  cost: optional(orFunction(toThousandths)),
  maxWait: (option, value) => maxWaitMs(value as Duration | undefined, option),
  obey: byDefault(true, checkBoolean),
  pauseStatuses: byDefault(DEFAULT_PAUSE_STATUSES, checkStatuses),
  share: byDefault(true, checkBoolean),
  maxPause: byDefault(DEFAULT_MAX_PAUSE, milliseconds()),
  retries: byDefault({}, checkRetries),
  clock: byDefault(systemClock, checkClock),
  random: byDefault(Math.random, checkFunction),
});

/** What the options, read by `OUTGOING` or a reader with its options, come to. */
export function outgoingSettings(options: ReturnType<typeof OUTGOING.read>): OutgoingSettings {
  const { limiter, semaphore, key, cost, clock, obey, pauseStatuses, share, retries } = options;
  return {
    limiter,
    semaphore,
    releasesAtHeaders: options.releaseAt === "headers",
    keyOf: typeof key === "string" ? () => key : key,
    costOf: typeof cost === "number" ? () => cost : cost,
    maxWaitMs: options.maxWait,
    obey,
    pauseStatuses,
    share,
    maxPauseMs: options.maxPause,
    retries,
    nowMs: () => monotonicUs(clock) / 1e3,
    wallMs: () => clock.nowUs() / 1e3,
    sleep: (ms, signal) => clock.sleep(ms, signal),
    random: options.random,
  };
}

const NO_RETRIES: RetrySettings = {
  attempts: 0,
  baseDelayMs: 0,
  maxDelayMs: 0,
  statuses: new Set(),
};

const RETRIES = optionReader<RetryOptions>()({
  attempts: byDefault(2, aCount(0, MAX_ATTEMPTS)),
  baseDelay: byDefault("250ms", milliseconds()),
  maxDelay: byDefault("30s", milliseconds()),
  statuses: byDefault(DEFAULT_RETRY_STATUSES, checkStatuses),
});

function checkRetries(option: string, retries: unknown): RetrySettings {
  if (retries === false) return NO_RETRIES;
  const { baseDelay, maxDelay, ...settings } = RETRIES.read(retries, option);
  return { ...settings, baseDelayMs: baseDelay, maxDelayMs: maxDelay };
}

function checkStatuses(option: string, statuses: unknown): ReadonlySet<number> {
  const list = checkList(option, statuses) as readonly unknown[];
  return new Set(list.map((status, i) => checkCount(`${option}[${i}]`, status, 200, 999)));
}

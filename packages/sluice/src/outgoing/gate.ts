/**
 * What every outgoing request passes, whichever client sends it: it waits for its turn, and what the
 * answers say makes those behind it wait.
 */
import { MaxWaitExceededError } from "../core/errors.js";
import type { HeaderSource } from "../headers/header-source.js";
import { parseRateLimit, waitMsOf } from "../headers/parse.js";
import type { OutgoingPermit, OutgoingRequest, OutgoingSettings } from "./options.js";
import { Pauses } from "./pauses.js";
import { type TryOutcome, retryDelayMs } from "./retry.js";

/** One call of the user's: all its tries together. */
export interface Call {
  readonly key: string;
  readonly cost: number | undefined;
  readonly method: string;
  /** Whether the request can be sent again. */
  readonly isReplayable: boolean;
  readonly signal: AbortSignal | undefined;
  readonly patience: Patience;
  /** Tries that ended. */
  tries: number;
}

/** How much longer a call is ready to wait. Time under way to the server does not count. */
export class Patience {
  readonly #nowMs: () => number;
  #leftMs: number;
  #waitingSinceMs: number | undefined;

  constructor(maxWaitMs: number, nowMs: () => number) {
    this.#leftMs = maxWaitMs;
    this.#nowMs = nowMs;
  }

  /** Milliseconds in whole microseconds, 0 or more. */
  get leftMs(): number {
    const sinceMs = this.#waitingSinceMs;
    const leftMs = sinceMs === undefined ? this.#leftMs : this.#leftMs - (this.#nowMs() - sinceMs);
    return Math.max(0, Math.floor(leftMs * 1e3) / 1e3);
  }

  /** As an option of `acquire`. */
  get option(): { maxWait?: number } {
    const { leftMs } = this;
    return leftMs === Number.POSITIVE_INFINITY ? {} : { maxWait: leftMs };
  }

  /** Counts the time that `work` takes. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#waitingSinceMs = this.#nowMs();
    try {
      return await work();
    } finally {
      this.#leftMs = this.leftMs;
      this.#waitingSinceMs = undefined;
    }
  }
}

/** Gives the place back; to be called once or more. */
export type Release = () => void;

/** Only these say by Retry-After that the request was refused (RFC 9110 §10.2.3, RFC 6585 §4). */
const REFUSALS: ReadonlySet<number> = new Set([429, 503]);

export class Gate {
  readonly #settings: OutgoingSettings;
  readonly #pauses: Pauses;

  constructor(settings: OutgoingSettings) {
    this.#settings = settings;
    this.#pauses = new Pauses(settings.nowMs);
  }

  call(
    request: OutgoingRequest,
    isReplayable: boolean,
    signal: AbortSignal | null | undefined,
  ): Call {
    const { keyOf, costOf, maxWaitMs, nowMs } = this.#settings;
    return {
      key: keyOf === undefined ? request.url.origin : keyOf(request),
      cost: costOf?.(request),
      method: request.method,
      isReplayable,
      signal: signal ?? undefined,
      patience: new Patience(maxWaitMs, nowMs),
      tries: 0,
    };
  }

  /**
   * Resolves when the call may be sent: no server asks to wait, a permit is held and quota is taken.
   * Quota comes last, so that what was taken is used at once and the rate at the server is the
   * limiter's.
   */
  enter(call: Call): Promise<Release> {
    const { limiter, semaphore } = this.#settings;
    const { key, cost, patience } = call;
    const signal = call.signal === undefined ? {} : { signal: call.signal };
    return patience.during(async () => {
      await this.#waitForPause(call);
      const permit = await semaphore?.acquire(key, { ...patience.option, ...signal });
      const release = releaseOnce(permit);
      try {
        // An answer may ask for a pause while this call waits for quota. All that waited would then
        // start together when it is over, so they queue again.
        do {
          await this.#waitForPause(call);
          await limiter?.acquire(key, {
            ...(cost !== undefined && { cost }),
            ...patience.option,
            ...signal,
          });
        } while (this.#pauses.leftMs(key) > 0);
        call.signal?.throwIfAborted();
        return release;
      } catch (error) {
        release();
        throw error;
      }
    });
  }

  /**
   * Takes to heart what an answer says. Milliseconds after which the call should be tried again, or
   * undefined where the answer is the call's own.
   */
  answered(call: Call, status: number, headers: HeaderSource): number | undefined {
    const { retryAfterMs, ...limits } = parseRateLimit(headers);
    const hasRetryAfter = REFUSALS.has(status) && retryAfterMs !== undefined;
    const waitMs = hasRetryAfter ? retryAfterMs : waitMsOf(limits);
    if (this.#settings.obey) this.#pause(call.key, waitMs);
    return this.#retryDelayMs(call, { status, hasRetryAfter, waitMs });
  }

  /** As `answered`, for a try that got no answer. */
  failed(call: Call): number | undefined {
    const outcome = { status: undefined, hasRetryAfter: false, waitMs: 0 };
    return call.signal?.aborted === true ? undefined : this.#retryDelayMs(call, outcome);
  }

  /** Waits before the next try. */
  async backOff(call: Call, delayMs: number): Promise<void> {
    await call.patience.during(() => this.#settings.sleep(delayMs, call.signal));
  }

  #retryDelayMs(call: Call, outcome: TryOutcome): number | undefined {
    const { retries, random } = this.#settings;
    const delayMs = call.isReplayable
      ? retryDelayMs(retries, call.tries, call.method, outcome, random)
      : undefined;
    call.tries += 1;
    return delayMs !== undefined && delayMs <= call.patience.leftMs ? delayMs : undefined;
  }

  #pause(key: string, waitMs: number): void {
    const { limiter, share, maxPauseMs } = this.#settings;
    const ms = Math.min(waitMs, maxPauseMs);
    if (ms < 1 || !this.#pauses.extend(key, ms) || !share) return;
    void quietly(async () => limiter?.block?.(key, ms, { keepLonger: true }));
  }

  async #waitForPause({ key, patience, signal }: Call): Promise<void> {
    for (let ms = this.#pauses.leftMs(key); ms > 0; ms = this.#pauses.leftMs(key)) {
      if (ms > patience.leftMs) throw new MaxWaitExceededError(Math.ceil(ms));
      await this.#settings.sleep(ms, signal);
    }
    signal?.throwIfAborted();
  }
}

function releaseOnce(granted: OutgoingPermit | undefined): Release {
  let held = granted;
  return () => {
    const permit = held;
    held = undefined;
    void quietly(async () => permit?.release());
  };
}

/**
 * Ignores a failure: a permit that cannot be released ends with its lease, and other processes that miss a pause
 * learn of it from their own responses.
 */
async function quietly(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch {
    // As above.
  }
}

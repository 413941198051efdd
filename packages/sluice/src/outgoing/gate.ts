/**
 * What every outgoing request passes, whichever client sends it: it waits for its turn, and what the
 * answers say makes those behind it wait.
 */
import { firstOf } from "../core/abort.js";
import { MaxWaitExceededError } from "../core/errors.js";
import type { OutgoingPermit, OutgoingRequest, OutgoingSettings } from "./options.js";
import { Pauses } from "./pauses.js";
import { type TryOutcome, retryDelayMs } from "./retry.js";
import { type AnswerHead, wishOf } from "./wish.js";

/** One call of the user's: all its tries together. */
export interface Call {
  readonly request: OutgoingRequest;
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

/** Releases the permit; to be called once or more. */
export type Release = () => void;

export class OutgoingGate {
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
    const { costOf, maxWaitMs, nowMs } = this.#settings;
    return {
      request,
      key: this.#keyOf(request),
      cost: costOf?.(request),
      method: request.method,
      isReplayable,
      signal: signal ?? undefined,
      patience: new Patience(maxWaitMs, nowMs),
      tries: 0,
    };
  }

  /** Whether permits go back when an answer begins, rather than when its body is done. */
  get releasesAtHeaders(): boolean {
    return this.#settings.releasesAtHeaders;
  }

  /**
   * Resolves when the call may be sent: no server asks to wait, a permit is held and quota is taken.
   * Quota comes last, so that what was taken is used at once and the rate at the server is the
   * limiter's.
   */
  enter(call: Call): Promise<Release> {
    const { semaphore } = this.#settings;
    const { key, patience } = call;
    return patience.during(async () => {
      await this.#waitForPause(call);
      const giveBack = [releaseOnce(await semaphore?.acquire(key, this.#waitOptions(call)))];
      const release = (): void => {
        for (const give of giveBack) give();
      };
      try {
        giveBack.push(await this.#takeQuota(call));
        call.signal?.throwIfAborted();
        return release;
      } catch (error) {
        release();
        throw error;
      }
    });
  }

  /**
   * An answer may ask for a pause while calls wait for quota. All that waited would then start together when it is over,
   * so they queue again.
   */
  async #takeQuota(call: Call): Promise<Release> {
    const { limiter } = this.#settings;
    const { key, cost } = call;
    for (;;) {
      await this.#waitForPause(call);
      const options = { ...(cost !== undefined && { cost }), ...this.#waitOptions(call) };
      const granted: unknown = await limiter?.acquire(key, options);
      const release = releaseOnce(isPermit(granted) ? granted : undefined);
      if (this.#pauses.leftMs(key) === 0) return release;
      release();
    }
  }

  #waitOptions({ patience, signal }: Call): { maxWait?: number; signal?: AbortSignal } {
    return { ...patience.option, ...(signal !== undefined && { signal }) };
  }

  /**
   * Follows what an answer says about limits. Milliseconds after which the call should be tried again, or undefined if the
   * caller gets this answer.
   */
  answered(call: Call, answer: AnswerHead): number | undefined {
    const { obey, pauseStatuses, wallMs } = this.#settings;
    const { pauseMs, ...wish } = wishOf(answer, pauseStatuses, wallMs());
    if (obey && pauseMs >= 1) this.#pause(this.#keyToPause(call, answer.url), pauseMs);
    return this.#retryDelayMs(call, { status: answer.status, ...wish });
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

  #keyOf(request: OutgoingRequest): string {
    const { keyOf } = this.#settings;
    return keyOf === undefined ? request.url.origin : keyOf(request);
  }

  /**
   * The key of the origin that asked for the pause. After a redirect that is not the origin that was called, and a stranger
   * must not be able to pause that one: if both have the same key, no key is paused.
   */
  #keyToPause({ request, key }: Call, answeredBy = ""): string | undefined {
    if (answeredBy === "" || !URL.canParse(answeredBy)) return key;
    const url = new URL(answeredBy);
    if (url.origin === request.url.origin) return key;
    const keyOfOther = this.#keyOf({ ...request, url });
    return keyOfOther === key ? undefined : keyOfOther;
  }

  #retryDelayMs(call: Call, outcome: TryOutcome): number | undefined {
    const { retries, random } = this.#settings;
    const delayMs = call.isReplayable
      ? retryDelayMs(retries, call.tries, call.method, outcome, random)
      : undefined;
    call.tries += 1;
    if (delayMs === undefined) return undefined;
    // The next try would have to wait for the pause too.
    const waitMs = Math.max(delayMs, this.#pauses.leftMs(call.key));
    return waitMs <= call.patience.leftMs ? delayMs : undefined;
  }

  #pause(key: string | undefined, waitMs: number): void {
    const { limiter, share, maxPauseMs } = this.#settings;
    const ms = Math.min(waitMs, maxPauseMs);
    if (key === undefined || ms < 1 || !this.#pauses.extend(key, ms) || !share) return;
    void quietly(async () => limiter?.block?.(key, ms, { keepLonger: true }));
  }

  async #waitForPause({ key, patience, signal }: Call): Promise<void> {
    for (let ms = this.#pauses.leftMs(key); ms > 0; ms = this.#pauses.leftMs(key)) {
      if (ms > patience.leftMs) throw new MaxWaitExceededError(Math.ceil(ms));
      // A pause may last for an hour: a wait for its end must not outlast the limiter.
      const { signal: ended, end } = firstOf([signal, this.#settings.limiter?.closed]);
      try {
        await this.#settings.sleep(ms, ended);
      } finally {
        end();
      }
    }
    signal?.throwIfAborted();
  }
}

/** A `Semaphore` instead of a limiter grants permits. */
function isPermit(granted: unknown): granted is OutgoingPermit {
  return (
    typeof granted === "object" &&
    granted !== null &&
    typeof Reflect.get(granted, "release") === "function"
  );
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

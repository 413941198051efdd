/**
 * Policies that a function promises, by key: kept for a while, since the plans that they come from live in databases. A
 * key whose policies are older than that is decided by them once more, while newer ones are fetched.
 */
import { onAbort } from "../core/abort.js";
import { monotonicMs, startTimer } from "../core/clock.js";
import { type Duration, MAX_PERIOD_US } from "../core/duration.js";
import { InvalidOptionError, PolicyUnavailableError } from "../core/errors.js";
import { byDefault, aCount, milliseconds, optionReader } from "../core/options.js";

/** How long, and for how many keys, promised policies are kept. */
export interface PolicyCacheOptions {
  /** How old policies may be before newer ones are fetched, 0 to 366 days; default 10 s. */
  readonly maxAge?: Duration | undefined;
  /** Keys whose policies are kept at most, 1 to 1,000,000; default 10,000. When full the oldest goes. */
  readonly maxKeys?: number | undefined;
}

const OPTIONS = optionReader<PolicyCacheOptions>()({
  maxAge: byDefault("10s", milliseconds(0, MAX_PERIOD_US)),
  maxKeys: byDefault(10_000, aCount(1, 1e6)),
});
/** After a failed fetch, the longest wait before the next one for the key. */
const LONGEST_RETRY_MS = 1000;

interface Entry<T> {
  /** Undefined until the first fetch has succeeded. */
  known: T | undefined;
  /** From then on newer ones are fetched. */
  staleAtMs: number;
  pending: Promise<T> | undefined;
  /** When the last fetch began, and which one it is. */
  askedAtMs: number;
  asked: number;
  /** Which fetch the known policies are of: one that was overtaken does not count. */
  answered: number;
}

export class PolicyCache<T extends object> {
  readonly #maxAgeMs: number;
  readonly #maxKeys: number;
  /** A fetch that takes longer does not keep others from asking. */
  readonly #timeoutMs: number;
  readonly #entries = new Map<string, Entry<T>>();
  /** Called if a fetch failed while older policies stay in force. */
  readonly #failed: (error: Error, key: string) => void;

  constructor(
    options: PolicyCacheOptions | undefined = {},
    timeoutMs: number,
    failed: (error: Error, key: string) => void,
  ) {
    const { maxAge, maxKeys } = OPTIONS.read(options, "policyCache");
    this.#maxAgeMs = maxAge;
    this.#maxKeys = maxKeys;
    this.#timeoutMs = timeoutMs;
    this.#failed = failed;
  }

  /** Keys held, those whose policies are being fetched included. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * The policies of a key; promised if none are known yet. `choose` is asked if the known ones are too old, and what it
   * answers at once is not kept.
   */
  get(key: string, choose: () => T | Promise<T>): T | Promise<T> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#first(key, choose());
    if (this.#mayAsk(entry)) {
      const newer = this.#again(key, entry, choose);
      if (newer !== undefined) return newer;
    }
    return entry.known ?? (entry.pending as Promise<T>);
  }

  #mayAsk({ staleAtMs, pending, askedAtMs }: Entry<T>): boolean {
    const nowMs = monotonicMs();
    if (pending === undefined) return nowMs >= staleAtMs;
    // The timer of the waiting calls may fire a moment early.
    return nowMs - askedAtMs >= this.#timeoutMs - 1;
  }

  #first(key: string, chosen: T | Promise<T>): T | Promise<T> {
    if (!(chosen instanceof Promise)) return chosen;
    this.#makeRoom();
    const entry: Entry<T> = {
      known: undefined,
      staleAtMs: 0,
      pending: undefined,
      askedAtMs: 0,
      asked: 0,
      answered: 0,
    };
    this.#entries.set(key, entry);
    return this.#fetch(key, entry, chosen);
  }

  /** The newer policies, if the function has them at once; else they are fetched. */
  #again(key: string, entry: Entry<T>, choose: () => T | Promise<T>): T | undefined {
    try {
      const chosen = choose();
      if (!(chosen instanceof Promise)) {
        this.#entries.delete(key);
        return chosen;
      }
      void this.#fetch(key, entry, chosen);
    } catch (error) {
      this.#missed(key, entry, error as Error);
    }
    return undefined;
  }

  #fetch(key: string, entry: Entry<T>, chosen: Promise<T>): Promise<T> {
    const number = entry.asked + 1;
    entry.asked = number;
    entry.askedAtMs = monotonicMs();
    entry.pending = chosen;
    chosen.then(
      (known) => {
        if (number < entry.answered) return;
        entry.answered = number;
        entry.known = known;
        entry.staleAtMs = monotonicMs() + this.#maxAgeMs;
        if (entry.pending === chosen) entry.pending = undefined;
        if (this.#entries.get(key) !== entry) return;
        // The newest are the last to go.
        this.#entries.delete(key);
        this.#entries.set(key, entry);
      },
      (error: unknown) => {
        if (entry.pending === chosen) this.#missed(key, entry, error as Error);
      },
    );
    return chosen;
  }

  /** Known policies stay in force; if none are known, the next call asks again. */
  #missed(key: string, entry: Entry<T>, error: Error): void {
    entry.pending = undefined;
    entry.staleAtMs = monotonicMs() + Math.min(LONGEST_RETRY_MS, this.#maxAgeMs);
    if (entry.known !== undefined) this.#failed(error, key);
    else if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#maxKeys) return;
    const [oldest] = this.#entries.keys();
    this.#entries.delete(oldest as string);
  }
}

/**
 * What is promised, if it comes within `timeoutMs`.
 * @throws PolicyUnavailableError if not; what was misuse, or the signal's reason, as it is
 */
export function policiesInTime<T>(
  promised: Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject: (reason: unknown) => void) => {
    const end = (): void => {
      timer.cancel();
      endWatch?.();
    };
    const timer = startTimer(timeoutMs, () => {
      end();
      reject(new PolicyUnavailableError(`no policies for this key within ${timeoutMs} ms`));
    });
    const endWatch =
      signal &&
      onAbort(signal, () => {
        end();
        reject(signal.reason as Error);
      });
    promised.then(
      (policies) => {
        end();
        resolve(policies);
      },
      (error: unknown) => {
        end();
        reject(unavailable(error));
      },
    );
  });
}

/** A fetch that failed, as our error; misuse stays what it is. */
export function unavailable(error: unknown): Error {
  if (error instanceof InvalidOptionError) return error;
  return new PolicyUnavailableError("the policies of this key could not be fetched", {
    cause: error,
  });
}

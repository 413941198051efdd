/**
 * The end of a limiter, a semaphore or a store: everyone who waits is notified, and nothing begins after it. Closing is no
 * outage, so no fallback answers.
 */
import { firstOf, onAbort } from "./abort.js";
import { ClosedError } from "./errors.js";

/** What is closed, in words. */
export type Closable = "limiter" | "semaphore" | "policy set" | "store";

/** Limiters and semaphores that were dropped without `close` must not be kept by their store. */
const dropped = new FinalizationRegistry<() => void>((endWatch) => {
  endWatch();
});

export class Closing {
  /** A plain field, as the next one: both are read in every call. */
  isClosed = false;
  /** Whether the store is closed: then nothing can be sent any more, not even to give back. */
  isStoreClosed = false;
  /** Called once, when this is closed. They must not throw. */
  readonly listeners = new Set<() => void>();
  readonly #what: Closable;
  /** What was closed first: a limiter's own store is closed after it. */
  #closed: Closable | undefined;
  readonly #controller = new AbortController();
  /** How many waits go on, and who hears when none does. */
  #waits = 0;
  readonly #restListeners: (() => void)[] = [];
  #ended: Promise<void> | undefined;

  /** What uses a store ends with it: `storeClosed` is that store's `closed`. */
  constructor(what: Closable, storeClosed?: AbortSignal) {
    this.#what = what;
    if (storeClosed?.aborted === true) this.#endWithStore();
    else if (storeClosed !== undefined) this.#follow(storeClosed);
  }

  /** Fires when this is closed; its reason is a ClosedError. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A new one for everyone who gets it. */
  error(): ClosedError {
    return new ClosedError(this.#closed ?? this.#what);
  }

  throwIfClosed(): void {
    if (this.isClosed) throw this.error();
  }

  /** Closes, then does `work`: both once, however often it is called. */
  end(work: () => Promise<void>): Promise<void> {
    if (this.#ended === undefined) {
      this.isStoreClosed ||= this.#what === "store";
      this.#close(this.#what);
      this.#ended = work();
    }
    return this.#ended;
  }

  /** Runs `work` with a signal that aborts with the caller's own, or with a ClosedError once this is closed. */
  async during<T>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    this.throwIfClosed();
    // A signal takes longer to make than all else here: who has none of their own shares this one.
    const either = signal && firstOf([signal, this.signal]);
    this.#waits += 1;
    try {
      return await work(either?.signal ?? this.signal);
    } catch (error) {
      throw error === this.signal.reason && this.isClosed ? this.error() : error;
    } finally {
      this.#waits -= 1;
      either?.end();
      if (this.#waits === 0) for (const rests of this.#restListeners.splice(0)) rests();
    }
  }

  /** Resolves when everyone who waited has ended, and given back what that took. */
  async waitsEnded(): Promise<void> {
    if (this.#waits > 0) await new Promise<void>((rests) => this.#restListeners.push(rests));
  }

  #follow(storeClosed: AbortSignal): void {
    const ref = new WeakRef(this);
    const endWatch = onAbort(storeClosed, () => {
      const closing = ref.deref();
      if (closing !== undefined) closing.#endWithStore();
    });
    dropped.register(this, endWatch);
  }

  #endWithStore(): void {
    this.isStoreClosed = true;
    this.#close("store");
  }

  #close(what: Closable): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#closed = what;
    const listeners = [...this.listeners];
    this.listeners.clear();
    for (const listener of listeners) listener();
    this.#controller.abort(this.error());
  }
}

/**
 * The end of a limiter, a semaphore or a store: everyone who waits is notified, and nothing begins after it. Closing is no
 * outage, so no fallback answers.
 */
import { onAbort } from "./abort.js";
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
  readonly #waits = new Set<Promise<unknown>>();
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
    const controller = new AbortController();
    const close = (): void => {
      controller.abort(this.error());
    };
    this.listeners.add(close);
    const endWatch =
      signal &&
      onAbort(signal, () => {
        controller.abort(signal.reason);
      });
    const wait = work(controller.signal);
    this.#waits.add(wait);
    try {
      return await wait;
    } finally {
      this.#waits.delete(wait);
      this.listeners.delete(close);
      endWatch?.();
    }
  }

  /** Resolves when everyone who waited has ended, and given back what that took. */
  async waitsEnded(): Promise<void> {
    await Promise.allSettled(this.#waits);
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
    // Last in, first out: then no waiter behind it has been promised what each gives back.
    const listeners = [...this.listeners].toReversed();
    this.listeners.clear();
    for (const listener of listeners) listener();
    this.#controller.abort(this.error());
  }
}

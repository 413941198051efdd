/**
 * Many that wait on one signal, such as that of a process which shuts down, by one listener: Node takes more than ten
 * for a leak and says so.
 */
import { ClosedError, InvalidOptionError } from "./errors.js";
import { fieldOf, withoutText } from "./shown.js";

/** An AbortSignal of any realm, by its shape; undefined stays so. */
export function checkSignal(option: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || isSignal(value)) return value;
  const isController = isSignal(fieldOf(value, "signal"));
  const hint = isController ? { hint: "pass controller.signal" } : {};
  throw new InvalidOptionError(option, withoutText(value), "an AbortSignal", hint);
}

const METHODS = ["addEventListener", "removeEventListener", "throwIfAborted"];

function isSignal(value: unknown): value is AbortSignal {
  return (
    typeof fieldOf(value, "aborted") === "boolean" &&
    METHODS.every((method) => typeof fieldOf(value, method) === "function")
  );
}

/** Whether a call failed with `error` because its caller's signal fired, and not because something was closed. */
export function isAbortedBy(signal: AbortSignal | undefined, error: unknown): boolean {
  return signal?.aborted === true && error === signal.reason && !(error instanceof ClosedError);
}

/** A signal that aborts with the first of `signals`, and how to stop listening to them. */
export function firstOf(signals: readonly (AbortSignal | undefined)[]): {
  readonly signal: AbortSignal;
  readonly end: () => void;
} {
  const controller = new AbortController();
  const ends = signals.map((signal) => {
    const abort = (): void => {
      controller.abort(signal?.reason);
    };
    if (signal?.aborted === true) abort();
    return signal && onAbort(signal, abort);
  });
  return {
    signal: controller.signal,
    end: () => {
      for (const end of ends) end?.();
    },
  };
}

interface Waiting {
  readonly aborts: Set<() => void>;
  readonly listener: () => void;
}

const waitingOn = new WeakMap<AbortSignal, Waiting>();

/** Calls `abort` once when the signal aborts; what is returned ends that. `abort` must not throw. */
export function onAbort(signal: AbortSignal, abort: () => void): () => void {
  const { aborts } = waitingOn.get(signal) ?? listenTo(signal);
  aborts.add(abort);
  return () => {
    aborts.delete(abort);
    if (aborts.size === 0) leave(signal, aborts);
  };
}

function listenTo(signal: AbortSignal): Waiting {
  const aborts = new Set<() => void>();
  const listener = (): void => {
    waitingOn.delete(signal);
    for (const abort of aborts) abort();
  };
  const waiting = { aborts, listener };
  waitingOn.set(signal, waiting);
  signal.addEventListener("abort", listener, { once: true });
  return waiting;
}

function leave(signal: AbortSignal, aborts: Set<() => void>): void {
  const waiting = waitingOn.get(signal);
  // After an abort, or if the signal has a newer list by now, there is nothing to leave.
  if (waiting?.aborts !== aborts) return;
  waitingOn.delete(signal);
  signal.removeEventListener("abort", waiting.listener);
}

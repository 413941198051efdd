/**
 * Many that wait on one signal, such as that of a process which shuts down, by one listener: Node takes more than ten
 * for a leak and says so.
 */
import { InvalidOptionError } from "./errors.js";

/** An AbortSignal of any realm, by its shape; undefined stays so. */
export function checkSignal(option: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const { aborted, addEventListener, signal } = Object(value) as Readonly<Record<string, unknown>>;
  if (typeof aborted === "boolean" && typeof addEventListener === "function") {
    return value as AbortSignal;
  }
  const isController = typeof signal === "object" && signal !== null;
  const slip = isController ? ": pass controller.signal" : "";
  throw new InvalidOptionError(option, shapeOf(value), `an AbortSignal${slip}`);
}

function shapeOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? "another object" : value;
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
  // After an abort, or when others came meanwhile, there is nothing to leave.
  if (waiting?.aborts !== aborts) return;
  waitingOn.delete(signal);
  signal.removeEventListener("abort", waiting.listener);
}

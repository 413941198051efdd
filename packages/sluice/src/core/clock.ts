/** Time enters Sluice here and nowhere else: only this file touches Date, performance and timers. */
import { onAbort } from "./abort.js";
import { InvalidOptionError } from "./errors.js";
import { fieldOf, withoutText } from "./shown.js";

/** A source of time. Stores decide by `nowUs`; waiting uses `sleep`. */
export interface Clock {
  /** Integer microseconds since the Unix epoch. */
  nowUs(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Throws unless `clock` is one. */
export function checkClock(clock: unknown): Clock {
  const isClock = ["nowUs", "sleep"].every((name) => typeof fieldOf(clock, name) === "function");
  if (isClock) return clock as Clock;
  throw new InvalidOptionError("clock", withoutText(clock), "an object with nowUs() and sleep()");
}

/** The machine's timers take a signed 32-bit count of milliseconds; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How far the fine clock may stray from the system's before it is set again. */
const DRIFT_MS = 2;
const RECHECK_MS = 250;

/** The global is a getter, which a clock read millions of times a second should not go through. */
const monotonic = performance;

let anchorMs = performance.timeOrigin;
let recheckAtMs = 0;

/**
 * The system's clock with microseconds: Date.now() has only milliseconds, so the monotonic clock
 * carries the fraction, and a few times a second it is compared with the system's, which may step.
 */
function nowUs(): number {
  const sinceOriginMs = monotonic.now();
  if (sinceOriginMs >= recheckAtMs) {
    recheckAtMs = sinceOriginMs + RECHECK_MS;
    const systemMs = Date.now();
    if (Math.abs(systemMs - (anchorMs + sinceOriginMs)) > DRIFT_MS) {
      anchorMs = systemMs - sinceOriginMs;
    }
  }
  return Math.floor((anchorMs + sinceOriginMs) * 1e3);
}

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const endMs = performance.now() + ms;
  // A timer of the machine may fire up to a millisecond early: a caller would find its time not over yet.
  for (let left = ms; left > 0; left = endMs - performance.now()) await timer(left, signal);
  signal?.throwIfAborted();
}

function timer(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const started = startTimer(ms, () => {
      endWatch?.();
      resolve();
    });
    const endWatch =
      signal &&
      onAbort(signal, () => {
        started.cancel();
        reject(signal.reason as Error);
      });
  });
}

/** The machine's own clock. */
export const systemClock: Clock = Object.freeze({ nowUs, sleep });

/** Monotonic milliseconds, for measuring spans inside this process. */
export function monotonicMs(): number {
  return performance.now();
}

/**
 * Microseconds for measuring spans by any clock: the machine's may be set meanwhile, so its monotonic one counts; a
 * test's clock shows what has passed in the test.
 */
export function monotonicUs(clock: Clock): number {
  return clock === systemClock ? performance.now() * 1e3 : clock.nowUs();
}

/** A one-shot timer as a value: `ref` and `unref` say whether it keeps the process alive. */
export interface Timer {
  ref(): void;
  unref(): void;
  cancel(): void;
}

/** Calls `fire` once after `ms`, in parts where that is longer than a timer of the machine can be. */
export function startTimer(ms: number, fire: () => void): Timer {
  let leftMs = Math.ceil(ms);
  let keepsAlive = true;
  let handle: ReturnType<typeof setTimeout>;
  const start = (): void => {
    const partMs = Math.min(leftMs, LONGEST_TIMER_MS);
    leftMs -= partMs;
    handle = setTimeout(() => {
      if (leftMs > 0) start();
      else fire();
    }, partMs);
    if (!keepsAlive) letProcessEnd(handle);
  };
  start();
  return {
    ref: () => {
      keepsAlive = true;
      if (typeof handle === "object") handle.ref();
    },
    unref: () => {
      keepsAlive = false;
      letProcessEnd(handle);
    },
    cancel: () => {
      clearTimeout(handle);
    },
  };
}

/** Browsers number their timers and have no unref(): nothing there ends while a timer is pending. */
function letProcessEnd(handle: ReturnType<typeof setTimeout>): void {
  if (typeof handle === "object") handle.unref();
}

/**
 * Runs `task` when everything that the current tick has begun is done, promise reactions included where
 * the platform has process.nextTick.
 */
export const atEndOfTick: (task: () => void) => void =
  typeof process === "object" && typeof process.nextTick === "function"
    ? (task) => {
        process.nextTick(task);
      }
    : queueMicrotask;

/** Runs `task` after the events that are already waiting. */
export const inNextTurn: (task: () => void) => void =
  typeof setImmediate === "function"
    ? (task) => {
        setImmediate(task);
      }
    : (task) => {
        setTimeout(task);
      };

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

/** How far the wall clock may fall behind the fine one before it counts as set back. It has whole milliseconds only. */
const BEHIND_MS = 2;
/** Tries at reading both clocks at once, where the process is interrupted between the two. */
const READINGS = 5;
/** No jump of the wall clock leads past this: times stay whole numbers of µs with a century to spare. */
const LATEST_US = 5.8e15;

/** The wall clock with which this module began. One that took its place is a test's. */
const FIRST_DATE = Date;

/**
 * The machine's time, read twice over. `wallUs` is the wall clock, with microseconds that the monotonic clock carries.
 * `nowUs()` is the time that has passed: each reading moves on by what the one or the other moved, whichever is more.
 * So a wall clock set back changes nothing, the sleep of a machine counts, and a test's fake of both clocks or of
 * `Date` alone is followed at once: both are read through their globals.
 */
export class ElapsedClock implements Clock {
  /** The wall clock at the last reading: integer microseconds since the Unix epoch. */
  wallUs = 0;
  readonly sleep = sleep;
  /** What to add to the monotonic clock for the wall clock. */
  #anchorMs = 0;
  /** How far time that has passed is ahead of the wall clock. */
  #aheadUs = 0;
  #lastUs = 0;
  #lastMonotonicMs = 0;
  #lastSystemMs = 0;
  #monotonic: typeof performance | undefined;
  #date = FIRST_DATE;

  nowUs(): number {
    const monotonic = performance;
    const systemMs = Date.now();
    const monotonicNowMs = monotonic.now();
    const wallMs = this.#anchorMs + monotonicNowMs;
    const isSteady =
      monotonic === this.#monotonic &&
      monotonicNowMs >= this.#lastMonotonicMs &&
      wallMs >= systemMs &&
      wallMs - systemMs <= BEHIND_MS;
    if (!isSteady) return this.#moveOn();
    this.#lastMonotonicMs = monotonicNowMs;
    this.#lastSystemMs = systemMs;
    this.wallUs = Math.floor(wallMs * 1e3);
    this.#lastUs = this.wallUs + this.#aheadUs;
    return this.#lastUs;
  }

  /** A reading at which the two clocks moved apart, or one of them was exchanged. */
  #moveOn(): number {
    const monotonic = performance;
    let monotonicNowMs = monotonic.now();
    let systemMs = Date.now();
    for (let tries = 1; tries < READINGS; tries++) {
      const afterMs = monotonic.now();
      if (afterMs - monotonicNowMs < 1) break;
      monotonicNowMs = afterMs;
      systemMs = Date.now();
    }
    const isSame = monotonic === this.#monotonic && monotonicNowMs >= this.#lastMonotonicMs;
    const fineMs = isSame ? this.#anchorMs + monotonicNowMs : systemMs;
    const isNear = fineMs >= systemMs && fineMs - systemMs <= BEHIND_MS;
    const wallUs = Math.floor((isNear ? fineMs : systemMs) * 1e3);
    const byMonotonicUs = isSame ? (monotonicNowMs - this.#lastMonotonicMs) * 1e3 : 0;
    // That a test gives the real clock back is no time passed.
    const isGivenBack = Date !== this.#date && Date === FIRST_DATE;
    let byWallUs = isGivenBack ? 0 : wallUs - this.wallUs;
    // A step counts in full, from where the wall clock was and not from where the fine one had got to.
    if (!isGivenBack && systemMs - fineMs > BEHIND_MS) {
      byWallUs = (systemMs - this.#lastSystemMs) * 1e3;
    }
    if (this.#lastUs + byWallUs > LATEST_US) byWallUs = 0;
    const movedUs = Math.floor(Math.max(0, byMonotonicUs, byWallUs));
    this.#lastUs = this.#monotonic === undefined ? wallUs : this.#lastUs + movedUs;
    this.#aheadUs = this.#lastUs - wallUs;
    this.#anchorMs = (isNear ? fineMs : systemMs) - monotonicNowMs;
    this.wallUs = wallUs;
    this.#lastMonotonicMs = monotonicNowMs;
    this.#lastSystemMs = systemMs;
    this.#monotonic = monotonic;
    this.#date = Date;
    return this.#lastUs;
  }
}

const system = new ElapsedClock();

/** The wall clock with microseconds, followed at once where it is set. */
function nowUs(): number {
  system.nowUs();
  return system.wallUs;
}

/** A timer of the machine fires up to this much early. One that fires earlier is a test's, and says that its time is over. */
const EARLY_MS = 2;

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  // Under a fake of timers and Date alone the monotonic clock stands still.
  const endMs = system.nowUs() / 1e3 + ms;
  const mostLeftMs = EARLY_MS * Math.ceil(ms / LONGEST_TIMER_MS);
  for (let left = ms; left > 0; ) {
    await timer(left, signal);
    left = endMs - system.nowUs() / 1e3;
    if (left > mostLeftMs) break;
  }
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

/** Whether waits by this clock are timers of the machine. */
export function usesMachineTimers(clock: Clock): boolean {
  return clock.sleep === sleep;
}

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

/** Kept, since a test's fake of it runs nothing until told to. */
const firstSetImmediate = globalThis.setImmediate as typeof setImmediate | undefined;
const firstSetTimeout = setTimeout;

/** Resolves when what was ready has run, promise reactions included, whatever timers a test has faked. */
export function whenSettled(): Promise<void> {
  return new Promise((resolve) => {
    if (firstSetImmediate === undefined) firstSetTimeout(resolve);
    else firstSetImmediate(resolve);
  });
}

/** Runs `task` after the events that are already waiting. */
export const inNextTurn: (task: () => void) => void =
  typeof setImmediate === "function"
    ? (task) => {
        setImmediate(task);
      }
    : (task) => {
        setTimeout(task);
      };

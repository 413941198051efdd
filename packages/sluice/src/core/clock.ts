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
export function checkClock(option: string, clock: unknown): Clock {
  const isClock = ["nowUs", "sleep"].every((name) => typeof fieldOf(clock, name) === "function");
  if (isClock) return clock as Clock;
  throw new InvalidOptionError(option, withoutText(clock), "an object with nowUs() and sleep()");
}

/** The machine's timers take a signed 32-bit count of milliseconds; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How far the wall clock may fall behind the fine one before it counts as set back. It has whole milliseconds only. */
const BEHIND_MS = 2;
/** How often both clocks are read, since the process may be interrupted between the two readings. */
const READINGS = 5;
/** No jump of the wall clock leads past this: times stay whole numbers of µs with a century to spare. */
const LATEST_US = 5.8e15;

/** Positions in an ElapsedClock's numbers: what to add to the monotonic clock for the wall clock, */
const ANCHOR_MS = 0;
/** the two clocks at the last reading, */
const MONOTONIC_MS = 1;
const SYSTEM_MS = 2;
/** and how far the time that has passed is ahead of the wall clock. */
const AHEAD_US = 3;
/** and the monotonic clock when the wall clock was read last. */
const READ_MS = 4;
const LAST_NUMBERS = 5;
type Numbers = readonly [anchorMs: number, monotonicMs: number, systemMs: number, aheadUs: number];

/** The clocks with which this module began. If others have replaced them, a test did that. */
const FIRST_DATE = Date;
const FIRST_DATE_NOW = Date.now;
const FIRST_PERFORMANCE = performance;
const FIRST_PERFORMANCE_NOW: unknown = Reflect.get(performance, "now");
/** The machine's own wall clock is read once in a millisecond, since that costs as much as all the rest of a reading. */
const READ_EVERY_MS = 1;
/**
 * Whether this module began with V8's own wall clock, which is the machine's until something replaces it. A fake that was
 * installed before this module, and engines that fake it in place, as Bun does, have another source text.
 */
const BEGAN_WITH_MACHINE = String(Date.now) === "function now() { [native code] }";

/**
 * The machine's time, read twice over. `wallUs` is the wall clock, with microseconds that the monotonic clock carries.
 * `nowUs()` is the time that has passed: each reading moves on by what the one or the other moved, whichever is more.
 * So a wall clock set back changes nothing, the sleep of a machine counts, and a test's fake of both clocks or of
 * `Date` alone is followed at once: both are read through their globals. The machine's own wall clock is followed within a
 * millisecond.
 */
export class ElapsedClock implements Clock {
  readonly sleep = sleep;
  /** Numbers that each reading sets, in a typed array, because V8 would allocate a heap number for each field of an object. */
  readonly #last = new Float64Array(LAST_NUMBERS);
  #monotonic: typeof performance | undefined;
  #date = FIRST_DATE;

  /** The wall clock at the last reading: integer microseconds since the Unix epoch. */
  get wallUs(): number {
    const last = this.#last;
    return Math.floor(((last[ANCHOR_MS] as number) + (last[MONOTONIC_MS] as number)) * 1e3);
  }

  nowUs(): number {
    const last = this.#last;
    if (this.#isOfMachine()) {
      const nowMs = FIRST_PERFORMANCE.now();
      const readMs = last[READ_MS] as number;
      if (nowMs >= (last[MONOTONIC_MS] as number) && nowMs < readMs + READ_EVERY_MS) {
        last[MONOTONIC_MS] = nowMs;
        return Math.floor(((last[ANCHOR_MS] as number) + nowMs) * 1e3) + (last[AHEAD_US] as number);
      }
    }
    const monotonic = performance;
    const systemMs = Date.now();
    const nowMs = monotonic.now();
    const wallMs = (last[ANCHOR_MS] as number) + nowMs;
    const isSteady =
      monotonic === this.#monotonic &&
      nowMs >= (last[MONOTONIC_MS] as number) &&
      wallMs >= systemMs &&
      wallMs - systemMs <= BEHIND_MS;
    if (!isSteady) return this.#moveOn();
    last[MONOTONIC_MS] = nowMs;
    last[SYSTEM_MS] = systemMs;
    last[READ_MS] = nowMs;
    return Math.floor(wallMs * 1e3) + (last[AHEAD_US] as number);
  }

  /** Whether both clocks are those of the machine, as they were at the last reading. */
  #isOfMachine(): boolean {
    return (
      BEGAN_WITH_MACHINE &&
      this.#monotonic === FIRST_PERFORMANCE &&
      Date === FIRST_DATE &&
      Date.now === FIRST_DATE_NOW &&
      FIRST_PERFORMANCE.now === FIRST_PERFORMANCE_NOW
    );
  }

  /** A reading at which the two clocks moved apart, or one of them was exchanged. */
  #moveOn(): number {
    const [anchorMs, monotonicBeforeMs, systemBeforeMs, aheadUs] = this.#last as unknown as Numbers;
    const monotonic = performance;
    let nowMs = monotonic.now();
    let systemMs = Date.now();
    for (let tries = 1; tries < READINGS; tries++) {
      const afterMs = monotonic.now();
      if (afterMs - nowMs < 1) break;
      nowMs = afterMs;
      systemMs = Date.now();
    }
    const isSame = monotonic === this.#monotonic && nowMs >= monotonicBeforeMs;
    const fineMs = isSame ? anchorMs + nowMs : systemMs;
    const isNear = fineMs >= systemMs && fineMs - systemMs <= BEHIND_MS;
    const wallBeforeUs = this.wallUs;
    const lastUs = wallBeforeUs + aheadUs;
    const isFirst = this.#monotonic === undefined;
    // The sum as it will be read again, to the last bit.
    const nextAnchorMs = isNear && isSame ? anchorMs : systemMs - nowMs;
    const wallUs = Math.floor((nextAnchorMs + nowMs) * 1e3);
    const byMonotonicUs = isSame ? (nowMs - monotonicBeforeMs) * 1e3 : 0;
    // When a test restores the real clock, no time has passed.
    const isGivenBack = Date !== this.#date && Date === FIRST_DATE;
    let byWallUs = isGivenBack ? 0 : wallUs - wallBeforeUs;
    // A step counts in full: from the last time of the wall clock, and not of the fine one.
    if (!isGivenBack && systemMs - fineMs > BEHIND_MS) byWallUs = (systemMs - systemBeforeMs) * 1e3;
    if (lastUs + byWallUs > LATEST_US) byWallUs = 0;
    const elapsedUs = isFirst ? wallUs : lastUs + Math.floor(Math.max(0, byMonotonicUs, byWallUs));
    this.#last.set([nextAnchorMs, nowMs, systemMs, elapsedUs - wallUs, nowMs]);
    this.#monotonic = monotonic;
    this.#date = Date;
    return elapsedUs;
  }
}

const system = new ElapsedClock();

/** The wall clock with microseconds; when the clock is set, this follows at once. */
function nowUs(): number {
  system.nowUs();
  return system.wallUs;
}

/** A timer of the machine fires up to this much early. One that fires earlier is a test's, and says that its time is over. */
const EARLY_MS = 2;

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const beganMs = performance.now();
  const endMs = system.nowUs() / 1e3 + ms;
  const mostLeftMs = EARLY_MS * Math.ceil(ms / LONGEST_TIMER_MS);
  for (let left = ms; left > 0; ) {
    await timer(left, signal);
    // The elapsed time may be a few µs ahead of the monotonic clock, and a timer must not fire even that much too early. If
    // a test fakes only timers and Date, the monotonic clock stops, or shows how long the test takes.
    const passedMs = setTimeout === firstSetTimeout ? performance.now() - beganMs : 0;
    left = passedMs > 0 ? ms - passedMs : endMs - system.nowUs() / 1e3;
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

/**
 * The machine's own clock, by which a MemoryStore decides if it is given none: `nowUs()` is the wall clock with
 * microseconds, and `sleep` fires neither early nor, for waits of any length, at once.
 *
 * @example
 * import { systemClock } from "sluice";
 * console.log(Number.isInteger(systemClock.nowUs())); // true
 */
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
 * Microseconds for measuring spans by any clock: the machine's wall clock may be set in between, so its monotonic clock
 * counts; a test's clock shows what has passed in the test.
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

/** Calls `fire` once after `ms`, in parts if that is longer than the longest timer. */
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
 * Runs `task` when everything that the current tick has begun is done, promise reactions included if the platform has
 * process.nextTick.
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

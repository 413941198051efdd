/** Waiting for what comes in its own time, however busy the machine is. */
import { monotonicMs, startTimer, systemClock } from "../../core/clock.js";

/** What has not come by then never will; tests of the suite itself have less patience with what they know to be wrong. */
export const patience = { longestMs: 60_000 };
const INTERVAL_MS = 5;

/** Resolves when `check` no longer throws; rejects with its last error. */
export async function eventually(check: () => void | Promise<void>): Promise<void> {
  const beganMs = monotonicMs();
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (monotonicMs() - beganMs > patience.longestMs) throw error;
    }
    await systemClock.sleep(INTERVAL_MS);
  }
}

/** The result of `promise`; rejects if it does not settle in time. */
export async function patiently<T>(promise: Promise<T>, what: string): Promise<T> {
  let end: () => void = () => undefined;
  const tooLate = new Promise<never>((_, reject) => {
    const { longestMs } = patience;
    const timer = startTimer(longestMs, () => {
      reject(new Error(`${what} did not come within ${longestMs / 1e3} s`));
    });
    end = () => {
      timer.cancel();
    };
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    end();
  }
}

/**
 * For what must be done while a request is under way: on a machine that stops for a moment, it may be over too soon, and
 * then `attempt` answers false, to be made once more.
 *
 * @throws Error `failure`, if no attempt was soon enough
 */
export async function inTime(failure: string, attempt: () => Promise<boolean>): Promise<void> {
  const beganMs = monotonicMs();
  while (!(await attempt())) {
    if (monotonicMs() - beganMs > patience.longestMs) throw new Error(failure);
  }
}

/** Something that happens once, for others to wait for. */
export class Happening<T = void> {
  readonly #promise: Promise<T>;
  #resolve: (value: T) => void = () => undefined;

  constructor() {
    this.#promise = new Promise<T>((resolve) => {
      this.#resolve = resolve;
    });
  }

  has(value: T): void {
    this.#resolve(value);
  }

  wait(what: string): Promise<T> {
    return patiently(this.#promise, what);
  }
}

/** Waits for what another program answers, and not for ever. */
import { onAbort } from "../../core/abort.js";
import { startTimer } from "../../core/clock.js";

export interface WaitLimits {
  readonly ms: number;
  /** Ends the wait with its reason. */
  readonly closed?: AbortSignal;
  /** Whether this wait alone keeps the process alive. */
  readonly keepsAlive: boolean;
}

/** Rejects when `work` has not settled in `ms`, as with a server that accepts but never answers, or `closed` fires. */
export async function withinTime(
  work: Promise<unknown>,
  { ms, closed, keepsAlive }: WaitLimits,
): Promise<void> {
  let end = (): void => {};
  const tooLong = new Promise((_, reject: (error: Error) => void) => {
    const timer = startTimer(ms, () => {
      reject(new Error(`no answer within ${ms} ms`));
    });
    if (!keepsAlive) timer.unref();
    const endWatch =
      closed &&
      onAbort(closed, () => {
        reject(closed.reason as Error);
      });
    end = () => {
      timer.cancel();
      endWatch?.();
    };
  });
  try {
    await Promise.race([work, tooLong]);
  } finally {
    end();
  }
}

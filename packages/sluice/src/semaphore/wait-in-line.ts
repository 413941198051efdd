/** A wait for a permit: it is counted, and listeners hear of its begin and end. */
import { isAbortedBy } from "../core/abort.js";
import { MaxWaitExceededError } from "../core/errors.js";
import type { WaitBegun } from "../events/events.js";
import { beginWait } from "../events/wait-counts.js";
import type { Caller } from "./caller.js";
import type { HeldPermit } from "./permit.js";
import type { WaitQueue } from "./wait-queue.js";
import type { WaitRequest } from "./waiter.js";

/**
 * Waits until there is a permit. Without listeners the caller gets the queue's own promise, because each turn of a promise
 * leaves the permit unused.
 */
export function waitInLine(
  queue: WaitQueue,
  request: WaitRequest,
  about: Omit<WaitBegun, "wait">,
  { events, counts, closing }: Pick<Caller, "events" | "counts" | "closing">,
): Promise<HeldPermit> {
  const { end } = beginWait(events, counts.waits, about);
  const ended = (error: unknown): void => {
    if (error === undefined) end({ outcome: "started", lateMs: 0 });
    else if (error instanceof MaxWaitExceededError) end({ outcome: "refused", lateMs: 0 });
    else {
      const aborted = isAbortedBy(request.signal, error);
      end({ outcome: "failed", lateMs: 0, error, aborted });
    }
  };
  if (events.to.waitEnded === undefined) return queue.acquire(request, ended);
  // A listener must run in its caller's AsyncLocalStorage: in a reaction to a promise that the caller's turn made.
  return queue.acquire(request).then(
    (permit) => {
      ended(undefined);
      // Closed since the grant: then it was given back.
      closing.throwIfClosed();
      return permit;
    },
    (error: unknown) => {
      ended(error);
      throw error;
    },
  );
}

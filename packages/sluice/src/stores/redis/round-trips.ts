/** Round trips of scripts: each is counted, and ends with the store at the latest. */
import { monotonicMs } from "../../core/clock.js";
import type { Closing } from "../../core/closing.js";
import { endedBy, removeFrom } from "../../core/few.js";
import type { Events } from "../../events/events.js";
import type { StoreCounts } from "../store-counts.js";
import type { AskScript, RunScript } from "./clients/client.js";

export interface RoundTripOptions {
  /** The store's. */
  readonly closing: Closing;
  readonly events: Events;
  readonly counts: StoreCounts;
}

/** `ask` until the store is closed: then what is under way, and all that comes, rejects. What it throws, it rejects with. */
export function endingWithStore(
  ask: AskScript,
  { closing, counts, events }: RoundTripOptions,
): RunScript {
  const underWay = endedBy(closing);
  return (...script) =>
    new Promise((resolve, reject: (error: Error) => void) => {
      if (closing.isClosed) {
        reject(closing.error());
        return;
      }
      const close = (): void => reject(closing.error());
      const beganMs = monotonicMs();
      const ended = (error: Error | undefined): void => {
        removeFrom(underWay, close);
        const durationMs = monotonicMs() - beganMs;
        counts.tripMs[error === undefined ? "ok" : "error"].observe(durationMs);
        events.to.roundTrip?.({ durationMs, error });
      };
      const failed = (error: unknown): void => {
        ended(error as Error);
        reject(error as Error);
      };
      underWay.push(close);
      try {
        const replied = (reply: unknown): void => {
          ended(undefined);
          resolve(reply);
        };
        ask(...script, replied, failed);
      } catch (error) {
        failed(error);
      }
    });
}

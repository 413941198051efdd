/** Events for listeners: a batch begins, and how it ended. */
import { monotonicMs } from "../core/clock.js";
import { type BatchBegun, type Events, nextSpan } from "../events/events.js";

/** Whether there is a listener: else nothing need be found out about a batch. */
export function isHeardOfBatches({ to }: Events): boolean {
  return to.batchBegun !== undefined || to.batch !== undefined;
}

/** Emits that a batch begins; what is returned emits that it has ended. */
export function batchBegins(
  events: Events,
  begun: Omit<BatchBegun, "batch">,
): (error: Error | undefined) => void {
  const beganMs = monotonicMs();
  const batch = nextSpan();
  const { size, part } = begun;
  events.to.batchBegun?.({ batch, ...begun });
  return (error) => {
    const durationMs = monotonicMs() - beganMs;
    events.to.batch?.({ batch, size, part, durationMs, error });
  };
}

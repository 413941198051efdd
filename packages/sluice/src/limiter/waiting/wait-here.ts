/** The wait of one who was decided for in this process, because the store is away. */
import { VERBS } from "../../algorithms/decide.js";
import { monotonicMs, monotonicUs, systemClock } from "../../core/clock.js";
import { asStoreError } from "../../core/errors.js";
import type { Pipeline } from "../pipeline.js";
import { outageLineOf } from "./outage-line.js";
import type { Reservation, ReserveRequest } from "./reserve.js";

/**
 * Waits for the start that was promised here: how late it came, in milliseconds. Undefined if it is worth asking again:
 * after a refusal, or since the store is back. Then what was promised here is given up.
 */
export async function waitHere(
  limiter: Pipeline,
  { key, slot, signal }: ReserveRequest,
  reservation: Reservation,
  leftMs: number,
): Promise<number | undefined> {
  const { store } = limiter;
  const clock = store.clock ?? systemClock;
  const beganAtUs = monotonicUs(clock);
  const giveUp = async (): Promise<void> => {
    if (reservation.allowed) await reservation.cancel();
  };
  try {
    const delayMs = reservation.allowed
      ? reservation.delayMs
      : Math.min(reservation.retryAfterMs, leftMs);
    const { call } = await limiter.prepare({ verb: VERBS.peek, key, slot, cost: 0 });
    const line = outageLineOf(store, store.partOf?.(call) ?? "");
    const how = await line.wait({
      delayMs,
      signal,
      // A question about the key, which counts nothing. Each time another: one without an answer is marked so.
      isBack: async () => {
        const answer = limiter.outcomeOf({ ...call }, undefined, monotonicMs());
        return !((await answer.catch(asStoreError)) instanceof Error);
      },
      leave: () => void giveUp(),
    });
    if (how === "back" || !reservation.allowed) return undefined;
    return (monotonicUs(clock) - beganAtUs) / 1e3 - reservation.delayMs;
  } catch (error) {
    await giveUp();
    throw error;
  }
}

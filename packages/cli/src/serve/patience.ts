/** How long those who close wait. */
import { setTimeout as sleep } from "node:timers/promises";

/** Resolves when `closed` does; calls `force` if that takes longer than `withinMs`. */
export async function closedWithin(
  closed: Promise<unknown>,
  withinMs: number,
  force: () => void,
): Promise<void> {
  const patience = new AbortController();
  const late = sleep(withinMs, undefined, { signal: patience.signal, ref: false }).then(
    force,
    () => {},
  );
  await closed;
  patience.abort();
  await late;
}

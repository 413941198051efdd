/** The way back of units that were taken ahead and not spent. */
import { UNIT } from "../../core/amount.js";
import { monotonicMs } from "../../core/clock.js";
import { asStoreError } from "../../core/errors.js";
import { keyWithoutSlot } from "../../core/key.js";
import type { Outcome, StoreCall } from "../../stores/store.js";
import type { LimiterCounts } from "../counts.js";
import type { Shortcuts } from "./shortcuts.js";

/** Who took them. */
export interface UnitsOwner {
  readonly shortcuts: Pick<Shortcuts, "expire" | "forget">;
  readonly counts: LimiterCounts;
  outcomeOf(
    call: StoreCall,
    signal: undefined,
    atMs: number,
    options: { readonly instead: "thrown" },
  ): Promise<Outcome>;
  failed(error: Error, of: { readonly key: string; readonly cost: number }): void;
}

/** No caller waits for this, so a failure is only reported. Never rejects. */
export async function returnUnits(owner: UnitsOwner, key: string, call: StoreCall): Promise<void> {
  const { shortcuts, counts } = owner;
  shortcuts.expire(key);
  const outcome = await owner
    .outcomeOf(call, undefined, monotonicMs(), { instead: "thrown" })
    .catch(asStoreError);
  const units = (call.debits[0]?.cost ?? 0) / UNIT;
  if (!(outcome instanceof Error)) {
    counts.prefetchReturned += units;
    shortcuts.forget(key);
  } else {
    counts.prefetchLost += units;
    shortcuts.expire(key);
    owner.failed(outcome, { key: keyWithoutSlot(key), cost: units });
  }
}

/** Merges the ids that processes listed in several minutes, with the bounds of their counts. */
import type { ListedIds } from "./denied-ids.js";
import type { DeniedId } from "./view.js";

/** How many ids of a policy are shown. */
const MOST_SHOWN = 100;

/** `unlistedAtMost` bounds the count of every id that is not shown. */
export interface MergedIds {
  readonly topDenied: readonly DeniedId[];
  readonly unlistedAtMost: number;
}

export function mergeIds(lists: readonly ListedIds[]): MergedIds {
  const floors = lists.reduce((sum, { floor }) => sum + floor, 0);
  const found = new Map<string, { atLeast: number; atMost: number }>();
  for (const { floor, ids } of lists) {
    for (const { key, count, error } of ids) {
      // If a list lacks the id, it may have been denied as often as that list's floor.
      const sums = found.get(key) ?? { atLeast: 0, atMost: floors };
      sums.atLeast += count - error;
      sums.atMost += count - floor;
      found.set(key, sums);
    }
  }
  const all = [...found]
    .map(([id, sums]) => ({ id, ...sums }))
    .sort((a, b) => b.atLeast - a.atLeast || b.atMost - a.atMost || (a.id < b.id ? -1 : 1));
  const topDenied = all.slice(0, MOST_SHOWN);
  const hidden = all.slice(MOST_SHOWN).map(({ atMost }) => atMost);
  return { topDenied, unlistedAtMost: hidden.reduce((most, each) => Math.max(most, each), floors) };
}

/** Which sets of policies use a space of a store: whether a line's buckets are charged by that line alone. */
import type { Store } from "../stores/store.js";

const users = new WeakMap<Store, Map<string, Map<string, number>>>();

/** The sets that use a space, with how many limiters each. */
function setsOf(store: Store, space: string): Map<string, number> {
  let spaces = users.get(store);
  if (spaces === undefined) {
    spaces = new Map();
    users.set(store, spaces);
  }
  let sets = spaces.get(space);
  if (sets === undefined) {
    sets = new Map();
    spaces.set(space, sets);
  }
  return sets;
}

export function joinSet(store: Store, space: string, set: string): void {
  const sets = setsOf(store, space);
  sets.set(set, (sets.get(set) ?? 0) + 1);
}

export function leaveSet(store: Store, space: string, set: string): void {
  const sets = setsOf(store, space);
  const left = (sets.get(set) ?? 0) - 1;
  if (left > 0) sets.set(set, left);
  else sets.delete(set);
  if (sets.size === 0) users.get(store)?.delete(space);
}

/** Whether limiters with other sets use the space too. */
export function isShared(store: Store, space: string): boolean {
  return (users.get(store)?.get(space)?.size ?? 0) > 1;
}

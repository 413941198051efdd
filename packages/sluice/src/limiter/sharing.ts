/** Which sets of policies use a keyspace of a store: whether a line's buckets are charged by that line alone. */
import type { Store } from "../stores/store.js";

const users = new WeakMap<Store, Map<string, Map<string, number>>>();

/** The sets that use a keyspace, with how many limiters each. */
function setsOf(store: Store, keyspace: string): Map<string, number> {
  let keyspaces = users.get(store);
  if (keyspaces === undefined) {
    keyspaces = new Map();
    users.set(store, keyspaces);
  }
  let sets = keyspaces.get(keyspace);
  if (sets === undefined) {
    sets = new Map();
    keyspaces.set(keyspace, sets);
  }
  return sets;
}

export function joinSet(store: Store, keyspace: string, set: string): void {
  const sets = setsOf(store, keyspace);
  sets.set(set, (sets.get(set) ?? 0) + 1);
}

export function leaveSet(store: Store, keyspace: string, set: string): void {
  const sets = setsOf(store, keyspace);
  const left = (sets.get(set) ?? 0) - 1;
  if (left > 0) sets.set(set, left);
  else sets.delete(set);
  if (sets.size === 0) users.get(store)?.delete(keyspace);
}

/** Whether limiters with other sets use the keyspace too. */
export function isShared(store: Store, keyspace: string): boolean {
  return (users.get(store)?.get(keyspace)?.size ?? 0) > 1;
}

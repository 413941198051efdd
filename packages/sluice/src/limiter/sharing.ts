/** Which sets of policies use a keyspace of a store: whether a line's buckets are charged by that line alone. */
import { Holders } from "../stores/keyspaces.js";
import type { Store } from "../stores/store.js";

const users = new WeakMap<Store, Map<string, Map<string, Holders>>>();

/** Tells functions apart. */
/** The sets that use a keyspace, with the limiters that do. */
function setsOf(store: Store, keyspace: string): Map<string, Holders> {
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

export function joinSet(store: Store, keyspace: string, set: string, holder: object): void {
  const sets = setsOf(store, keyspace);
  const holders = sets.get(set) ?? new Holders();
  holders.add(holder);
  sets.set(set, holders);
}

export function leaveSet(store: Store, keyspace: string, set: string, holder: object): void {
  const sets = setsOf(store, keyspace);
  const holders = sets.get(set);
  holders?.delete(holder);
  if (holders?.isEmpty() === true) sets.delete(set);
  if (sets.size === 0) users.get(store)?.delete(keyspace);
}

/** Whether limiters with other sets use the keyspace too; not those that were dropped. */
export function isShared(store: Store, keyspace: string): boolean {
  const sets = users.get(store)?.get(keyspace);
  if (sets === undefined || sets.size <= 1) return false;
  for (const [set, holders] of sets) if (holders.isEmpty()) sets.delete(set);
  return sets.size > 1;
}

let functionsSeen = 0;
const functionNumbers = new WeakMap<object, number>();

/** Tells policy functions apart. */
export function numberOf(fn: object): number {
  let number = functionNumbers.get(fn);
  if (number === undefined) {
    functionsSeen += 1;
    number = functionsSeen;
    functionNumbers.set(fn, number);
  }
  return number;
}

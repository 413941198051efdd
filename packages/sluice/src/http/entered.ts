/** Which requests came to a gate: one that comes again was mounted twice. */

/**
 * On the request itself: to look it up in a set of all requests under way costs more than all else that a gate does in
 * memory. Holds the gate, or a set of those that it came to.
 */
const ENTERED = Symbol("sluice.entered");

/** Requests that take no mark. */
const unmarked = new WeakMap<object, Set<object>>();

interface Marked {
  [ENTERED]?: object;
}

/** Whether `raw` came to `gate` before; from now on it did. What is no object has no identity, and comes once each time. */
export function hasEntered(raw: unknown, gate: object): boolean {
  if (typeof raw !== "object" || raw === null) return false;
  const request = raw as Marked;
  const mark = request[ENTERED] ?? unmarked.get(raw);
  if (mark === gate) return true;
  if (mark instanceof Set) {
    if (mark.has(gate)) return true;
    mark.add(gate);
    return false;
  }
  try {
    request[ENTERED] = mark === undefined ? gate : new Set([mark, gate]);
  } catch {
    unmarked.set(raw, new Set([gate]));
  }
  return false;
}

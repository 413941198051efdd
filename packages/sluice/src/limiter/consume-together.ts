/** consumeAtomic for any keys: separate calls if a Cluster has the keys in several slots. */
import { CrossSlotError } from "../core/errors.js";
import type { Store } from "../stores/store.js";
import { type AtomicDecision, type AtomicRequest, consumeAtomic } from "./consume-atomic.js";

/** Stores on which keys of a call were found to be in different slots. */
const apart = new WeakSet<Store>();

/** All or nothing; if the keys are in different slots, each separately, and the answer says so. At least one request. */
export async function consumeTogether(
  requests: readonly AtomicRequest[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<AtomicDecision> {
  const { store } = (requests[0] as AtomicRequest).limiter;
  const [first, ...others] = requests.map(({ key, slot = key }) => slot);
  const areTogether = others.every((slot) => slot === first);
  if (!areTogether && apart.has(store)) {
    return consumeAtomic(requests, { ...options, atomic: false });
  }
  try {
    return await consumeAtomic(requests, options);
  } catch (error) {
    if (!(error instanceof CrossSlotError)) throw error;
    apart.add(store);
    return consumeAtomic(requests, { ...options, atomic: false });
  }
}

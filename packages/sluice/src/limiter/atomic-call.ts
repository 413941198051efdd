/** One store call out of the calls of several requests, and each one's part of the answer. */
import { VERBS } from "../algorithms/decide.js";
import { monotonicMs } from "../core/clock.js";
import type { Debit, DebitResult, Keyspace, Outcome, StoreCall } from "../stores/store.js";
import type { Pipeline } from "./pipeline.js";
import type { PreparedRequest } from "./request.js";

/** A request with what its limiter makes of it. */
export interface AtomicEntry extends PreparedRequest {
  readonly limiter: Pipeline;
}

/** One call out of several: debits of the same keyspace and id share one state, so their costs add up. */
export function joined(calls: readonly StoreCall[]): {
  call: StoreCall;
  places: readonly (readonly number[])[];
} {
  const debits: (Debit & { cost: number })[] = [];
  const known = new Map<Keyspace, Map<string, number>>();
  const places = calls.map((call) =>
    call.debits.map((debit) => {
      const { keyspace, id, cost } = debit;
      const inKeyspace = known.get(keyspace) ?? new Map<string, number>();
      const at = inKeyspace.get(id);
      if (at !== undefined) {
        (debits[at] as { cost: number }).cost += cost;
        return at;
      }
      known.set(keyspace, inKeyspace.set(id, debits.length));
      return debits.push({ ...debit }) - 1;
    }),
  );
  return { call: { verb: VERBS.consume, debits, blockUs: 0, maxWaitUs: 0 }, places };
}

/** What the store says to one call for the requests of several limiters, of which the first asks. */
export function outcomeTogether(
  call: StoreCall,
  limiters: readonly Pipeline[],
  signal: AbortSignal | undefined,
): Promise<Outcome> | undefined {
  // One for each request: a limiter that has two of them counts two that got no answer.
  const others = limiters.slice(1).map(({ guarded }) => guarded);
  return limiters[0]?.outcomeOf(call, signal, monotonicMs(), { others });
}

/** The part of a joint answer that concerns one of its calls. */
export function placed(outcome: Outcome, places: readonly number[]): Outcome {
  if (outcome instanceof Error) return outcome;
  return { ...outcome, debits: places.map((at) => outcome.debits[at] as DebitResult) };
}

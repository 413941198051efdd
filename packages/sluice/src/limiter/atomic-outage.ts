/**
 * What consumeAtomic comes to while the store is away. Those who decide locally do so together, all or nothing. One that
 * is closed denies for all, one that throws rejects, and then nothing is charged; one that is open has no vote.
 */
import { VERBS } from "../algorithms/decide.js";
import type { Decision } from "../core/decision.js";
import { type AtomicEntry, joined, placed } from "./atomic-call.js";
import type { LocalDecisions } from "./local/local-decisions.js";

type Decisions = Map<AtomicEntry, Decision>;
type LocalEntry = AtomicEntry & { readonly limiter: { readonly local: LocalDecisions } };

/** The decisions in spite of `error`, of all requests with a vote. Those made here are reported by the caller. */
export async function decideWithoutStore(
  voters: readonly AtomicEntry[],
  error: Error,
): Promise<Decisions> {
  const loud = voters.find(({ limiter }) => limiter.instead === "thrown");
  if (loud !== undefined) await loud.limiter.conclude(loud, error);
  const locals = voters.filter(isLocal);
  const others = voters.filter((voter) => !isLocal(voter));
  const isClosed = others.some(({ limiter }) => limiter.instead === "failClosed");
  const first = decideLocally(locals, true);
  const mayCharge = !isClosed && areAllowed(first);
  const asked = mayCharge
    ? others
    : others.map((each) => (each.limiter.instead === "failClosed" ? each : asPeek(each)));
  const answers = await Promise.all(asked.map(async (each) => each.limiter.conclude(each, error)));
  const decisions: Decisions = new Map(others.map((each, i) => [each, answers[i] as Decision]));
  const isCharged = mayCharge && areAllowed(decisions);
  for (const [entry, decision] of isCharged ? decideLocally(locals, false) : first) {
    entry.limiter.failed(error, entry.request, decision);
    decisions.set(entry, decision);
  }
  return decisions;
}

function isLocal(entry: AtomicEntry): entry is LocalEntry {
  return entry.limiter.local !== undefined;
}

/** Of all together; `asks` charges nothing. What the store denied before is denied to all. */
function decideLocally(locals: readonly LocalEntry[], asks: boolean): Decisions {
  const decisions: Decisions = new Map();
  const [first] = locals;
  if (first === undefined) return decisions;
  const { call, places } = joined(locals.map((each) => each.call));
  const verb = asks ? VERBS.peek : VERBS.consume;
  const outcome = first.limiter.local.store.decide({ ...call, verb });
  for (const [i, entry] of locals.entries()) {
    const { local } = entry.limiter;
    const own = placed(outcome, places[i] as readonly number[]);
    decisions.set(entry, local.held(entry)?.decision ?? local.conclude(entry, own));
  }
  return decisions;
}

function areAllowed(decisions: Decisions): boolean {
  return [...decisions.values()].every(({ allowed }) => allowed);
}

/** The same request, to be answered without a charge. */
function asPeek(entry: AtomicEntry): AtomicEntry {
  return { ...entry, request: { ...entry.request, verb: VERBS.peek } };
}

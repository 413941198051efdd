/**
 * One decision over several keys that a store inside the process makes at once: as `consumeAtomic` does, without a promise.
 * Each request brings its policies, and no two of them charge the same key of the same policy.
 */
import { VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { toThousandths, UNIT } from "../core/amount.js";
import type { Decision, PolicyVerdict } from "../core/decision.js";
import { checkKeyed } from "../core/key.js";
import type { Debit, DebitResult, StoreResult, SyncStore } from "../stores/store.js";
import type { BoundPolicies } from "./bound-policies.js";
import { decisionOf, unaskedDecision } from "./decisions.js";
import { overrideAnswer } from "./override-answer.js";
import type { Pipeline } from "./pipeline.js";
import { labelled } from "./report.js";
import { refill, type ReusableCall } from "./reusable-call.js";
import { verdictsSync } from "./shadows.js";

/** What is asked of one limiter. */
export interface AskedHere {
  readonly limiter: Pipeline;
  readonly key: string;
  readonly slot: string | undefined;
  readonly cost: number;
  readonly policy: readonly Policy[];
}

/** The same, ready to be decided. */
interface EntryHere {
  readonly asked: AskedHere;
  readonly bound: BoundPolicies;
  readonly call: ReusableCall;
  readonly answer: Decision | undefined;
  readonly hasVote: boolean;
}

/** Undefined if it takes more than one call of the store, or the store fails: nothing has happened then. */
export function consumeHere(
  store: SyncStore,
  requests: readonly AskedHere[],
): readonly Decision[] | undefined {
  const entries: EntryHere[] = [];
  for (const asked of requests) {
    const entry = prepared(asked);
    if (entry === undefined) return undefined;
    entries.push(entry);
  }
  const votes = votesOf(store, entries);
  if (votes === undefined) return undefined;
  const isCharged = votes.every((vote) => vote?.allowed !== false);
  return entries.map((entry, i) => answered(store, entry, votes[i], isCharged));
}

function prepared(asked: AskedHere): EntryHere | undefined {
  const { limiter, key, slot, cost, policy } = asked;
  limiter.closing.throwIfClosed();
  checkKeyed(asked);
  const thousandths = cost === 1 ? UNIT : toThousandths("cost", cost);
  const bound = limiter.resolver.resolveNow(key, policy, slot);
  const call = limiter.reusable.of(bound);
  if (call === undefined || limiter.blockForUs > 0) return undefined;
  refill(call, limiter.identify(key, slot), thousandths);
  const answer = overrideAnswer({ verb: VERBS.consume, cost }, bound, limiter.store.clock);
  const hasVote = limiter.enforce && bound.terms?.hasVote !== false;
  return { asked, bound, call, answer, hasVote };
}

/** What those that have a vote say, as one call; undefined if the store fails. */
function votesOf(
  store: SyncStore,
  entries: readonly EntryHere[],
): readonly (Decision | undefined)[] | undefined {
  const isDenied = entries.some(({ hasVote, answer }) => hasVote && answer?.allowed === false);
  const isAsked = ({ hasVote, answer }: EntryHere): boolean =>
    hasVote && !isDenied && answer === undefined;
  const debits: Debit[] = [];
  for (const entry of entries) if (isAsked(entry)) debits.push(entry.call.debits[0]);
  let result: StoreResult | undefined;
  if (debits.length > 0) {
    const call = { verb: VERBS.consume, debits, blockUs: 0, maxWaitUs: 0 };
    try {
      result = store.executeSync(call);
    } catch {
      return undefined;
    }
  }
  let at = 0;
  return entries.map((entry) => {
    const { hasVote, answer, bound, asked } = entry;
    if (!hasVote) return undefined;
    if (answer !== undefined) return answer;
    if (result === undefined) return unaskedDecision(bound, asked.limiter.store.clock);
    const { nowUs, granted, debits: results } = result;
    const debit = results[at++] as DebitResult;
    return decisionOf(bound, { nowUs, granted, debits: [debit] }, "store");
  });
}

/** Without a vote, it is asked separately, and charged by its own answer. */
function answered(
  store: SyncStore,
  { asked, bound, call, answer }: EntryHere,
  vote: Decision | undefined,
  isCharged: boolean,
): Decision {
  const { limiter, key, slot, cost, policy } = asked;
  if (vote === undefined) return limiter.consumeSync(store, key, { slot, cost, policy });
  let shadow: readonly PolicyVerdict[] | undefined;
  if (answer === undefined && call.beside.length > 0) {
    shadow = verdictsSync(limiter, { verb: VERBS.consume, key, cost }, call.beside, store);
  }
  // Nobody hears of a request that was itself allowed, but not charged because another was denied.
  const isHeard = isCharged || !vote.allowed;
  return isHeard
    ? limiter.reportNow(asked, bound, vote, shadow)
    : labelled(vote, bound.terms, shadow);
}

/** One decision over several limiters and identities of one store. */
import { VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { MAX_DEBITS } from "../algorithms/rule.js";
import type { Decision } from "../core/decision.js";
import { CrossSlotError, InvalidOptionError } from "../core/errors.js";
import { unchecked, byDefault, checkBoolean, checkList, optionReader } from "../core/options.js";
import { InWords, withoutText } from "../core/shown.js";
import { checkSignal } from "../core/abort.js";
import { checkKeyed, keyInSlot } from "../core/key.js";
import { toThousandths } from "../core/amount.js";
import type { StoreResult } from "../stores/store.js";
import { blockAfterDenial } from "./administer.js";
import { type AtomicEntry, joined, outcomeTogether, placed } from "./atomic-call.js";
import { decideWithoutStore } from "./atomic-outage.js";
import { decisionOf, unaskedDecision } from "./decisions.js";
import { refundRequest } from "./give-back.js";
import type { KeyedRequest } from "./options.js";
import type { Pipeline } from "./pipeline.js";
import { pipelineOf } from "./limiter-class.js";
import type { RateLimiter } from "./rate-limiter.js";
import { overrideAnswer } from "./override-answer.js";
import { labelled, undecided } from "./report.js";
import { isOnTrial } from "./bound-policies.js";
import { askShadows, hasShadowsToAsk } from "./shadows.js";
import { isDecidedHere, type LimiterAnswer, type PreparedRequest } from "./request.js";
import { restated } from "./restated.js";

/** One part of `consumeAtomic`. */
export interface AtomicRequest extends KeyedRequest {
  /** Whose policies decide; all limiters of a call share a store. */
  readonly limiter: RateLimiter;
  /** true: what it really cost is settled later, so that its denial starts no block; default false. */
  readonly settle?: boolean | undefined;
  /** Options of this request instead of the limiter's, as of `consume`. */
  readonly policy?: Policy | readonly Policy[] | undefined;
}

/** Options of `consumeAtomic`. */
export interface AtomicOptions {
  /**
   * Default true. false: each is asked separately, all in one tick, and if one denies, the others are refunded in the next.
   * Until then other calls may see them charged.
   */
  readonly atomic?: boolean | undefined;
  /** Ends the wait for an answer; the call may yet be counted. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS = optionReader<AtomicOptions>()({
  atomic: byDefault(true, checkBoolean),
  signal: checkSignal,
});
const REQUEST = optionReader<AtomicRequest>()({
  ...unchecked("limiter", "key", "cost", "slot", "policy"),
  settle: byDefault(false, checkBoolean),
});

/** What `consumeAtomic` answers. */
export interface AtomicDecision {
  /** Whether all were allowed; if not, nothing was taken. */
  readonly allowed: boolean;
  /** Each request's own decision. If one denied, the others were not charged, though they say that they would pass. */
  readonly decisions: readonly Decision[];
  /** false if each was asked separately. */
  readonly atomic: boolean;
}

/**
 * Consumes from several limiters and identities of one store, all or nothing, in one round trip. A limiter in shadow mode
 * is asked but has no vote. On a Cluster the keys must share a slot, or pass `atomic: false`; so too for more than 1,000
 * policies together. A limiter's `blockFor` blocks right after the denial, in a separate call.
 *
 * @throws InvalidOptionError
 * @example
 * import { consumeAtomic, MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * const store = new MemoryStore();
 * const perUser = new RateLimiter({ policy: tokenBucket({ name: "user", limit: 5, period: "1s" }), store });
 * const perTeam = new RateLimiter({ policy: tokenBucket({ name: "team", limit: 20, period: "1s" }), store });
 * const { allowed } = await consumeAtomic([
 *   { limiter: perUser, key: "alice" },
 *   { limiter: perTeam, key: "blue", cost: 2 },
 * ]);
 * console.log(allowed); // true
 */
export async function consumeAtomic(
  given: readonly AtomicRequest[],
  options: AtomicOptions = {},
): Promise<AtomicDecision> {
  const { atomic, signal } = OPTIONS.read(options);
  checkList("requests", given);
  // Copies, all of them checked before the first is asked: the caller may change them while one after another is.
  const requests = given.map(checkedRequest);
  const limiters = requests.map((request, i) => pipelineFor(request, i, requests));
  if (requests.length === 0) return { allowed: true, decisions: [], atomic };
  if (!atomic) return consumeApart(requests, signal);

  // Each has one policy at least: too many are refused before they are hashed.
  let debits = requests.length;
  const preparing = allKnown(
    requests.map(({ key, slot, cost, settle, policy }, i): AtomicEntry | Promise<AtomicEntry> => {
      checkDebits(requests, debits);
      const limiter = limiters[i] as Pipeline;
      const request = { verb: VERBS.consume, key, slot, cost, signal, settle, policy };
      const prepared = limiter.prepare(request, 0);
      const entry = (known: PreparedRequest): AtomicEntry => {
        debits += known.call.debits.length - 1;
        return { limiter, ...known };
      };
      return prepared instanceof Promise ? prepared.then(entry) : entry(prepared);
    }),
  );
  const entries = preparing instanceof Promise ? await preparing : preparing;
  checkDebits(requests, debits);
  if (signal?.aborted === true) throw unanswered(entries, signal.reason);
  const known = knownOf(entries);
  if (known !== undefined) return { allowed: known.allowed, decisions: known.decisions, atomic };
  // Before any call: otherwise a policy without a vote would be charged now, and again when each is asked separately.
  if (isSplit(entries)) throw new CrossSlotError();
  const deciding = decideTogether(entries, signal);
  const beside = entries.map((entry) => askBeside(entry, deciding));
  const decisions = await deciding;
  const shadowed = await Promise.all(beside);
  const charged = decisions.every(
    ({ allowed }, i) => allowed || !enforces(entries[i] as AtomicEntry),
  );
  const reported = await Promise.all(
    shadowed.map((entry, i) => reportAndBlock(entry, decisions[i] as Decision, charged)),
  );
  return { allowed: charged, decisions: reported, atomic };
}

interface CheckedRequest extends AtomicRequest {
  readonly cost: number;
}

function checkedRequest(given: AtomicRequest, i: number): CheckedRequest {
  const option = `requests[${i}]`;
  const { limiter, key, cost = 1, settle, slot, policy } = REQUEST.read(given, option);
  checkKeyed(given);
  toThousandths("cost", cost);
  return { limiter, key, slot, cost, settle, policy };
}

/** What is there at once is not waited for: calls of a tick keep their order. */
function allKnown<T>(entries: readonly (T | Promise<T>)[]): readonly T[] | Promise<readonly T[]> {
  const isKnown = (entry: T | Promise<T>): entry is T => !(entry instanceof Promise);
  return entries.every(isKnown) ? entries : Promise.all(entries);
}

function pipelineFor(
  request: AtomicRequest,
  i: number,
  requests: readonly AtomicRequest[],
): Pipeline {
  const limiter = pipelineOf(request.limiter);
  if (limiter === undefined) {
    throw new InvalidOptionError(
      `requests[${i}].limiter`,
      withoutText(request.limiter),
      "a RateLimiter",
    );
  }
  if (limiter.store !== requests[0]?.limiter.store) {
    const allowed = "the store of the first limiter: no two stores can decide as one";
    throw new InvalidOptionError(
      `requests[${i}].limiter.store`,
      new InWords("another store"),
      allowed,
    );
  }
  return limiter;
}

function checkDebits(requests: readonly AtomicRequest[], debits: number): void {
  if (debits <= MAX_DEBITS) return;
  const allowed =
    `requests of at most ${MAX_DEBITS} policies together; ` +
    "make several calls, or pass { atomic: false }";
  throw new InvalidOptionError("requests", requests.length, allowed);
}

/**
 * The answer, if it is known without the store: a request is sure to be denied, or all units were taken ahead. A shadow is
 * always asked.
 */
function knownOf(
  entries: readonly AtomicEntry[],
): { allowed: boolean; decisions: Decision[] } | undefined {
  if (entries.some(mustBeAsked)) return undefined;
  const denials = entries.map((entry) =>
    entry.limiter.shortcuts.denial(keyOf(entry), costOf(entry), entry.bound),
  );
  if (denials.some((denial) => denial !== undefined)) {
    const decisions = entries.map((entry, i) => {
      const denial = denials[i];
      return denial === undefined
        ? unaskedDecision(entry.bound, entry.limiter.store.clock)
        : entry.limiter.report(entry, denial);
    });
    return { allowed: false, decisions };
  }
  const spent: Decision[] = [];
  for (const entry of entries) {
    const { shortcuts } = entry.limiter;
    const decision = shortcuts.spend(keyOf(entry), costOf(entry), entry.bound);
    if (decision === undefined) break;
    spent.push(decision);
  }
  if (spent.length === entries.length) {
    return {
      allowed: true,
      decisions: entries.map((entry, i) => entry.limiter.report(entry, spent[i] as Decision)),
    };
  }
  for (const entry of entries.slice(0, spent.length)) {
    entry.limiter.shortcuts.unspend(keyOf(entry), costOf(entry));
  }
  return undefined;
}

function keyOf({ request }: AtomicEntry): string {
  return keyInSlot(request);
}

/** Thousandths. */
function costOf({ call }: AtomicEntry): number {
  return call.debits[0]?.cost ?? 0;
}

/** The answer of an override that needs no policy. */
function answerOf({ limiter, request, bound }: AtomicEntry): LimiterAnswer | undefined {
  return overrideAnswer(request, bound, limiter.store.clock);
}

/** Whether the keys of deciding requests are known to be in different slots. */
function isSplit(entries: readonly AtomicEntry[]): boolean {
  const { store } = (entries[0] as AtomicEntry).limiter;
  if (store.isSplit === undefined || entries.length === 1) return false;
  const asked = entries.filter((each) => enforces(each) && answerOf(each) === undefined);
  return store.isSplit(joined(asked.map(({ call }) => call)).call);
}

/** Limiters that enforce decide in one call; a limiter in shadow mode has no vote, and a separate call. */
async function decideTogether(
  entries: readonly AtomicEntry[],
  signal: AbortSignal | undefined,
): Promise<Decision[]> {
  const answers = new Map(entries.map((entry) => [entry, answerOf(entry)]));
  const isDenied = entries.some((each) => enforces(each) && answers.get(each)?.allowed === false);
  const asked = entries.filter((each) => answers.get(each) === undefined);
  const voters = isDenied ? [] : asked.filter(enforces);
  const shadows = asked.filter((entry) => !enforces(entry));
  const { call, places } = joined(voters.map((voter) => voter.call));
  const limiters = voters.map(({ limiter }) => limiter);
  const [vote, ...apart] = await Promise.all([
    outcomeTogether(call, limiters, signal),
    ...shadows.map(({ limiter, call: own, atMs }) => limiter.outcomeOf(own, signal, atMs)),
  ]).catch((error: unknown) => {
    throw unanswered(entries, error);
  });
  const outcomes = new Map<AtomicEntry, StoreResult | Error>();
  for (const [i, shadow] of shadows.entries()) {
    outcomes.set(shadow, apart[i] as StoreResult | Error);
  }
  for (const [i, voter] of voters.entries()) {
    outcomes.set(voter, placed(vote as StoreResult | Error, places[i] as readonly number[]));
  }
  const without =
    vote instanceof Error
      ? await decideWithoutStore(voters, vote)
      : new Map<AtomicEntry, Decision>();
  return Promise.all(
    entries.map(async (entry) => {
      const outcome = outcomes.get(entry);
      if (outcome === undefined) {
        return answers.get(entry) ?? unaskedDecision(entry.bound, entry.limiter.store.clock);
      }
      if (!(outcome instanceof Error)) {
        const decision = decisionOf(entry.bound, outcome, "store");
        remember(entry, entries, outcome, decision);
        return decision;
      }
      return without.get(entry) ?? entry.limiter.conclude(entry, outcome);
    }),
  );
}

/** Each limiter reports its request, which rejects with `error`. */
function unanswered(entries: readonly AtomicEntry[], error: unknown): unknown {
  for (const { limiter, request, atMs } of entries) {
    undecided(limiter, request, error as Error, atMs);
  }
  return error;
}

/** Another request of the same limiter and key was decided with it: a denial is not this one's alone. */
function remember(
  entry: AtomicEntry,
  entries: readonly AtomicEntry[],
  outcome: StoreResult,
  decision: Decision,
): void {
  const key = keyOf(entry);
  const isAlone = entries.filter((other) => keyOf(other) === key).length === 1;
  if (isAlone) entry.limiter.shortcuts.remember(key, entry, outcome, decision);
}

/** No event reports a request that was itself allowed, but not charged because another was denied. */
async function reportAndBlock(
  entry: AtomicEntry,
  decision: Decision,
  charged: boolean,
): Promise<Decision> {
  const { limiter, request, bound } = entry;
  const { source } = decision;
  // The others have been reported already: each was answered separately.
  const isAnsweredApart = source !== "store" && source !== "override" && source !== "rules";
  if (isAnsweredApart && !(enforces(entry) && isDecidedHere(source))) return decision;
  if (
    decision.reason === "quota" &&
    limiter.blockForUs > 0 &&
    source !== "deny-cache" &&
    request.settle !== true
  ) {
    await blockAfterDenial(limiter, entry, source);
  }
  const reports = charged || !decision.allowed || !enforces(entry);
  if (reports) return limiter.report(entry, decision);
  return labelled(decision, bound.terms, entry.shadow);
}

/** The entry with what its policies without a vote say, which are asked in the same tick. */
async function askBeside(entry: AtomicEntry, deciding: Promise<unknown>): Promise<AtomicEntry> {
  if (!hasShadowsToAsk(entry)) return entry;
  const { limiter, request } = entry;
  const { verdicts: shadow, errors } = await askShadows(limiter, entry);
  // The failure of the requests that decide comes before that of a shadow.
  await deciding.catch(() => {});
  for (const error of errors) limiter.failed(error, request);
  return { ...entry, shadow };
}

/** Whether no shortcut may answer. */
function mustBeAsked(entry: AtomicEntry): boolean {
  const { bound } = entry;
  return !enforces(entry) || isOnTrial(bound) || bound.terms?.note.answer !== undefined;
}

/** Whether it has a vote: neither its limiter nor all of its policies are on trial. */
function enforces({ limiter, bound }: Pick<AtomicEntry, "limiter" | "bound">): boolean {
  return limiter.enforce && bound.terms?.hasVote !== false;
}

/** Asks each separately, in one tick; what was admitted goes back if one was denied or failed. */
async function consumeApart(
  requests: readonly CheckedRequest[],
  signal: AbortSignal | undefined,
): Promise<AtomicDecision> {
  const ended = await Promise.allSettled(
    requests.map(({ limiter, key, slot, cost, settle, policy }) =>
      limiter.consume(key, { slot, cost, signal, settle, policy }),
    ),
  );
  let decisions = ended.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failed = ended.find((each) => each.status === "rejected");
  const allowed = failed === undefined && decisions.every((decision) => decision.allowed);
  if (!allowed) {
    const refunds = requests.map(async ({ limiter: of, key, slot, cost, policy }, i) => {
      const each = ended[i];
      if (each?.status !== "fulfilled" || each.value.reason !== "ok") return undefined;
      const limiter = pipelineOf(of) as Pipeline;
      const bound = await limiter.resolver.resolve(key, policy, undefined, slot);
      // A limiter without a vote is charged by its own answer, whatever the others say.
      if (!enforces({ limiter, bound })) return undefined;
      const refund = refundRequest(key, cost, { of: each.value, slot });
      return limiter.run({ ...refund, policy, votersAlone: true });
    });
    // A refund that fails is reported; the denial stands.
    const refunded = await Promise.allSettled(refunds);
    if (failed !== undefined) throw failed.reason;
    decisions = decisions.map((decision, i) => {
      const each = refunded[i];
      return each?.status === "fulfilled" ? restated(decision, each.value) : decision;
    });
  }
  return { allowed, decisions, atomic: false };
}

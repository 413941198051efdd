/** One decision over several limiters and identities of one store. */
import { VERBS } from "../algorithms/decide.js";
import { MAX_DEBITS } from "../algorithms/rule.js";
import type { Decision } from "../core/decision.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkBoolean, checkList, checkOptions } from "../core/options.js";
import { InWords, withoutText } from "../core/shown.js";
import { checkSignal } from "../core/abort.js";
import { checkKey } from "../core/key.js";
import { toThousandths } from "../core/amount.js";
import type { StoreResult, DebitResult, Keyspace, StoreCall, Debit } from "../stores/store.js";
import { decisionOf } from "./decisions.js";
import type { KeyedRequest } from "./options.js";
import type { Pipeline } from "./pipeline.js";
import type { PreparedRequest } from "./preparation.js";
import { pipelineOf, type RateLimiter } from "./rate-limiter.js";

export interface AtomicRequest extends KeyedRequest {
  readonly limiter: RateLimiter;
}

export interface AtomicOptions {
  /** Default true. false: one after another, those before a denial refunded. */
  readonly atomic?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface AtomicDecision {
  readonly allowed: boolean;
  /** Each request's own decision. Where one denied, the others were not charged, whatever they say. */
  readonly decisions: readonly Decision[];
}

/** A request with what its limiter makes of it. */
interface AtomicEntry extends PreparedRequest {
  readonly limiter: Pipeline;
}

/**
 * Consumes from several limiters and identities of one store, all or nothing, in one round trip.
 * A limiter in shadow mode is asked but has no vote. On a Cluster the keys must share a slot, or pass
 * `atomic: false`; so too for more than 1,000 policies together. A limiter's `blockFor` blocks right after the
 * denial, in a call of its own.
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
  const { atomic = true, signal } = checkOptions("options", options, [
    "atomic",
    "signal",
  ]) as AtomicOptions;
  checkBoolean("atomic", atomic);
  checkSignal("signal", signal);
  checkList("requests", given);
  // Copies, all of them checked before the first is asked: the caller may change them while one after another is.
  const requests = given.map(checkedRequest);
  const limiters = requests.map((request, i) => pipelineFor(request, i, requests));
  if (requests.length === 0) return { allowed: true, decisions: [] };
  if (!atomic) return consumeInOrder(requests, signal);

  // Each has one policy at least: too many are refused before they are hashed.
  let debits = requests.length;
  const known = allKnown(
    requests.map(({ key, cost }, i): AtomicEntry | Promise<AtomicEntry> => {
      checkDebits(requests, debits);
      const limiter = limiters[i] as Pipeline;
      const preparing = limiter.prepare({ verb: VERBS.consume, key, cost, signal }, 0);
      const entry = (prepared: PreparedRequest): AtomicEntry => {
        debits += prepared.call.debits.length - 1;
        return { limiter, ...prepared };
      };
      return preparing instanceof Promise ? preparing.then(entry) : entry(preparing);
    }),
  );
  const entries = known instanceof Promise ? await known : known;
  checkDebits(requests, debits);
  const decisions = await decideTogether(entries, signal);
  const charged = decisions.every(
    ({ allowed }, i) => allowed || !(entries[i] as AtomicEntry).limiter.enforce,
  );
  const reported = await Promise.all(
    entries.map((entry, i) => reportAndBlock(entry, decisions[i] as Decision, charged)),
  );
  return { allowed: charged, decisions: reported };
}

interface CheckedRequest extends AtomicRequest {
  readonly cost: number;
}

function checkedRequest(given: AtomicRequest, i: number): CheckedRequest {
  const option = `requests[${i}]`;
  checkOptions(option, given, ["limiter", "key", "cost"]);
  const { limiter, key, cost = 1 } = given;
  checkKey(key);
  toThousandths("cost", cost);
  return { limiter, key, cost };
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

/** Those who enforce decide in one call; who only shadows has no vote and a call of its own. */
async function decideTogether(
  entries: readonly AtomicEntry[],
  signal: AbortSignal | undefined,
): Promise<Decision[]> {
  const voters = entries.filter(({ limiter }) => limiter.enforce);
  const shadows = entries.filter(({ limiter }) => !limiter.enforce);
  const { call, places } = joined(voters.map((voter) => voter.call));
  const limiters = voters.map(({ limiter }) => limiter);
  const [vote, ...apart] = await Promise.all([
    limiters[0]?.outcomeTogether(call, limiters, signal),
    ...shadows.map(({ limiter, call: own, atMs }) => limiter.outcomeOf(own, signal, atMs)),
  ]);
  const outcomes = new Map<AtomicEntry, StoreResult | Error>();
  for (const [i, shadow] of shadows.entries()) {
    outcomes.set(shadow, apart[i] as StoreResult | Error);
  }
  for (const [i, voter] of voters.entries()) {
    outcomes.set(voter, placed(vote as StoreResult | Error, places[i] as readonly number[]));
  }
  return Promise.all(
    entries.map(async (entry) => {
      const outcome = outcomes.get(entry) as StoreResult | Error;
      if (!(outcome instanceof Error)) return decisionOf(entry.bound, outcome, "store");
      return entry.limiter.conclude(entry, outcome);
    }),
  );
}

/** One call out of several: debits of the same keyspace and id share one state, so their costs add up. */
function joined(calls: readonly StoreCall[]): {
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

/** The part of a joint answer that concerns one of its calls. */
function placed(outcome: StoreResult | Error, places: readonly number[]): StoreResult | Error {
  if (outcome instanceof Error) return outcome;
  return { ...outcome, debits: places.map((at) => outcome.debits[at] as DebitResult) };
}

/** A request that was itself allowed, but not charged because another was denied, is nobody's event. */
async function reportAndBlock(
  entry: AtomicEntry,
  decision: Decision,
  charged: boolean,
): Promise<Decision> {
  if (decision.source !== "store") return decision;
  const { limiter, request } = entry;
  if (decision.reason === "quota" && limiter.blockForUs > 0) {
    await limiter.blockAfterDenial(request.key);
  }
  const reports = charged || !decision.allowed || !limiter.enforce;
  return reports ? limiter.report(entry, decision) : decision;
}

async function consumeInOrder(
  requests: readonly CheckedRequest[],
  signal: AbortSignal | undefined,
): Promise<AtomicDecision> {
  const decisions: Decision[] = [];
  let allowed = true;
  for (const { limiter, key, cost } of requests) {
    const call = { cost, ...(signal !== undefined && { signal }) };
    const decision = await (allowed ? limiter.consume(key, call) : limiter.peek(key, call));
    decisions.push(decision);
    if (allowed && !decision.allowed) {
      allowed = false;
      // What was admitted by nobody or by a shadow alone was not counted: nothing to get back.
      const before = requests.slice(0, decisions.length - 1).flatMap((request, i) => {
        const of = decisions[i] as Decision;
        return of.reason === "ok" ? [{ ...request, of }] : [];
      });
      await Promise.all(
        before.map((each) => each.limiter.refund(each.key, each.cost, { of: each.of })),
      );
    }
  }
  return { allowed, decisions };
}

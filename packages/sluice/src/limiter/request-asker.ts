/** Asks the store about a request: what each policy is asked for, and who waits for the answer. */
import { VERBS } from "../algorithms/decide.js";
import { monotonicMs } from "../core/clock.js";
import type { GuardedStore, PlainAsk } from "../resilience/guarded-store.js";
import type { Debit, Outcome, StoreCall, StoreResult } from "../stores/store.js";
import type { BoundPolicies, BoundPolicy } from "./bound-policies.js";
import type { ServerClock } from "./local/server-clock.js";
import { type ReportingLimiter, undecided } from "./report.js";
import type { LimiterAnswer, PreparedRequest } from "./request.js";
import type { Shortcuts } from "./shortcuts/shortcuts.js";

/** The limiter that asks. */
interface AskingLimiter extends ReportingLimiter {
  readonly shortcuts: Pick<Shortcuts, "prefetch">;
  readonly guarded: GuardedStore<StoreCall, StoreResult>;
  conclude(prepared: PreparedRequest, outcome: Outcome): Answer;
}

type Answer = LimiterAnswer | Promise<LimiterAnswer>;

/**
 * The question, and the wait for its answer, in one object: the cost of a lone call is mostly small objects and functions
 * that run from cold caches.
 */
export class RequestAsker implements PlainAsk<StoreCall, StoreResult> {
  readonly signal = undefined;
  readonly call: StoreCall;
  /** Of the answer. */
  readonly promise: Promise<LimiterAnswer>;
  lateBeforeMs = 0;
  putOffToMs: number | undefined = undefined;
  isSettled = false;
  readonly #limiter: AskingLimiter;
  readonly #prepared: PreparedRequest;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (reason: Error) => void;

  constructor(limiter: AskingLimiter, prepared: PreparedRequest) {
    this.call = prepared.call;
    this.#limiter = limiter;
    this.#prepared = prepared;
    this.promise = new Promise(keep);
    this.#resolve = kept.resolve;
    this.#reject = kept.reject;
  }

  get atMs(): number {
    return this.#prepared.atMs;
  }

  /** Whether no signal may stop it, no handler wants a late answer, nothing is taken ahead, and the store has no failures. */
  get isPlain(): boolean {
    const { shortcuts, guarded } = this.#limiter;
    const { verb, signal } = this.#prepared.request;
    const isUsual = signal === undefined && verb !== VERBS.reserve;
    return isUsual && shortcuts.prefetch === undefined && guarded.isAtEase;
  }

  take(settled: Outcome): void {
    this.#limiter.guarded.takePlain(this, settled);
  }

  done(settled: Outcome): void {
    this.#limiter.guarded.endPlain(this, settled);
  }

  complete(outcome: Outcome): void {
    // What is thrown here is this call's, and must not reach those that were answered together with it.
    try {
      this.#resolve(this.#limiter.conclude(this.#prepared, outcome));
    } catch (error) {
      this.#reject(error as Error);
    }
  }

  /** It was not asked, because something threw. */
  fail(error: Error): void {
    this.#reject(error);
  }

  reject(reason: Error): void {
    this.#reject(undecided(this.#limiter, this.#prepared.request, reason, this.atMs));
  }
}

/** What ends the promise that is being made: a function of its own for each promise would take more memory than that. */
const kept: { resolve: (answer: Answer) => void; reject: (reason: Error) => void } = {
  resolve: () => {},
  reject: () => {},
};

function keep(resolve: (answer: Answer) => void, reject: (reason: Error) => void): void {
  kept.resolve = resolve;
  kept.reject = reject;
}

/** The store answered at `nowUs` of its clock. Calls that went together tell the same time, and all at once. */
export function noteServerTime(clock: ServerClock | undefined, nowUs: number): void {
  if (clock === undefined || nowUs === clock.heardUs) return;
  clock.heardUs = nowUs;
  clock.heardAtMs = monotonicMs();
}

/** An array of "map" changes its shape when that is compiled, and all who read it are compiled again. */
export function debitsOf(bound: BoundPolicies, id: string, cost: number): readonly Debit[] {
  const first = bound[0] as BoundPolicy;
  if (bound.length === 1) return [debitOf(first, id, cost)];
  if (bound.length !== 2) return manyDebits(bound, id, cost);
  return [debitOf(first, id, cost), debitOf(bound[1] as BoundPolicy, id, cost)];
}

function manyDebits(bound: BoundPolicies, id: string, cost: number): readonly Debit[] {
  return bound.map((each) => debitOf(each, id, cost));
}

function debitOf({ name, rule, keyspace }: BoundPolicy, id: string, cost: number): Debit {
  return { name, rule, keyspace, id, cost };
}

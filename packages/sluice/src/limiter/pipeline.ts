/**
 * The way of every request through a limiter, in order: which policies decide, whether a shortcut answers, what the store
 * says in time, what that decides, what is answered if the store fails; and then the listeners hear of it. This file
 * prepares a request; each later stage is a file, called from here.
 */
import { VERBS } from "../algorithms/decide.js";
import type { ReservationReceipt } from "../algorithms/kernel.js";
import { toThousandths, UNIT } from "../core/amount.js";
import { monotonicMs } from "../core/clock.js";
import { type Decision, NEAR_LIMIT, type PolicyVerdict } from "../core/decision.js";
import { ClosedError } from "../core/errors.js";
import { checkKey, checkKeyed, checkSlot, keyInSlot } from "../core/key.js";
import type { Instead } from "../events/events.js";
import type { Asker } from "../resilience/asker.js";
import { type AskOptions, GuardedStore } from "../resilience/guarded-store.js";
import { healthOf } from "../resilience/store-health.js";
import type { Outcome, Store, StoreCall, StoreResult, SyncStore } from "../stores/store.js";
import { type Canceller, lateStart, withGrant, withReserved } from "./answers.js";
import { noteAdjusted } from "./adjusted.js";
import { decisionOf } from "./decisions.js";
import { giveToTaker } from "./taker.js";
import { LocalDecisions } from "./local/local-decisions.js";
import { localStoreOf } from "./local/local-store.js";
import type { CallOptions } from "./options.js";
import type { PipelineOptions } from "./pipeline-options.js";
import { type BoundPolicies, type BoundPolicy, isOnTrial } from "./bound-policies.js";
import { gaveUp, reportDecision, saidOf, undecided } from "./report.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest, RequestRunner } from "./request.js";
import { refill, type ReusableCall, reusableCall, ReusableCalls } from "./reusable-call.js";
import { hasShadowsToAsk, shadowsSync, verdictsSync, withShadows } from "./shadows.js";
import { overrideAnswer } from "./override-answer.js";
import { debitsOf, noteServerTime, RequestAsker } from "./request-asker.js";
import { PrefetchedResult } from "./shortcuts/prefetch.js";
import { returnUnits } from "./shortcuts/return-units.js";
import { Shortcuts } from "./shortcuts/shortcuts.js";
import { settlesAccounts } from "./verbs.js";
import { nothingAsked, withoutPolicies, withoutStore } from "./without-store.js";

type MaybePromised<T> = T | Promise<T>;
type Failed = Pick<LimiterRequest, "key" | "cost">;

export class Pipeline implements RequestRunner, Canceller {
  readonly store: Store;
  readonly name: string;
  readonly events: PipelineOptions["events"];
  readonly counts: PipelineOptions["counts"];
  readonly enforce: boolean;
  readonly blockForUs: number;
  resolver: PipelineOptions["resolver"];
  readonly closing: PipelineOptions["closing"];
  readonly identify: PipelineOptions["identify"];
  /** What is sure of a request without the store: units taken ahead, or a denial. */
  readonly shortcuts: Shortcuts;
  /** Asks the store in time. */
  readonly guarded: GuardedStore<StoreCall, StoreResult>;
  readonly #onFailure: PipelineOptions["onFailure"];
  /** Of a store outside the process. */
  readonly #local: LocalDecisions | undefined;
  /** Of policies that calls bring. */
  readonly reusable: ReusableCalls;
  /** The call that synchronous consumes of an only, fixed policy use again and again. */
  #reused: ReusableCall | undefined;

  constructor(options: PipelineOptions) {
    const { store, name, events, enforce, blockForUs, resolver, identify, onFailure } = options;
    this.store = store;
    this.name = name;
    this.events = events;
    this.counts = options.counts;
    this.enforce = enforce;
    this.blockForUs = blockForUs;
    this.reusable = new ReusableCalls(blockForUs);
    this.resolver = resolver;
    this.closing = options.closing;
    this.identify = identify;
    this.#onFailure = onFailure;
    this.guarded = new GuardedStore<StoreCall, StoreResult>({
      ...options,
      health: healthOf(store),
      external: store.external,
      instead: onFailure.instead,
      partOf: store.partOf?.bind(store),
      marksHandOver: store.marksHandOver === true,
      hurry: (call) => settlesAccounts(call.verb) && store.hurry?.(call) === true,
      submit: (call, done) => store.submit(call, done),
    });
    this.shortcuts = new Shortcuts({
      ...options,
      refund: (key, call) => returnUnits(this, key, call),
    });
    const { shortcuts } = this;
    if (store.external) this.#local = new LocalDecisions(localStoreOf(store), shortcuts, enforce);
    this.#reuse();
    resolver.overrides?.onChange(() => this.#reuse());
    // So that consumeSync has nothing to look at while the limiter is open.
    this.closing.listeners.add(() => this.#reuse());
  }

  /** Decides by another policy from now on. If it is rejected, nothing changes. */
  setPolicy(policy: unknown, by: string | undefined): void {
    this.closing.throwIfClosed();
    this.resolver = this.resolver.replacedBy(policy, by);
    this.#reuse();
  }

  #reuse(): void {
    this.resolver.update();
    const { only, fixed } = this.resolver;
    const isClosed = only === undefined || this.closing.isClosed;
    this.#reused = isClosed ? undefined : reusableCall(only, this.blockForUs);
    if (fixed !== undefined) this.store.prepare?.(fixed.map(({ rule }) => rule));
  }

  /** Answers a request: by its policies, from a shortcut or the store, or without it by policy. */
  run(request: LimiterRequest): Promise<LimiterAnswer> {
    return Promise.resolve(this.begin(request));
  }

  /** The same, at once if the store need not be asked. */
  begin(request: LimiterRequest): MaybePromised<LimiterAnswer> {
    const { key, slot, cost, policy, signal } = request;
    if (this.closing.isClosed) throw this.closing.error();
    checkKeyed(request);
    const thousandths = cost === 1 ? UNIT : toThousandths("cost", cost);
    const fixed = policy === undefined ? this.resolver.fixed : undefined;
    const bound = fixed ?? this.resolver.resolve(key, policy, signal, slot);
    return bound instanceof Promise
      ? this.#runLater(request, thousandths, bound)
      : this.#runBound(request, thousandths, bound);
  }

  /** By itself: a function that may make closures allocates what they share each time it is called. */
  #runLater(
    request: LimiterRequest,
    thousandths: number,
    bound: Promise<BoundPolicies>,
  ): Promise<LimiterAnswer> {
    return bound.then(
      (known) => this.#runBound(request, thousandths, known),
      (error: unknown) => this.withoutPolicies(request, error as Error),
    );
  }

  /** Nothing is asked yet. `blockForUs` is how long a denied consume blocks, if not what the option says. */
  prepare(request: LimiterRequest, blockForUs?: number): MaybePromised<PreparedRequest> {
    this.closing.throwIfClosed();
    const { key, slot, cost, policy, signal } = request;
    checkKeyed(request);
    const thousandths = toThousandths("cost", cost);
    const bound = this.resolver.resolve(key, policy, signal, slot);
    const prepare = (known: BoundPolicies): PreparedRequest =>
      this.#prepare(request, thousandths, known, blockForUs);
    return bound instanceof Promise ? bound.then(prepare) : prepare(bound);
  }

  /** The answer if the policies do not come; throws what is not to be answered. */
  withoutPolicies(request: LimiterRequest, error: Error): LimiterAnswer {
    return withoutPolicies(this, request, () => this.#onFailure.withoutPolicies(request, error));
  }

  /** `run`, of a consume that was prepared with others. */
  async runPrepared(prepared: PreparedRequest): Promise<LimiterAnswer> {
    const { request, bound, call } = prepared;
    if (request.signal?.aborted === true) throw gaveUp(this, request);
    const known = this.#known(request, call.debits[0]?.cost ?? 0, bound);
    if (known !== undefined) return reportDecision(this, { request, bound, atMs: 0 }, known);
    return this.#ask(prepared);
  }

  /** A consume on a store inside the process. */
  consumeSync(store: SyncStore, key: string, options: CallOptions): Decision {
    const { cost = 1, policy, settle, slot } = options;
    let reused = this.#reused;
    let bound = this.resolver.fixed as BoundPolicies;
    let shadowed: PreparedRequest | undefined;
    checkKey(key);
    checkSlot(slot);
    if (reused === undefined || policy !== undefined || settle === true) {
      this.closing.throwIfClosed();
      const thousandths = cost === 1 ? UNIT : toThousandths("cost", cost);
      bound = this.resolver.resolveNow(key, policy, slot);
      const request = { verb: VERBS.consume, key, slot, cost, policy, settle };
      const answer = overrideAnswer(request, bound, this.store.clock);
      if (answer !== undefined) return reportDecision(this, { request, bound, atMs: 0 }, answer);
      reused = settle === true ? undefined : this.reusable.of(bound);
      if (reused === undefined) shadowed = this.#prepare(request, thousandths, bound);
    }
    if (reused !== undefined) {
      const [debit] = reused.debits;
      debit.id = this.identify(key, slot);
      debit.cost = cost === 1 ? UNIT : toThousandths("cost", cost);
      if (reused.beside.length > 0) refill(reused, debit.id, debit.cost);
    }
    const call = (reused ?? shadowed?.call) as StoreCall;
    let decision: Decision;
    try {
      decision = decisionOf(bound, store.executeSync(call), "store");
    } catch (error) {
      decision = this.#onFailure.answerHere({ key, cost, slot }, bound, error, this);
    }
    if (bound.terms === undefined && this.#isSilent(decision, bound)) {
      return this.#counted(bound, decision, cost);
    }
    let shadow: readonly PolicyVerdict[] | undefined;
    if (shadowed !== undefined) shadow = shadowsSync(this, shadowed, store);
    else if (reused !== undefined && reused.beside.length > 0) {
      shadow = verdictsSync(this, { verb: VERBS.consume, key, cost }, reused.beside, store);
    }
    return this.reportNow({ key, slot, cost }, bound, decision, shadow);
  }

  /** A consume's decision that was made at once, as its caller gets it. */
  reportNow(
    { key, slot, cost }: Pick<LimiterRequest, "key" | "slot" | "cost">,
    bound: BoundPolicies,
    decision: Decision,
    shadow: readonly PolicyVerdict[] | undefined,
  ): Decision {
    if (this.#isSilent(decision, bound)) {
      return saidOf(this.#counted(bound, decision, cost), bound.terms, shadow);
    }
    const request = { verb: VERBS.consume, key, slot, cost };
    return reportDecision(this, { request, bound, atMs: 0, shadow }, decision);
  }

  /** A consume's decision without listeners. The usual outcome is counted here, which saves a function call. */
  #counted(bound: BoundPolicies, decision: Decision, cost: number): Decision {
    const { reason, source, remaining, limit, policy } = decision;
    const counts = bound.length === 1 ? (bound[0] as BoundPolicy).counts : this.counts.of(policy);
    if (reason === "ok" && source === "store" && remaining > limit * NEAR_LIMIT) {
      counts.admitted += 1;
      counts.admittedUnits += cost;
    } else counts.add(decision, cost);
    return decision;
  }

  /** Whether a decision goes to its caller alone, and counts. */
  #isSilent({ allowed }: Decision, { terms }: BoundPolicies): boolean {
    const { decision, denial } = this.events.to;
    if (decision !== undefined || !this.enforce || terms?.hasVote === false) return false;
    return allowed || denial === undefined;
  }

  /** What a call gets instead of the store's answer. */
  get instead(): Instead {
    return this.#onFailure.instead;
  }

  /** What decides here while the store is away; undefined if something else does. */
  get local(): LocalDecisions | undefined {
    return this.#onFailure.isLocal ? this.#local : undefined;
  }

  /** What the store says, for a caller that concludes the request itself. Misuse and an aborted signal reject. */
  outcomeOf(
    call: StoreCall,
    signal: AbortSignal | undefined,
    atMs: number,
    options?: AskOptions<StoreCall, StoreResult>,
  ): Promise<Outcome> {
    return new Promise((complete, reject) => {
      this.guarded.ask(call, { signal, atMs, complete, reject }, options);
    });
  }

  /** From an outcome to the caller's answer. */
  conclude(prepared: PreparedRequest, outcome: Outcome): LimiterAnswer | Promise<LimiterAnswer> {
    const { request, bound, call } = prepared;
    const key = keyInSlot(request);
    this.shortcuts.after(key, call, bound, outcome);
    if (outcome instanceof Error) return this.#concludeFailure(prepared, outcome);
    const source = outcome instanceof PrefetchedResult ? "prefetch" : "store";
    if (source === "store") noteServerTime(this.#local?.store.serverClock, outcome.nowUs);
    const decision = decisionOf(bound, outcome, source);
    this.shortcuts.remember(key, prepared, outcome, decision);
    if (request.verb === VERBS.consume && this.#isSilent(decision, bound)) {
      const counted = this.#counted(bound, decision, request.cost);
      if (bound.terms === undefined) return counted;
      return saidOf(counted, bound.terms, prepared.shadow ?? request.shadow);
    }
    const answer = withGrant(request, decision, outcome.granted);
    return withReserved(this, prepared, this.report(prepared, answer, outcome.receipt), outcome);
  }

  #concludeFailure(
    prepared: PreparedRequest,
    error: Error,
  ): LimiterAnswer | Promise<LimiterAnswer> {
    const answer = () => this.#onFailure.answer(prepared, error, this.#local);
    return withoutStore(this, prepared, error, answer, this.guarded.reporter(error));
  }

  /** Calls the listeners, then lets everything pass in shadow mode: the reason still says why it would not have. */
  report<D extends Decision>(to: PreparedRequest, decision: D, receipt?: ReservationReceipt): D {
    return reportDecision(this, to, decision, receipt);
  }

  adjusted(prepared: PreparedRequest, call: StoreCall, outcome: Outcome): void {
    this.shortcuts.after(keyInSlot(prepared.request), call, prepared.bound, outcome);
    noteAdjusted(this, prepared, call.verb, outcome);
  }

  /** A failure of a request, and the decision in spite of it, if there is one. */
  failed(error: Error, { key, cost }: Failed, decision?: Decision): void {
    // A store that is closed has not failed.
    if (error instanceof ClosedError) return;
    this.guarded.reporter(error)({ error, key, cost, ...(decision && { decision }) });
  }

  /** Resolves when all waits have ended, and what they and a prefetch had taken was given back. */
  async close(): Promise<void> {
    this.resolver.close();
    await Promise.all([this.closing.waitsEnded(), this.shortcuts.close()]);
  }

  #runBound(
    request: LimiterRequest,
    thousandths: number,
    bound: BoundPolicies,
  ): MaybePromised<LimiterAnswer> {
    const { verb, signal } = request;
    if (verb === VERBS.consume && signal?.aborted === true) throw gaveUp(this, request);
    const known = this.#known(request, thousandths, bound);
    if (known !== undefined) {
      const unasked = nothingAsked(request, bound);
      return withReserved(this, unasked, reportDecision(this, unasked, known), undefined);
    }
    const prepared = this.#prepare(request, thousandths, bound);
    return request.of === undefined ? this.#ask(prepared) : this.#askTaker(prepared);
  }

  /** Gives back to whoever took the units. */
  #askTaker(prepared: PreparedRequest): MaybePromised<LimiterAnswer> {
    const { fallback } = this.#onFailure;
    const ask = (): Promise<LimiterAnswer> => this.#ask(prepared);
    return giveToTaker(prepared, { limiter: this, ask, local: this.#local, fallback });
  }

  /** What is answered without the store. */
  #known(
    request: LimiterRequest,
    thousandths: number,
    bound: BoundPolicies,
  ): LimiterAnswer | undefined {
    if (bound.terms !== undefined) {
      const answer = overrideAnswer(request, bound, this.store.clock);
      if (answer !== undefined || isOnTrial(bound)) return answer;
    }
    if (request.verb !== VERBS.consume) return undefined;
    return this.shortcuts.answer(keyInSlot(request), thousandths, bound);
  }

  #prepare(
    request: LimiterRequest,
    thousandths: number,
    bound: BoundPolicies,
    blockForUs = this.blockForUs,
  ): PreparedRequest {
    const { verb, policy, nonce } = request;
    const id = request.id ?? this.identify(request.key, request.slot);
    const debits = debitsOf(bound, id, thousandths);
    const blocksUs = request.settle === true ? 0 : blockForUs;
    const blockUs = verb === VERBS.consume ? blocksUs : (request.blockUs ?? 0);
    const canReserve = verb === VERBS.reserve && this.resolver.canReserve(bound);
    const maxWaitUs = canReserve ? (request.maxWaitUs ?? 0) : 0;
    // With room for what the store sets: an object that grows costs as much as a second one.
    const plain: StoreCall = { verb, debits, blockUs, maxWaitUs, handOver: undefined };
    const call = nonce === undefined ? plain : { ...plain, nonce };
    const atMs = monotonicMs();
    // What this process admitted without the store is given back to this process only: the store is not asked.
    const isOwn = request.of === "local";
    const key = keyInSlot(request);
    const asked = isOwn ? undefined : this.shortcuts.before(key, call, bound, policy !== undefined);
    const clears = bound.terms?.hasVote === false ? undefined : asked;
    return { request, bound, call, clears, canReserve, atMs };
  }

  #ask(prepared: PreparedRequest): Promise<LimiterAnswer> {
    if (prepared.bound.terms !== undefined && hasShadowsToAsk(prepared)) {
      return withShadows(this, prepared, this.#asked.bind(this));
    }
    if (this.#mustConcludeInContext()) return this.#askInContext(prepared);
    const asker = new RequestAsker(this, prepared);
    try {
      if (asker.isPlain) this.guarded.askPlain(asker);
      else this.#askFor(prepared, asker.reject.bind(asker), asker.complete.bind(asker));
    } catch (error) {
      asker.fail(error as Error);
    }
    return asker.promise;
  }

  #askInContext(prepared: PreparedRequest): Promise<LimiterAnswer> {
    return this.#asked(prepared).then(
      (outcome) => this.conclude(prepared, outcome),
      (reason: unknown) => {
        throw undecided(this, prepared.request, reason as Error, prepared.atMs);
      },
    );
  }

  /**
   * Answers arrive in the asynchronous context of the call that sent the batch. A hook, and a fallback with its hooks, must
   * run in the caller's own AsyncLocalStorage: in a reaction to a promise that was made in the caller's turn.
   */
  #mustConcludeInContext(): boolean {
    const { decision, failure, undecided: listener } = this.events.to;
    const isHeard = decision !== undefined || failure !== undefined || listener !== undefined;
    return isHeard || this.instead === "fallback";
  }

  #asked(prepared: PreparedRequest): Promise<Outcome> {
    return new Promise((resolve, reject) => this.#askFor(prepared, reject, resolve));
  }

  #askFor(
    prepared: PreparedRequest,
    reject: (reason: Error) => void,
    complete: (outcome: Outcome) => void,
  ): void {
    const { request, call, atMs } = prepared;
    const { verb, signal } = request;
    const { prefetch } = this.shortcuts;
    const asker: Asker<StoreResult> = { signal, atMs, complete, reject };
    if (verb === VERBS.reserve) asker.late = lateStart(this, prepared);
    const mayPrefetch = verb === VERBS.consume && request.policy === undefined;
    if (prefetch === undefined || !mayPrefetch || isOnTrial(prepared.bound)) {
      this.guarded.ask(call, asker);
      return;
    }
    const key = keyInSlot(request);
    this.guarded.ask(call, asker, { submit: prefetch.submit.bind(prefetch, key) });
  }
}

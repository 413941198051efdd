/**
 * What all verbs of a limiter go through: check and hash the key, ask the store within the deadline,
 * apply the failure policy, tell the hooks.
 */
import { type Verb, VERBS } from "../algorithms/decide.js";
import { toThousandths, UNIT } from "../core/amount.js";
import { monotonicMs } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { asStoreError } from "../core/errors.js";
import { checkKey } from "../core/key.js";
import type { StoreResult, Done, Store, StoreCall, Debit, SyncStore } from "../stores/store.js";
import type { BreakerSettings } from "../resilience/breaker.js";
import { decisionOf } from "./decisions.js";
import type { Asked } from "./shortcuts/deny-cache.js";
import { degradedDecision } from "./degraded.js";
import type { HookRunner } from "../events/hooks.js";
import type { Identify } from "../core/identity.js";
import { PrefetchedResult } from "./shortcuts/prefetch.js";
import type { AsyncCallOptions, CallOptions, OnStoreFailure } from "./options.js";
import type { Instead } from "../resilience/outage.js";
import type { RateLimiter } from "./rate-limiter.js";
import type { BoundPolicy, PolicyResolver } from "./policy-resolver.js";
import { type ShortcutOptions, Shortcuts } from "./shortcuts/shortcuts.js";
import { StoreAccess } from "../resilience/guarded-store.js";

/** One call of one verb, checked and ready for the store. */
export interface Prepared {
  readonly key: string;
  /** Units, as the caller named them. */
  readonly cost: number;
  readonly call: StoreCall;
  /** What a denial of this call is remembered by, where denials are. */
  readonly asked: Asked | undefined;
  /** When it was prepared: its deadline counts from then. */
  readonly atMs: number;
}

export interface EngineOptions extends Pick<ShortcutOptions, "denials" | "prefetch"> {
  readonly store: Store;
  readonly plan: PolicyResolver;
  readonly identify: Identify;
  readonly timeoutMs: number;
  readonly onStoreFailure: OnStoreFailure;
  readonly breaker: BreakerSettings | undefined;
  readonly blockForUs: number;
  readonly enforce: boolean;
  readonly hooks: HookRunner;
}

export class Engine {
  readonly store: Store;
  readonly blockForUs: number;
  readonly enforce: boolean;
  readonly #plan: PolicyResolver;
  readonly #identify: Identify;
  readonly #access: StoreAccess;
  readonly #onStoreFailure: OnStoreFailure;
  readonly #hooks: HookRunner;
  readonly #shortcuts: Shortcuts;
  /** The call that synchronous consumes of an only, fixed policy use again and again. */
  readonly #reused: StoreCall | undefined;

  constructor(options: EngineOptions) {
    this.store = options.store;
    this.blockForUs = options.blockForUs;
    this.enforce = options.enforce;
    this.#plan = options.plan;
    this.#identify = options.identify;
    this.#access = new StoreAccess({ ...options, instead: insteadOf(options.onStoreFailure) });
    this.#onStoreFailure = options.onStoreFailure;
    this.#hooks = options.hooks;
    this.#shortcuts = new Shortcuts({
      ...options,
      refund: (key, call) => this.#returnUnits(key, call),
    });
    const only = options.plan.only;
    if (only !== undefined) {
      this.#reused = storeCall(VERBS.consume, [only], "", 0, options.blockForUs);
    }
  }

  prepare(verb: Verb, key: string, options: CallOptions, blockUs: number): Prepared {
    checkKey(key);
    const { cost = 1, policy } = options;
    const thousandths = toThousandths("cost", cost);
    return this.#prepared(verb, key, options, thousandths, this.#plan.of(key, policy), blockUs);
  }

  /** A consume: from a shortcut, or else from the store. */
  consume(
    key: string,
    options: AsyncCallOptions,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Promise<Decision> {
    checkKey(key);
    const { cost = 1, policy, signal } = options;
    const thousandths = cost === 1 ? UNIT : toThousandths("cost", cost);
    const bound = this.#plan.of(key, policy);
    signal?.throwIfAborted();
    const known = this.#shortcuts.answer(key, thousandths, bound);
    if (known !== undefined) return Promise.resolve(this.report(key, cost, known));
    const { blockForUs } = this;
    return this.decide(
      this.#prepared(VERBS.consume, key, options, thousandths, bound, blockForUs),
      fallBack,
      signal,
      policy === undefined,
    );
  }

  /** The same, of a consume that was prepared with others. */
  async consumePrepared(
    prepared: Prepared,
    fallBack: (to: RateLimiter) => Promise<Decision>,
    signal?: AbortSignal,
  ): Promise<Decision> {
    const { key, cost, call } = prepared;
    signal?.throwIfAborted();
    const known = this.#shortcuts.answer(key, (call.debits[0] as Debit).cost, call.debits);
    if (known !== undefined) return this.report(key, cost, known);
    return this.decide(prepared, fallBack, signal, true);
  }

  #prepared(
    verb: Verb,
    key: string,
    { cost = 1, policy }: CallOptions,
    thousandths: number,
    bound: readonly BoundPolicy[],
    blockUs: number,
  ): Prepared {
    const call = storeCall(verb, bound, this.#identify(key), thousandths, blockUs);
    const atMs = monotonicMs();
    const asked = this.#shortcuts.before(key, call, bound, policy !== undefined, atMs);
    return { key, cost, call, asked, atMs };
  }

  /** A consume on a store inside the process. */
  consumeSync(store: SyncStore, key: string, options: CallOptions): Decision {
    const { cost = 1, policy } = options;
    let call = this.#reused;
    if (call === undefined || policy !== undefined) {
      call = this.prepare(VERBS.consume, key, options, this.blockForUs).call;
    } else {
      checkKey(key);
      const debit = call.debits[0] as Debit;
      debit.cost = cost === 1 ? UNIT : toThousandths("cost", cost);
      debit.id = this.#identify(key);
    }
    return this.report(key, cost, decisionOf(call.debits, store.executeSync(call), "store"));
  }

  /** Asks the store within the deadline. Failures are outcomes; misuse and an aborted signal reject. */
  ask(calls: readonly StoreCall[], signal?: AbortSignal): Promise<(StoreResult | Error)[]> {
    return Promise.all(calls.map((call) => this.#access.ask(call, signal)));
  }

  /** One call, for its caller to conclude; `late` is told what comes after the deadline or an abort. */
  async askOne(
    { key, call }: Prepared,
    signal?: AbortSignal,
    late?: (outcome: StoreResult | Error) => void,
  ): Promise<StoreResult | Error> {
    const outcome = await this.#access.ask(call, signal, late === undefined ? {} : { late });
    this.#shortcuts.after(key, call);
    return outcome;
  }

  /** Asks in one call for requests of several limiters; `engines` has one for each request. */
  askTogether(
    call: StoreCall,
    engines: readonly Engine[],
    signal?: AbortSignal,
  ): Promise<StoreResult | Error> {
    const requests = engines.map((engine) => engine.#access);
    return this.#access.askTogether(call, signal, requests);
  }

  /** One call, from the store's answer or, where that failed, from the failure policy. */
  decide(
    prepared: Prepared,
    fallBack: (to: RateLimiter) => Promise<Decision>,
    signal?: AbortSignal,
    prefetchable = false,
  ): Promise<Decision> {
    const { key, call, atMs } = prepared;
    const { prefetch } = this.#shortcuts;
    const submit =
      prefetchable && prefetch !== undefined
        ? (each: StoreCall, done: Done): void => {
            prefetch.submit(key, each, done);
          }
        : undefined;
    return new Promise((resolve, reject: (reason: Error) => void) => {
      const told = (outcome: StoreResult | Error): void => {
        // What is thrown here is this call's, and must not reach those that were answered together with it.
        try {
          this.#shortcuts.after(key, call);
          resolve(this.conclude(prepared, outcome, fallBack));
        } catch (error) {
          reject(error as Error);
        }
      };
      this.#access.tell(call, signal, { atMs, submit }, told, reject);
    });
  }

  /** From an outcome to the caller's decision; `fallBack` asks another limiter the same. */
  conclude(
    prepared: Prepared,
    outcome: StoreResult | Error,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Decision | Promise<Decision> {
    if (outcome instanceof Error) return this.#withoutStore(outcome, prepared, fallBack);
    const { key, cost, call, asked } = prepared;
    const source = outcome instanceof PrefetchedResult ? "prefetch" : "store";
    const decision = decisionOf(call.debits, outcome, source);
    this.#shortcuts.remember(asked, outcome, decision);
    return this.#told(call.verb, key, cost, withGrant(call.verb, decision, outcome.granted));
  }

  /** A verb that has no decision to label: its failure is always thrown. */
  async administer(verb: Verb, key: string, blockUs: number): Promise<void> {
    const { call } = this.prepare(verb, key, { cost: 0 }, blockUs);
    const outcome = await this.#access.ask(call, undefined, { instead: "thrown" });
    this.#shortcuts.after(key, call);
    if (!(outcome instanceof Error)) return;
    this.#access.health.teller(outcome)({ error: outcome, key, cost: 0 });
    throw outcome;
  }

  /** The block that follows a denial which is already decided: its failure is told, and thrown only if all are. */
  async blockAfterDenial(key: string): Promise<void> {
    try {
      await this.administer(VERBS.block, key, this.blockForUs);
    } catch (error) {
      if (this.#onStoreFailure === "throw") throw error;
    }
  }

  /**
   * Tells the hooks, then lets everything pass in shadow mode: the reason still says why it would not have,
   * and a partial grant becomes a whole one.
   */
  report(key: string, cost: number, decision: Decision): Decision {
    this.#hooks.decided(key, cost, decision);
    if (this.enforce) return decision;
    const grant = "granted" in decision ? { granted: cost } : {};
    return { ...decision, allowed: true, retryAfterMs: 0, ...grant };
  }

  /** Tells of a failure that has no decision. */
  failed(error: Error, key: string, cost: number): void {
    this.#access.health.teller(error)({ error, key, cost });
  }

  /** Whether a line over these debits is the only one to charge them. */
  isOwn(debits: readonly Debit[]): boolean {
    return this.#plan.isOwn(debits);
  }

  /** Resolves when unused units were given back. */
  async close(): Promise<void> {
    this.#plan.release();
    await this.#shortcuts.close();
  }

  /** Unused units of a prefetch: nobody waits for them, so a failure is only told. */
  async #returnUnits(key: string, call: StoreCall): Promise<void> {
    this.#shortcuts.after(key, call);
    const outcome = await this.#access
      .ask(call, undefined, { instead: "thrown" })
      .catch((error: unknown) => asStoreError(error));
    this.#shortcuts.after(key, call);
    const cost = (call.debits[0] as Debit).cost / UNIT;
    if (outcome instanceof Error) {
      this.#access.health.teller(outcome)({ error: outcome, key, cost });
    }
  }

  /** Only verbs that ask for quota are decisions to report; the others just answer. */
  #told(verb: Verb, key: string, cost: number, decision: Decision): Decision {
    return verb === VERBS.consume || verb === VERBS.consumeUpTo || verb === VERBS.reserve
      ? this.report(key, cost, decision)
      : decision;
  }

  async #withoutStore(
    error: Error,
    { key, cost, call }: Prepared,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Promise<Decision> {
    const failure = this.#onStoreFailure;
    const tell = this.#access.health.teller(error);
    if (failure === "throw") {
      tell({ error, key, cost });
      throw error;
    }
    let decision: Decision;
    if (typeof failure === "object") {
      try {
        decision = { ...(await fallBack(failure.fallback)), source: "fallback" };
      } catch (fallbackError) {
        tell({ error, key, cost });
        throw fallbackError;
      }
    } else {
      const allowed = failure === "open";
      const granted = allowed ? Math.round(cost * UNIT) : 0;
      decision = withGrant(call.verb, degradedDecision(call.debits, allowed), granted);
    }
    tell({ error, key, cost, decision });
    return this.#told(call.verb, key, cost, decision);
  }
}

const INSTEAD = { open: "failOpen", closed: "failClosed", throw: "thrown" } as const;

function insteadOf(onStoreFailure: OnStoreFailure): Instead {
  return typeof onStoreFailure === "object" ? "fallback" : INSTEAD[onStoreFailure];
}

function storeCall(
  verb: Verb,
  bound: readonly BoundPolicy[],
  id: string,
  cost: number,
  blockUs: number,
): StoreCall {
  const debits = bound.map(
    ({ name, rule, keyspace }): Debit => ({ name, rule, keyspace, id, cost }),
  );
  return { verb, debits, blockUs, maxWaitUs: 0 };
}

/** consumeUpTo says how many units it granted. */
function withGrant(verb: Verb, decision: Decision, granted: number): Decision {
  return verb === VERBS.consumeUpTo
    ? Object.assign(decision, { granted: granted / UNIT })
    : decision;
}

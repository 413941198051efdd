/**
 * What all verbs of a limiter go through: check and hash the key, ask the store within the deadline,
 * apply the failure policy, tell the hooks.
 */
import { type Verb, VERBS } from "../algorithms/decide.js";
import { toThousandths, UNIT } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import {
  asStoreError,
  CrossSlotError,
  InvalidOptionError,
  StoreTimeoutError,
} from "../core/errors.js";
import { checkKey } from "../core/key.js";
import type { Answer, Store, StoreCall, StoreSeat, SyncStore } from "../stores/store.js";
import { Deadlines } from "./deadlines.js";
import { decisionOf } from "./decision-of.js";
import { degradedDecision } from "./degraded.js";
import type { HookRunner } from "./hooks.js";
import type { Identify } from "./identity.js";
import type { CallOptions, OnStoreFailure } from "./options.js";
import type { RateLimiter } from "./rate-limiter.js";
import type { Seating, SeatingPlan } from "./seating.js";

/** One call of one verb, checked and ready for the store. */
export interface Prepared {
  readonly key: string;
  /** Units, as the caller named them. */
  readonly cost: number;
  readonly call: StoreCall;
}

export interface EngineOptions {
  readonly store: Store;
  readonly plan: SeatingPlan;
  readonly identify: Identify;
  readonly timeoutMs: number;
  readonly onStoreFailure: OnStoreFailure;
  readonly blockForUs: number;
  readonly enforce: boolean;
  readonly hooks: HookRunner;
}

export class Engine {
  readonly store: Store;
  readonly blockForUs: number;
  readonly enforce: boolean;
  readonly #plan: SeatingPlan;
  readonly #identify: Identify;
  readonly #deadlines: Deadlines<Answer | Error>;
  readonly #onStoreFailure: OnStoreFailure;
  readonly #hooks: HookRunner;
  /** The call that synchronous consumes of an only, fixed policy use again and again. */
  readonly #reused: StoreCall | undefined;

  constructor(options: EngineOptions) {
    this.store = options.store;
    this.blockForUs = options.blockForUs;
    this.enforce = options.enforce;
    this.#plan = options.plan;
    this.#identify = options.identify;
    this.#deadlines = new Deadlines<Answer | Error>(
      options.timeoutMs,
      () => new StoreTimeoutError(options.timeoutMs),
    );
    this.#onStoreFailure = options.onStoreFailure;
    this.#hooks = options.hooks;
    const only = options.plan.only;
    if (only !== undefined) {
      this.#reused = storeCall(VERBS.consume, [only], "", 0, options.blockForUs);
    }
  }

  prepare(verb: Verb, key: string, options: CallOptions, extraUs: number): Prepared {
    checkKey(key);
    const { cost = 1, policy } = options;
    const thousandths = toThousandths("cost", cost);
    const seatings = this.#plan.of(key, policy);
    return {
      key,
      cost,
      call: storeCall(verb, seatings, this.#identify(key), thousandths, extraUs),
    };
  }

  /** A consume on a store inside the process. */
  consumeSync(store: SyncStore, key: string, options: CallOptions): Decision {
    const { cost = 1, policy } = options;
    let call = this.#reused;
    if (call === undefined || policy !== undefined) {
      call = this.prepare(VERBS.consume, key, options, this.blockForUs).call;
    } else {
      checkKey(key);
      const seat = call.seats[0] as StoreSeat;
      seat.cost = cost === 1 ? UNIT : toThousandths("cost", cost);
      seat.id = this.#identify(key);
    }
    return this.report(key, cost, decisionOf(call.seats, store.executeSync(call), "store"));
  }

  /** Asks the store within the deadline. Failures are outcomes; misuse and an aborted signal reject. */
  ask(calls: readonly StoreCall[], signal?: AbortSignal): Promise<(Answer | Error)[]> {
    return Promise.all(calls.map((call) => this.#askOne(call, signal)));
  }

  #askOne(call: StoreCall, signal: AbortSignal | undefined): Promise<Answer | Error> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const finish = (outcome: Answer | Error): void => {
        if (isMisuse(outcome)) reject(outcome);
        else resolve(outcome instanceof Error ? asStoreError(outcome) : outcome);
      };
      if (!this.store.external) {
        this.store.submit(call, finish);
        return;
      }
      const pending = this.#deadlines.begin((outcome) => {
        signal?.removeEventListener("abort", abort);
        if (outcome instanceof StoreTimeoutError) call.abandoned = true;
        finish(outcome);
      });
      const abort = (): void => {
        call.abandoned = true;
        reject(signal?.reason as Error);
        // Settles the promise a second time, which does nothing, and ends the wait.
        this.#deadlines.settle(pending, signal?.reason as Error);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.store.submit(call, (outcome) => this.#deadlines.settle(pending, outcome));
    });
  }

  /** One call, from the store's answer or, where that failed, from the failure policy. */
  async decide(
    prepared: Prepared,
    fallBack: (to: RateLimiter) => Promise<Decision>,
    signal?: AbortSignal,
  ): Promise<Decision> {
    return this.conclude(prepared, await this.#askOne(prepared.call, signal), fallBack);
  }

  /** From an outcome to the caller's decision; `fallBack` asks another limiter the same. */
  conclude(
    prepared: Prepared,
    outcome: Answer | Error,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Decision | Promise<Decision> {
    if (outcome instanceof Error) return this.#withoutStore(outcome, prepared, fallBack);
    const { key, cost, call } = prepared;
    const decision = decisionOf(call.seats, outcome, "store");
    return this.#told(call.verb, key, cost, withGrant(call.verb, decision, outcome.granted));
  }

  /** A verb that has no decision to label: its failure is always thrown. */
  async administer(verb: Verb, key: string, extraUs: number): Promise<void> {
    const { call } = this.prepare(verb, key, { cost: 0 }, extraUs);
    const outcome = await this.#askOne(call, undefined);
    if (!(outcome instanceof Error)) return;
    this.#hooks.failed({ error: outcome, key, cost: 0 });
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

  release(): void {
    this.#plan.release();
  }

  /** Only verbs that ask for quota are decisions to report; the others just answer. */
  #told(verb: Verb, key: string, cost: number, decision: Decision): Decision {
    return verb === VERBS.consume || verb === VERBS.consumeUpTo
      ? this.report(key, cost, decision)
      : decision;
  }

  async #withoutStore(
    error: Error,
    { key, cost, call }: Prepared,
    fallBack: (to: RateLimiter) => Promise<Decision>,
  ): Promise<Decision> {
    const failure = this.#onStoreFailure;
    if (failure === "throw") {
      this.#hooks.failed({ error, key, cost });
      throw error;
    }
    let decision: Decision;
    if (typeof failure === "object") {
      decision = { ...(await fallBack(failure.fallback)), source: "fallback" };
    } else {
      const allowed = failure === "open";
      const granted = allowed ? Math.round(cost * UNIT) : 0;
      decision = withGrant(call.verb, degradedDecision(call.seats, allowed), granted);
    }
    this.#hooks.failed({ error, key, cost, decision });
    return this.#told(call.verb, key, cost, decision);
  }
}

function storeCall(
  verb: Verb,
  seatings: readonly Seating[],
  id: string,
  cost: number,
  extraUs: number,
): StoreCall {
  const seats = seatings.map(
    ({ name, rule, space }): StoreSeat => ({ name, rule, space, id, cost }),
  );
  return { verb, seats, extraUs };
}

/** consumeUpTo says how many units it granted. */
function withGrant(verb: Verb, decision: Decision, granted: number): Decision {
  return verb === VERBS.consumeUpTo
    ? Object.assign(decision, { granted: granted / UNIT })
    : decision;
}

/** What the caller has to mend, whatever the failure policy. */
function isMisuse(outcome: Answer | Error): outcome is Error {
  return outcome instanceof InvalidOptionError || outcome instanceof CrossSlotError;
}

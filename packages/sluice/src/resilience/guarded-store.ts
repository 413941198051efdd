/**
 * How a limiter asks its store: within the deadline, past an open breaker not at all, and with a record
 * of every failure. Failures are outcomes; misuse and an aborted signal reject.
 */
import { onAbort } from "../core/abort.js";
import {
  asStoreError,
  CrossSlotError,
  InvalidOptionError,
  StoreTimeoutError,
} from "../core/errors.js";
import type { StoreResult, Done, Store, StoreCall } from "../stores/store.js";
import type { BreakerSettings } from "./breaker.js";
import { Deadlines } from "./deadlines.js";
import type { HookRunner } from "../events/hooks.js";
import type { Instead } from "./outage.js";
import { StoreHealth } from "./store-health.js";

export interface StoreAccessOptions {
  readonly store: Store;
  readonly timeoutMs: number;
  /** Undefined = the store is always asked. */
  readonly breaker: BreakerSettings | undefined;
  readonly hooks: HookRunner;
  /** What a call gets that the store does not answer. */
  readonly instead: Instead;
}

type Submit = (call: StoreCall, done: Done) => void;

interface AskOptions {
  /** What the caller gets without an answer, if not what the limiter's option says. */
  readonly instead?: Instead;
  /** Hands the call to the store, in time; default: at once. */
  readonly submit?: Submit | undefined;
  /** When the call began, on the monotonic clock; default: now. */
  readonly atMs?: number;
  /** Is told what comes after the deadline or an abort. */
  readonly late?: Done;
}

export class StoreAccess {
  readonly health: StoreHealth;
  readonly #store: Store;
  readonly #instead: Instead;
  readonly #submit: Submit;
  readonly #deadlines: Deadlines<StoreResult | Error>;

  constructor({ store, timeoutMs, breaker, hooks, instead }: StoreAccessOptions) {
    this.health = new StoreHealth(store, breaker, hooks);
    this.#store = store;
    this.#instead = instead;
    this.#submit = (call, done) => {
      store.submit(call, done);
    };
    this.#deadlines = new Deadlines<StoreResult | Error>(
      timeoutMs,
      () => new StoreTimeoutError(timeoutMs),
    );
  }

  ask(
    call: StoreCall,
    signal: AbortSignal | undefined,
    options: AskOptions = NO_OPTIONS,
  ): Promise<StoreResult | Error> {
    return new Promise((told, refused) => {
      this.tell(call, signal, options, told, refused);
    });
  }

  /** `ask` without a promise of its own, for who makes one anyway: tells one of the two, once. */
  tell(
    call: StoreCall,
    signal: AbortSignal | undefined,
    options: AskOptions,
    told: Done,
    refused: (reason: Error) => void,
  ): void {
    const receiver = { told, refused };
    this.#ask(call, signal, options, receiver, (error) => {
      this.health.count(error, options.instead ?? this.#instead);
    });
  }

  /**
   * Asks for the requests of several limiters in one call. The deadline and the breaker are this one's;
   * all take note of what becomes of the call.
   */
  askTogether(
    call: StoreCall,
    signal: AbortSignal | undefined,
    requests: readonly StoreAccess[],
  ): Promise<StoreResult | Error> {
    const others = new Set(requests.map(({ health }) => health));
    others.delete(this.health);
    const count = (error: Error): void => {
      for (const access of requests) access.health.count(error, access.#instead);
    };
    return new Promise((told, refused) => {
      this.#ask(call, signal, NO_OPTIONS, { told, refused }, count, [...others]);
    });
  }

  /** `count` is called for a failure that all have noted, and before anybody is answered. */
  #ask(
    call: StoreCall,
    signal: AbortSignal | undefined,
    options: AskOptions,
    receiver: Receiver,
    count: (error: Error) => void,
    others: readonly StoreHealth[] = NONE,
  ): void {
    if (signal?.aborted === true) {
      receiver.refused(signal.reason as Error);
      return;
    }
    const { submit = this.#submit, late, atMs } = options;
    if (!this.#store.external) {
      submit(call, (settled) => {
        pass(asOutcome(settled), receiver);
      });
      return;
    }
    const attempt = this.health.begin(call);
    if (attempt instanceof Error) {
      for (const health of others) health.refused(call, attempt);
      count(attempt);
      receiver.told(attempt);
      return;
    }
    const followed = others.map((health) => ({ health, attempt: health.follow(call) }));
    /** Those who take note are told before the caller is; of undefined if the caller gave the call up. */
    const ended = (outcome: StoreResult | Error | undefined): void => {
      this.health.ended(attempt, call, outcome);
      for (const other of followed) other.health.ended(other.attempt, call, outcome);
      if (outcome instanceof Error) count(outcome);
    };
    const pending = this.#deadlines.begin((settled) => {
      endWatch?.();
      if (signal?.aborted === true) {
        call.abandoned = true;
        ended(undefined);
        receiver.refused(signal.reason as Error);
        return;
      }
      if (settled instanceof StoreTimeoutError) call.abandoned = true;
      const outcome = asOutcome(settled);
      ended(outcome);
      pass(outcome, receiver);
    }, atMs);
    const endWatch =
      signal &&
      onAbort(signal, () => {
        this.#deadlines.settle(pending, ABORTED);
      });
    submit(call, (settled) => {
      if (!this.#deadlines.settle(pending, settled)) late?.(settled);
    });
  }
}

/** Who asked. */
interface Receiver {
  readonly told: Done;
  /** Misuse, or what the signal says. */
  readonly refused: (reason: Error) => void;
}

function pass(outcome: StoreResult | Error, { told, refused }: Receiver): void {
  if (isMisuse(outcome)) refused(outcome);
  else told(outcome);
}

const NO_OPTIONS: AskOptions = {};
const NONE: readonly StoreHealth[] = [];
/** Ends the wait of a call whose signal says why. */
const ABORTED = new Error("aborted");

/** What the caller has to mend, whatever the failure policy. */
function isMisuse(outcome: StoreResult | Error): outcome is Error {
  return outcome instanceof InvalidOptionError || outcome instanceof CrossSlotError;
}

function asOutcome(outcome: StoreResult | Error): StoreResult | Error {
  return outcome instanceof Error ? asStoreError(outcome) : outcome;
}

/** Listeners of a limiter's decisions. A hook can never break or delay a decision. */
import type { Decision } from "../core/decision.js";
import { checkFunction, checkOptions } from "../core/options.js";
import type { Unanswered } from "../resilience/outage.js";

/** What a hook is told. */
export interface DecisionEvent {
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** Units. */
  readonly cost: number;
  readonly decision: Decision;
}

export interface ErrorEvent {
  readonly error: unknown;
  readonly key: string;
  readonly cost: number;
  /** The decision made in spite of the error, where there is one. */
  readonly decision?: Decision;
  /** The part of the store that failed, where parts fail by themselves: a Cluster node's "host:port". */
  readonly part?: string;
}

/** An outage that is over: the store has answered for a while and not failed. */
export interface RecoveryEvent {
  /** What it began with, as `onError` was told. */
  readonly error: unknown;
  /** Milliseconds from the first failure to the first answer after the last one. */
  readonly outageMs: number;
  /** Calls that the store did not answer meanwhile: all, and by what they got in place of its answer. */
  readonly unanswered: Unanswered;
  /** The part of the store that had failed, as in `onError`. */
  readonly part?: string;
}

export interface Hooks {
  readonly onAllowed?: (event: DecisionEvent) => unknown;
  readonly onDenied?: (event: DecisionEvent) => unknown;
  /** After an allowed call that left a tenth of the limit or less. */
  readonly onNearLimit?: (event: DecisionEvent) => unknown;
  /**
   * The first failure of an outage of the store; every failure of a key whose value Sluice cannot read;
   * what another hook threw or rejected with.
   */
  readonly onError?: (event: ErrorEvent) => unknown;
  /** The end of an outage: once for each that `onError` was told of. */
  readonly onRecovery?: (event: RecoveryEvent) => unknown;
}

/** Part of the limit at or below which an allowed call is "near" it. */
const NEAR_LIMIT = 0.1;

export class HookRunner {
  readonly #hooks: Hooks;
  /** Nobody listens to decisions: the usual case, which should cost nothing. */
  readonly #silent: boolean;

  constructor(hooks: unknown = {}) {
    const names = ["onAllowed", "onDenied", "onNearLimit", "onError", "onRecovery"];
    for (const [name, hook] of Object.entries(checkOptions("hooks", hooks, names))) {
      if (hook !== undefined) checkFunction(`hooks.${name}`, hook);
    }
    this.#hooks = { ...(hooks as Hooks) };
    const { onAllowed, onDenied, onNearLimit } = this.#hooks;
    this.#silent = onAllowed === undefined && onDenied === undefined && onNearLimit === undefined;
  }

  /** Tells whoever listens about a decision. */
  decided(key: string, cost: number, decision: Decision): void {
    if (this.#silent) return;
    const { onAllowed, onDenied, onNearLimit } = this.#hooks;
    const hook = decision.allowed ? onAllowed : onDenied;
    const event = { key, cost, decision };
    if (hook !== undefined) this.#call(hook, event, event);
    const near =
      decision.allowed &&
      decision.reason === "ok" &&
      decision.remaining <= decision.limit * NEAR_LIMIT;
    if (onNearLimit !== undefined && near) this.#call(onNearLimit, event, event);
  }

  failed(event: ErrorEvent): void {
    const { onError } = this.#hooks;
    if (onError === undefined) return;
    // Nobody is left to tell when onError itself fails.
    attempt(onError, event, () => {});
  }

  /** `first` is what `onError` was told when the outage began. */
  recovered(event: RecoveryEvent, first: ErrorEvent): void {
    const { onRecovery } = this.#hooks;
    if (onRecovery !== undefined) this.#call(onRecovery, event, first);
  }

  /** What the hook throws goes to onError, as the fault of the call that `about` describes. */
  #call<E>(hook: (event: E) => unknown, event: E, about: Omit<ErrorEvent, "error">): void {
    attempt(hook, event, (error) => {
      this.failed({ ...about, error });
    });
  }
}

/** Calls a hook that may throw or return a promise that rejects. */
function attempt<E>(
  hook: (event: E) => unknown,
  event: E,
  onFailure: (error: unknown) => void,
): void {
  try {
    const result = hook(event);
    if (isThenable(result)) result.then(undefined, onFailure);
  } catch (error) {
    onFailure(error);
  }
}

/** Promises of other libraries and realms too. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value;
}

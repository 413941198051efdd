/** Hooks: the listeners that the options `hooks` name. A hook can never break or delay a decision. */
import { type Decision, isNear } from "../core/decision.js";
import { checkFunction, optional, optionReader } from "../core/options.js";
import { attempt, type ErrorEvent, type Events, ownEvent, type RecoveryEvent } from "./events.js";

/** What a hook is called with. */
export interface DecisionEvent {
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** The text of its slot, if it was given one: other verbs on the key need it too. */
  readonly slot?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** What was decided. */
  readonly decision: Decision;
}

/** Hooks of whatever asks a store: a store itself, and a semaphore. */
export interface OutageHooks {
  /** The first failure of an outage of the store. */
  readonly onError?: ((event: ErrorEvent) => unknown) | undefined;
  /** The end of an outage: once for each that `onError` was called for. */
  readonly onRecovery?: ((event: RecoveryEvent) => unknown) | undefined;
}

/** Hooks of a limiter. */
export interface Hooks {
  /** After each call for quota that was allowed. */
  readonly onAllowed?: ((event: DecisionEvent) => unknown) | undefined;
  /** After each call for quota that was denied. */
  readonly onDenied?: ((event: DecisionEvent) => unknown) | undefined;
  /** After an allowed call that left a tenth of the limit or less. */
  readonly onNearLimit?: ((event: DecisionEvent) => unknown) | undefined;
  /**
   * The first failure of an outage of the store; every failure of a key whose value Sluice cannot read;
   * what another hook threw or rejected with.
   */
  readonly onError?: ((event: ErrorEvent) => unknown) | undefined;
  /** The end of an outage: once for each that `onError` was called for. */
  readonly onRecovery?: ((event: RecoveryEvent) => unknown) | undefined;
}

/** Hooks hear of verbs that ask for quota; the other verbs ask or adjust. */
const ASKING: ReadonlySet<string> = new Set(["consume", "consumeUpTo", "reserve"]);

const aHook = optional(checkFunction);
const OUTAGE_HOOKS = optionReader<OutageHooks>()({ onError: aHook, onRecovery: aHook });
const HOOKS = optionReader<Hooks>()({
  ...OUTAGE_HOOKS.checks,
  onAllowed: aHook,
  onDenied: aHook,
  onNearLimit: aHook,
});

/** Checks a limiter's hooks and has them listen. */
export function addHooks(events: Events, hooks: unknown = {}): void {
  const checked = HOOKS.read(hooks, "hooks");
  addOutages(events, checked);
  const { onAllowed, onDenied, onNearLimit } = checked;
  if (onAllowed === undefined && onDenied === undefined && onNearLimit === undefined) return;
  events.on("decision", ({ verb, key, slot, cost, decision }) => {
    if (!ASKING.has(verb)) return;
    const event = { key, ...(slot !== undefined && { slot }), cost, decision };
    const call = (hook: ((event: DecisionEvent) => unknown) | undefined): void => {
      if (hook !== undefined) attempt(hook, ownEvent(event), failureOf(events, event));
    };
    call(decision.allowed ? onAllowed : onDenied);
    if (isNear(decision)) call(onNearLimit);
  });
}

/** Checks the hooks of a store or a semaphore and has them listen. */
export function addOutageHooks(events: Events, hooks: unknown = {}): void {
  addOutages(events, OUTAGE_HOOKS.read(hooks, "hooks"));
}

function addOutages(events: Events, { onError, onRecovery }: OutageHooks): void {
  if (onError !== undefined) {
    events.on("failure", (failure) => {
      // If onError itself fails, there is no hook left to call.
      attempt(onError, failure, () => {});
    });
  }
  if (onRecovery !== undefined) {
    events.on("recovery", ({ first, ...recovery }) => {
      attempt(onRecovery, recovery, failureOf(events, first));
    });
  }
}

/** What a hook throws is a failure of the call that `about` describes. */
function failureOf(events: Events, about: Omit<ErrorEvent, "error">): (error: unknown) => void {
  return (error) => events.to.failure?.({ ...about, error });
}

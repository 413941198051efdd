/**
 * What happens in a limiter, a semaphore and a store, for listeners: hooks, metrics, traces and logs. An event is made only
 * if its kind has a listener, so that it costs nothing without one.
 */
import type { VerbName } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { checkChoice, checkFunction } from "../core/options.js";
import { isPromiseLike } from "../core/promises.js";
import type { CallUndecided, PermitEnded, RoundTripEnded } from "./endings.js";
import type { OverrideChanged, PoliciesChanged } from "./changes.js";
import type { RuleEvents } from "./rule-events.js";

/** A limiter has answered. Shadow mode shows what it would have answered. */
export interface DecisionMade {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** What was asked. */
  readonly verb: VerbName;
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** The text of its slot, if it was given one. */
  readonly slot?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** It names the policy and the source. */
  readonly decision: Decision;
  /** From the call to the answer, in milliseconds; 0 for answers that did not leave the process. */
  readonly durationMs: number;
  /** The policies that decided, in order; none if they were not available. */
  readonly policies: readonly Policy[];
  /** Of reserve: the longest wait that the caller would take, in µs. */
  readonly maxWaitUs?: number | undefined;
  /** Of reserve: when the work may start, on the store's clock in µs; undefined if no start was promised ahead. */
  readonly readyAtUs?: number | undefined;
  /** Of reserve on behalf of acquire: the number of its wait. */
  readonly wait?: number | undefined;
  /** true if none of the policies has a vote: a denial passed. */
  readonly isShadow?: boolean | undefined;
}

/** A call for quota was denied, or in shadow mode would have been, by `policy`; "" if none was known. */
export type DenialMade = Pick<DecisionMade, "limiter" | "key" | "slot"> & Pick<Decision, "policy">;

/** A key was changed by a verb that has no decision: `block`, `unblock`, `reset`, or a start that was given back. */
export interface KeyAdjusted extends Pick<DecisionMade, "limiter" | "verb" | "key" | "slot"> {
  /** The key's id, if the caller named the key by it alone; `key` is the same text then. */
  readonly id?: string | undefined;
  /** Units that came back, if the verb is "cancel"; else 0. */
  readonly units: number;
  /** The store's clock: µs since the epoch. Undefined if it did not answer: the call may have been executed or not. */
  readonly atUs: number | undefined;
  /** The policies that the key has, in order. */
  readonly policies: readonly Policy[];
}

/** A store has answered one call of a limiter or a semaphore, or has not in time. */
export interface StoreCalled {
  /** The limiter's namespace, or the semaphore's keyspace. */
  readonly caller: string;
  /** The part of the store that was asked, such as a Cluster node's "host:port"; "" if it has none. */
  readonly part: string;
  /** From the call to the answer, in milliseconds. */
  readonly durationMs: number;
  /** Why there is no answer. */
  readonly error: Error | undefined;
}

/** A store is about to send calls together. */
export interface BatchBegun {
  /** The same number as in the event that ends it: no other batch of this process has it. */
  readonly batch: number;
  /** How many calls. */
  readonly size: number;
  /** How many keys of the store they are about. */
  readonly keys: number;
  /** What the calls do; "mixed" if not all do the same. */
  readonly verb: VerbName | "mixed";
  /** The part of the store that it goes to: a Cluster node's "host:port", else "". */
  readonly part: string;
}

/** A store has sent calls together, and they are answered. */
export interface BatchSent {
  /** No other batch of this process has this number. */
  readonly batch: number;
  /** How many calls. */
  readonly size: number;
  /** The part of the store that it went to: a Cluster node's "host:port", else "". */
  readonly part: string;
  /** From sending to the answer. */
  readonly durationMs: number;
  /** Undefined if it was answered. */
  readonly error: Error | undefined;
}

/** A call failed: the first of an outage, one on a key that is not Sluice's, or a listener that threw. */
export interface ErrorEvent {
  /** What was thrown. */
  readonly error: unknown;
  /** As the caller gave it; "" if the failure is not of a single call. */
  readonly key: string;
  /** Units that the call asked for; 0 if the failure is not of a single call. */
  readonly cost: number;
  /** The decision made in spite of the error, if there is one. */
  readonly decision?: Decision | undefined;
  /** The part of the store that failed, if parts fail separately: a Cluster node's "host:port". */
  readonly part?: string | undefined;
}

/** What a call got instead of the store's answer. */
export type Instead = "local" | "failOpen" | "failClosed" | "fallback" | "thrown";

/** Calls that the store did not answer: all, by what they got, and how many because there was too much to do. */
export type Unanswered = Readonly<Record<Instead | "total" | "busy", number>>;

/** An outage is over: the store has answered for a while without a failure. */
export interface RecoveryEvent {
  /** What it began with, as `onError` got it. */
  readonly error: unknown;
  /** Milliseconds from the first failure to the first answer after the last one. */
  readonly outageMs: number;
  /** Calls that the store did not answer during it: all, and by what they got instead of its answer. */
  readonly unanswered: Unanswered;
  /** The part of the store that had failed, as in `onError`. */
  readonly part?: string | undefined;
}

/** The same, with the failure that was reported first. */
export interface OutageEnded extends RecoveryEvent {
  /** The failure with which the outage began. */
  readonly first: ErrorEvent;
}

/** A call begins to wait for quota or for a permit. */
export interface WaitBegun {
  /** The same number as in the event that ends it: no other wait of this process has it. */
  readonly wait: number;
  /** The limiter's namespace, or the semaphore's keyspace. */
  readonly caller: string;
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** The text of its slot, if it was given one. */
  readonly slot?: string | undefined;
  /** Units, or the permit's weight. */
  readonly cost: number;
}

/** The wait is over. */
export interface WaitEnded extends WaitBegun {
  /** "started", "refused" (no quota or permit within maxWait) or "failed" (aborted, closed, no store). */
  readonly outcome: "started" | "refused" | "failed";
  /** How long it lasted, in milliseconds. */
  readonly waitedMs: number;
  /** How much later than promised the work may start: milliseconds, never negative. */
  readonly lateMs: number;
  /** Why it failed, if the outcome is "failed". */
  readonly error?: unknown;
  /** Whether it failed because its caller gave it up, by its signal. */
  readonly aborted?: boolean | undefined;
}

/** What became of a semaphore's permit. */
export interface PermitChanged {
  /** The semaphore's keyspace. */
  readonly semaphore: string;
  /** What became of it; "releasing" before the store is asked. */
  readonly change: "granted" | "renewed" | "releasing" | "released" | "lost";
  /** As the caller gave it: mind where you log it. */
  readonly key: string;
  /** The key's id, as the store sees it. */
  readonly id: string;
  /** Names the permit: grows with each grant of a key. */
  readonly fence: number;
  /** How much of the limit it takes. */
  readonly weight: number;
  /** Its position in the queue; the fence itself if no call waited; 0 if this process never learned it. */
  readonly ticket: number;
  /** The store's clock when it answered: µs since the epoch; 0 if it was not asked. */
  readonly atUs: number;
  /** The end of the lease by the store's clock: µs since the epoch. */
  readonly untilUs: number;
}

/** Units of a key were taken ahead, or given back unused. */
export interface Prefetched {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** Whether units came from the store or went back. */
  readonly change: "taken" | "returned";
  /** As the caller gave it: mind where you log it. */
  readonly key: string;
  /** Units. */
  readonly units: number;
}

/** A store in memory was full, and forgot a key that was alive. */
export interface Evicted {
  /** Of the limiter or semaphore. */
  readonly keyspace: string;
  /** The key's id, as the store sees it. */
  readonly id: string;
}

/** Every kind of event, with what its listeners get. */
export interface EventMap extends RuleEvents {
  /** Each decision of a limiter. */
  readonly decision: DecisionMade;
  /** Each call that rejects instead of deciding. */
  readonly undecided: CallUndecided;
  /** Each denial of a limiter: for listeners to whom what is allowed must cost nothing. */
  readonly denial: DenialMade;
  /** Each call of the store, answered or not. */
  readonly storeCall: StoreCalled;
  /** Each change of a key by a verb without a decision. */
  readonly adjusted: KeyAdjusted;
  /** Each batch that a store is about to send. */
  readonly batchBegun: BatchBegun;
  /** Each batch that a store sent. */
  readonly batch: BatchSent;
  /** Each round trip of a script, of limiters' batches and of semaphores' commands. */
  readonly roundTrip: RoundTripEnded;
  /** A failure: once an outage, and each one that is no outage. */
  readonly failure: ErrorEvent;
  /** The end of an outage. */
  readonly recovery: OutageEnded;
  /** A caller begins to wait. */
  readonly waitBegun: WaitBegun;
  /** A wait is over, however it ended. */
  readonly waitEnded: WaitEnded;
  /** What becomes of a permit. */
  readonly permit: PermitChanged;
  /** A permit is not held any more. */
  readonly permitEnded: PermitEnded;
  /** Units are fetched ahead, or given back. */
  readonly prefetch: Prefetched;
  /** A store in memory forgets a key that is alive. */
  readonly eviction: Evicted;
  /** What a limiter decides by has changed. */
  readonly policies: PoliciesChanged;
  /** An override is set, changed or removed, or ends; by any process, as soon as this one knows. */
  readonly override: OverrideChanged;
}

/** The names of the events. */
export type EventName = keyof EventMap;

const KINDS: Readonly<Record<EventName, true>> = {
  decision: true,
  undecided: true,
  denial: true,
  storeCall: true,
  adjusted: true,
  batchBegun: true,
  batch: true,
  roundTrip: true,
  failure: true,
  recovery: true,
  waitBegun: true,
  waitEnded: true,
  permit: true,
  permitEnded: true,
  prefetch: true,
  eviction: true,
  policies: true,
  override: true,
  rules: true,
  reload: true,
};
const EVENT_NAMES = Object.keys(KINDS) as EventName[];

/** Is called with each event; what it throws is reported by the event `failure`. */
export type Listener<K extends EventName> = (event: EventMap[K]) => void;

let spansBegun = 0;

/** A number that ties the end of something to its beginning. */
export function nextSpan(): number {
  spansBegun += 1;
  return spansBegun;
}

/** A listener from when it was added until it ends: one function may be added twice. */
interface Listening<K extends EventName> {
  readonly listener: Listener<K>;
  /** Asked before each event; undefined if every event is wanted. */
  readonly isWanted: (() => boolean) | undefined;
  isOver: boolean;
}

/** Calls all listeners of one kind. */
interface Emitter {
  readonly emit: (event: never) => void;
  /** Whether a listener wants the next event; undefined if one always does. */
  readonly isWanted: (() => boolean) | undefined;
}

/** A getter for each kind, the same for all limiters: the check before each event must cost nothing without listeners. */
class Emitters {
  static {
    for (const [kind, name] of EVENT_NAMES.entries()) {
      const get = function (this: Emitters): Emitter["emit"] | undefined {
        const emitter = this.all[kind];
        if (emitter === undefined || emitter.isWanted?.() === false) return undefined;
        return emitter.emit;
      };
      Object.defineProperty(this.prototype, name, { get });
    }
  }

  readonly all: (Emitter | undefined)[] = EVENT_NAMES.map(() => undefined);
}

let watch: (events: Events, changed: (name: EventName) => void) => void;
let isHeard: (events: Events, name: EventName) => boolean;

/**
 * Emits events to listeners: `events` of a limiter, a semaphore, a set of policies and a store.
 *
 * @throws nothing
 * @example
 * import { Semaphore } from "sluice";
 * const semaphore = new Semaphore({ limit: 1 });
 * const end = semaphore.events.on("permitEnded", ({ key, weight }) => console.log(key, weight)); // k 1
 * await semaphore.withPermit("k", () => "done");
 * end();
 * await semaphore.close();
 */
export class Events {
  static {
    watch = (events, changed) => void events.#watchers.push(changed);
    isHeard = (events, name) => (events.#listeners[name]?.size ?? 0) > 0;
  }

  readonly #emitters = new Emitters();
  /** By kind, one function that calls every listener; undefined if no listener wants the event. */
  readonly to = this.#emitters as { readonly [K in EventName]?: Listener<K> | undefined };
  readonly #listeners: { [K in EventName]?: Set<Listening<K>> } = {};
  /** Called with each kind whose listeners change. */
  readonly #watchers: ((name: EventName) => void)[] = [];

  /**
   * Calls `listener` with every event of the kind, at once and in the order in which they happen; the returned function
   * ends that. A listener that throws, or returns a promise that rejects, breaks nothing: the error goes to the listeners
   * of "failure". Each listener gets its own event: no other sees what it changes in it.
   *
   * With `isWanted`, the listener is called only if that returns true; it must be quick and not throw. If no listener of a
   * kind wants the next event, it is not made.
   *
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
   * const end = limiter.events.on("decision", ({ key, decision }) => {
   *   console.log(key, decision.remaining); // k 2
   * });
   * await limiter.consume("k");
   * end();
   */
  on<K extends EventName>(name: K, listener: Listener<K>, isWanted?: () => boolean): () => void {
    checkChoice("name", name, EVENT_NAMES);
    checkFunction("listener", listener);
    if (isWanted !== undefined) checkFunction("isWanted", isWanted);
    const all: { [L in K]?: Set<Listening<L>> } = this.#listeners;
    const listeners = all[name] ?? new Set<Listening<K>>();
    all[name] = listeners;
    const listening = { listener, isWanted, isOver: false };
    listeners.add(listening);
    this.#set(name, listeners);
    return () => {
      listening.isOver = true;
      listeners.delete(listening);
      this.#set(name, listeners);
    };
  }

  #set<K extends EventName>(name: K, listeners: ReadonlySet<Listening<K>>): void {
    const all = [...listeners];
    const emit = (event: EventMap[K]): void => {
      for (const { listener, isWanted, isOver } of all) {
        if (!isOver && isWanted?.() !== false) this.#call(name, listener, event);
      }
    };
    const isAlwaysWanted = all.some(({ isWanted }) => isWanted === undefined);
    const isWanted = (): boolean => all.some((each) => each.isWanted?.() !== false);
    this.#emitters.all[EVENT_NAMES.indexOf(name)] =
      all.length === 0 ? undefined : { emit, isWanted: isAlwaysWanted ? undefined : isWanted };
    for (const changed of this.#watchers) changed(name);
  }

  #call<K extends EventName>(name: K, listener: Listener<K>, event: EventMap[K]): void {
    attempt(listener, ownEvent(event), (error) => {
      // If a listener of failures fails, that is not reported: it might fail again without end.
      if (name !== "failure") this.to.failure?.({ error, key: "", cost: 0 });
    });
  }
}

/**
 * What happens in `from` happens in `to`, for as long as they live. `from` has a listener of a kind only while `to` has one,
 * so that nothing is asked in each call.
 */
export function forwardEvents(from: Events, to: Events, names: readonly EventName[]): void {
  const ends = new Map<EventName, () => void>();
  const follow = (name: EventName): void => {
    if (!names.includes(name) || isHeard(to, name) === ends.has(name)) return;
    const end = ends.get(name);
    if (end !== undefined) {
      end();
      ends.delete(name);
      return;
    }
    const { to: listeners } = to;
    const pass = (event: never): void =>
      (listeners[name] as ((event: never) => void) | undefined)?.(event);
    ends.set(
      name,
      from.on(name, pass as Listener<typeof name>, () => listeners[name] !== undefined),
    );
  };
  watch(to, follow);
  for (const name of names) follow(name);
}

/** An event of one listener's own: what it changes, no other listener sees, nor the caller whose decision it is. */
export function ownEvent<E extends object>(event: E): E {
  const { decision, first, unanswered } = event as Partial<DecisionMade & OutageEnded>;
  return {
    ...event,
    ...(decision !== undefined && { decision: ownDecision(decision) }),
    ...(first !== undefined && { first: ownEvent(first) }),
    ...(unanswered !== undefined && { unanswered: { ...unanswered } }),
  };
}

function ownDecision(decision: Decision): Decision {
  const { policies, shadow } = decision;
  return {
    ...decision,
    ...(policies !== undefined && { policies: policies.map((verdict) => ({ ...verdict })) }),
    ...(shadow !== undefined && { shadow: shadow.map((verdict) => ({ ...verdict })) }),
  };
}

/** Calls a hook or listener that may throw or return a promise that rejects. */
export function attempt<E>(
  hook: (event: E) => unknown,
  event: E,
  onFailure: (error: unknown) => void,
): void {
  try {
    const result = hook(event);
    if (isPromiseLike(result)) result.then(undefined, onFailure);
  } catch (error) {
    onFailure(error);
  }
}

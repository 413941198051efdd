/**
 * What happens in a limiter, a semaphore and a store, for whoever listens: hooks, and later metrics, traces and logs.
 * An event is made only where somebody listens to its kind, so that nobody else pays for it.
 */
import type { VerbName } from "../algorithms/decide.js";
import type { Decision } from "../core/decision.js";
import { checkChoice, checkFunction } from "../core/options.js";
import { isPromiseLike } from "../core/promises.js";

/** A limiter has answered. Shadow mode shows what it would have answered. */
export interface DecisionMade {
  /** The limiter's namespace. */
  readonly limiter: string;
  readonly verb: VerbName;
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** The text of its slot, where it was given one. */
  readonly slot?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** It names the policy and the source. */
  readonly decision: Decision;
  /** From the call to the answer, in milliseconds; 0 for answers that did not leave the process. */
  readonly durationMs: number;
}

/** A store has answered one call of a limiter or a semaphore, or has not in time. */
export interface StoreCalled {
  /** The limiter's namespace, or the semaphore's keyspace. */
  readonly caller: string;
  /** The part of the store that was asked, such as a Cluster node's "host:port"; "" where it has none. */
  readonly part: string;
  /** From the call to the answer, in milliseconds. */
  readonly durationMs: number;
  /** Why there is no answer. */
  readonly error: Error | undefined;
}

/** A store has sent calls together, and they are answered. */
export interface BatchSent {
  /** How many calls. */
  readonly size: number;
  /** The part of the store that it went to: a Cluster node's "host:port", else "". */
  readonly part: string;
  /** From sending to the answer. */
  readonly durationMs: number;
  /** Undefined where it was answered. */
  readonly error: Error | undefined;
}

/** A call failed: the first of an outage, one on a key that is not Sluice's, or a listener that threw. */
export interface ErrorEvent {
  /** What was thrown. */
  readonly error: unknown;
  /** As the caller gave it; "" where the failure is of no one call. */
  readonly key: string;
  /** Units that the call asked for; 0 where the failure is of no one call. */
  readonly cost: number;
  /** The decision made in spite of the error, where there is one. */
  readonly decision?: Decision;
  /** The part of the store that failed, where parts fail by themselves: a Cluster node's "host:port". */
  readonly part?: string;
}

/** What a call got in place of the store's answer. */
export type Instead = "local" | "failOpen" | "failClosed" | "fallback" | "thrown";

/** Calls that the store did not answer: all, by what they got, and how many because there was too much to do. */
export type Unanswered = Readonly<Record<Instead | "total" | "busy", number>>;

/** An outage is over: the store has answered for a while without a failure. */
export interface RecoveryEvent {
  /** What it began with, as `onError` got it. */
  readonly error: unknown;
  /** Milliseconds from the first failure to the first answer after the last one. */
  readonly outageMs: number;
  /** Calls that the store did not answer meanwhile: all, and by what they got in place of its answer. */
  readonly unanswered: Unanswered;
  /** The part of the store that had failed, as in `onError`. */
  readonly part?: string;
}

/** The same, with the failure that was reported first. */
export interface OutageEnded extends RecoveryEvent {
  readonly first: ErrorEvent;
}

/** Somebody begins to wait for quota or for a permit. */
export interface WaitBegun {
  /** The limiter's namespace, or the semaphore's keyspace. */
  readonly caller: string;
  readonly key: string;
  /** Units, or the permit's weight. */
  readonly cost: number;
}

/** The wait is over. */
export interface WaitEnded extends WaitBegun {
  /** "started", "refused" (no quota or permit within maxWait) or "failed" (aborted, closed, no store). */
  readonly outcome: "started" | "refused" | "failed";
  readonly waitedMs: number;
  /** How much later than promised the work may start: milliseconds, never negative. */
  readonly lateMs: number;
}

/** What became of a semaphore's permit. */
export interface PermitChanged {
  /** The semaphore's keyspace. */
  readonly semaphore: string;
  /** What became of it; "releasing" before the store is told. */
  readonly change: "granted" | "renewed" | "releasing" | "released" | "lost";
  /** As the caller gave it: mind where you log it. */
  readonly key: string;
  /** The key's id, as the store sees it. */
  readonly id: string;
  /** Names the permit: grows with each grant of a key. */
  readonly fence: number;
  /** Places that it takes. */
  readonly weight: number;
  /** Its place in the queue; the fence itself where nobody waited; 0 where this process never learned it. */
  readonly ticket: number;
  /** The store's clock when it answered: µs since the epoch; 0 where it was not asked. */
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

/** The policies that a limiter decides by have changed: a policy function returned one with other options. */
export interface PoliciesChanged {
  readonly limiter: string;
  /** The names of the policies that are new or have new options. */
  readonly policies: readonly string[];
}

/** Every kind of event, with what its listeners get. */
export interface EventMap {
  /** Each decision of a limiter. */
  readonly decision: DecisionMade;
  /** Each call of the store, answered or not. */
  readonly storeCall: StoreCalled;
  /** Each batch that a store sent. */
  readonly batch: BatchSent;
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
  /** Units are fetched ahead, or given back. */
  readonly prefetch: Prefetched;
  /** A store in memory forgets a key that is alive. */
  readonly eviction: Evicted;
  /** What a limiter decides by has changed. */
  readonly policies: PoliciesChanged;
}

export type EventName = keyof EventMap;

const KINDS: Readonly<Record<EventName, true>> = {
  decision: true,
  storeCall: true,
  batch: true,
  failure: true,
  recovery: true,
  waitBegun: true,
  waitEnded: true,
  permit: true,
  prefetch: true,
  eviction: true,
  policies: true,
};
const EVENT_NAMES = Object.keys(KINDS) as EventName[];

export type Listener<K extends EventName> = (event: EventMap[K]) => void;

/** A listener from when it was added until it ends: one function may be added twice. */
interface Listening<K extends EventName> {
  readonly listener: Listener<K>;
  isOver: boolean;
}

/** Where events are emitted and listened to. */
export class Events {
  /** By kind, one function that calls every listener; undefined where nobody listens. */
  readonly to: { [K in EventName]?: Listener<K> | undefined } = {};
  readonly #listeners: { [K in EventName]?: Set<Listening<K>> } = {};

  /**
   * Calls `listener` with every event of the kind, at once and in the order in which they happen; what is returned
   * ends that. A listener that throws, or returns a promise that rejects, breaks nothing: the error goes to the
   * listeners of "failure". The event is the listener's own: what it changes, nobody else sees.
   *
   * @throws InvalidOptionError
   */
  on<K extends EventName>(name: K, listener: Listener<K>): () => void {
    checkChoice("name", name, EVENT_NAMES);
    checkFunction("listener", listener);
    const all: { [L in K]?: Set<Listening<L>> } = this.#listeners;
    const listeners = all[name] ?? new Set<Listening<K>>();
    all[name] = listeners;
    const listening = { listener, isOver: false };
    listeners.add(listening);
    this.#set(name, listeners);
    return () => {
      listening.isOver = true;
      listeners.delete(listening);
      this.#set(name, listeners);
    };
  }

  #set<K extends EventName>(name: K, listeners: ReadonlySet<Listening<K>>): void {
    const to: { [L in K]?: Listener<L> | undefined } = this.to;
    const all = [...listeners];
    if (all.length === 0) to[name] = undefined;
    else {
      to[name] = (event) => {
        for (const { listener, isOver } of all) if (!isOver) this.#call(name, listener, event);
      };
    }
  }

  #call<K extends EventName>(name: K, listener: Listener<K>, event: EventMap[K]): void {
    attempt(listener, ownEvent(event), (error) => {
      // A listener of failures that fails has nobody left to hear of it.
      if (name !== "failure") this.to.failure?.({ error, key: "", cost: 0 });
    });
  }
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
  const { policies } = decision;
  if (policies === undefined) return { ...decision };
  return { ...decision, policies: policies.map((verdict) => ({ ...verdict })) };
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

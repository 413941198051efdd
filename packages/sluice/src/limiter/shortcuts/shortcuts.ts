/**
 * Answers that a limiter gives without asking the store, and what ends them: verbs that adjust a key,
 * called through any limiter of the store in this process. Keys are as `keyInSlot` makes them.
 */
import { VERBS } from "../../algorithms/decide.js";
import type { Decision } from "../../core/decision.js";
import type { Events, Prefetched } from "../../events/events.js";
import type { Outcome, Store, StoreCall, StoreResult } from "../../stores/store.js";
import type { LimiterCounts } from "../counts.js";
import { decisionOf } from "../decisions.js";
import type { AskedCall, DenyCache, HeldDenial } from "./deny-cache.js";
import { type PrefetchTerms, Prefetch } from "./prefetch.js";
import type { BoundPolicy } from "../bound-policies.js";

export interface ShortcutOptions {
  readonly store: Store;
  /** Undefined if every denial must be the store's own. */
  readonly denials: DenyCache | undefined;
  readonly prefetch: PrefetchTerms | undefined;
  readonly timeoutMs: number;
  /** The limiter's, as events name it. */
  readonly name: string;
  readonly events: Events;
  readonly counts: LimiterCounts;
  /** Sends a refund within the limiter's deadline; never rejects. */
  readonly refund: (key: string, call: StoreCall) => Promise<void>;
}

type Peers = Set<WeakRef<Shortcuts>>;

/** The limiters of a store. One that was dropped without `close` must not be kept by its store. */
const peersOf = new WeakMap<Store, Peers>();
const dropped = new FinalizationRegistry<{ peers: Peers; ref: WeakRef<Shortcuts> }>(
  ({ peers, ref }) => peers.delete(ref),
);

export class Shortcuts {
  /** Lets consumes spend units taken in advance; undefined if the option is not set. */
  readonly prefetch: Prefetch | undefined;
  #denials: DenyCache | undefined;
  readonly #store: Store;
  readonly #ref: WeakRef<Shortcuts>;

  constructor(options: ShortcutOptions) {
    const { store, denials, prefetch } = options;
    this.#store = store;
    this.#ref = new WeakRef(this);
    this.#denials = denials;
    const { name, events, counts } = options;
    const changed = (change: Prefetched["change"], key: string, units: number): void => {
      if (change === "taken") counts.prefetchTaken += units;
      events.to.prefetch?.({ limiter: name, change, key, units });
    };
    this.prefetch =
      prefetch === undefined ? undefined : new Prefetch(prefetch, { ...options, changed });
    if (denials === undefined && prefetch === undefined) return;
    const peers: Peers = peersOf.get(store) ?? new Set();
    peersOf.set(store, peers);
    peers.add(this.#ref);
    dropped.register(this, { peers, ref: this.#ref });
  }

  /** Keys whose denials are remembered. */
  get deniedKeys(): number {
    return this.#denials?.size ?? 0;
  }

  /** What can be said to a consume at once. */
  answer(key: string, cost: number, bound: readonly BoundPolicy[]): Decision | undefined {
    return this.spend(key, cost, bound) ?? this.denial(key, cost, bound);
  }

  /** The admission of a consume for which units were taken ahead. */
  spend(key: string, cost: number, bound: readonly BoundPolicy[]): Decision | undefined {
    const prefetched = this.prefetch?.spend(key, cost, bound);
    return prefetched && decisionOf(bound, prefetched, "prefetch");
  }

  /** Takes back what `spend` has just given. */
  unspend(key: string, cost: number): void {
    this.prefetch?.unspend(key, cost);
  }

  /** The denial of a consume that the store is sure to deny. */
  denial(key: string, cost: number, bound: readonly BoundPolicy[]): Decision | undefined {
    return this.#denials?.find(key, cost, bound);
  }

  /**
   * A call is about to be sent; `overridden` if it has its own options. Quota drains by the options of the call that reads
   * it, so a call under others may bring it forward as a refund does. Of a consume whose denial may be remembered, the number
   * that `remember` will ask for.
   */
  before(
    key: string,
    call: StoreCall,
    bound: readonly BoundPolicy[],
    overridden: boolean,
  ): number | undefined {
    const { verb } = call;
    if (verb === VERBS.peek) return undefined;
    if (adjusts(call)) this.#forAll((peer) => peer.prefetch?.drop(key, call));
    if (adjusts(call) || overridden) this.expire(key);
    if (verb === VERBS.consume) return this.#denials?.ask(key, bound);
    this.#denials?.differs(key, bound);
    return undefined;
  }

  /**
   * A call on the key has ended: answered under `bound`, or lost. What is lost may have changed the key all the same,
   * but only the store can say so. Of consumes, `remember` takes note.
   */
  after(key: string, call: StoreCall, bound: readonly BoundPolicy[], outcome: Outcome): void {
    const { verb } = call;
    if (verb === VERBS.consume || verb === VERBS.peek) return;
    const isLost = outcome instanceof Error;
    if (!adjusts(call)) {
      if (!isLost) this.#denials?.differed(key, bound);
    } else if (isLost) this.expire(key);
    else this.forget(key);
  }

  /** Denials of the key are not repeated before the store has said so again, unless it is away. */
  expire(key: string): void {
    this.#forAll((peer) => peer.#denials?.expire(key));
  }

  /** What is sure to be denied while the store is away: denials hold to their own end. */
  held(key: string, cost: number, bound: readonly BoundPolicy[]): HeldDenial | undefined {
    return this.#denials?.held(key, cost, bound);
  }

  /** Forgets denials of the key, here and in all limiters of the store. */
  forget(key: string): void {
    this.#forAll((peer) => peer.#denials?.clear(key));
  }

  remember(key: string, asked: AskedCall, answer: StoreResult, decision: Decision): void {
    this.#denials?.remember(key, asked, answer, decision);
  }

  /** Ends all shortcuts; resolves when unused units were given back. */
  async close(): Promise<void> {
    peersOf.get(this.#store)?.delete(this.#ref);
    this.#denials = undefined;
    await this.prefetch?.close();
  }

  #forAll(what: (peer: Shortcuts) => void): void {
    for (const ref of peersOf.get(this.#store) ?? []) {
      const peer = ref.deref();
      if (peer !== undefined) what(peer);
    }
  }
}

/** Whether a call changes the key whatever it holds, and so may end a denial early. */
function adjusts({ verb }: StoreCall): boolean {
  return verb >= VERBS.refund && verb !== VERBS.reserve;
}

/** Plays random traces: the limiters of a trace on a store, and what each step asks of them. */
import type { Policy } from "../algorithms/registry.js";
import { consumeAtomic } from "../limiter/consume-atomic.js";
import { RateLimiter } from "../limiter/rate-limiter.js";
import type { Granted } from "../limiter/waiting/reserve.js";
import type { Store } from "../stores/store.js";
import type { Trace, TraceStep } from "./trace.js";

/** A trace's limiters at work on a store. */
export class TracePlayer implements AsyncDisposable {
  readonly #store: Store;
  readonly #namespace: string;
  readonly #trace: Trace;
  /** What a limiter is made with. */
  readonly #base: readonly Policy[];
  readonly #all: RateLimiter;
  readonly #held: Granted[] = [];

  constructor(store: Store, namespace: string, trace: Trace) {
    this.#store = store;
    this.#namespace = namespace;
    this.#trace = trace;
    this.#base = trace.variants[0] as readonly Policy[];
    this.#all = this.#limiterOf(this.#base);
  }

  /** The verb's answer, or `{ error }`; the clock is the caller's. */
  perform(step: TraceStep): Promise<unknown> {
    return this.#perform(step).catch((error: unknown) => ({ error: String(error) }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#all.close();
  }

  async #perform(step: TraceStep): Promise<unknown> {
    const { alone } = step;
    if (alone === undefined) return this.#ask(this.#all, step);
    // Gone again when the others wait in line: as if in another process, which they know nothing of.
    const limiter = this.#limiterOf(this.#base.slice(alone, alone + 1));
    try {
      return await this.#ask(limiter, step);
    } finally {
      await limiter.close();
    }
  }

  #limiterOf(policy: readonly Policy[]): RateLimiter {
    const { blockForMs } = this.#trace;
    return new RateLimiter({
      store: this.#store,
      namespace: this.#namespace,
      ...(blockForMs > 0 && { blockFor: blockForMs }),
      policy,
      onStoreFailure: "throw",
      // Every answer must be the store's own, at the time of a clock that only the store knows.
      denyCache: false,
      timeout: "30s",
    });
  }

  async #ask(limiter: RateLimiter, step: TraceStep): Promise<unknown> {
    const { verb, key, slot, cost, durationMs, keepLonger = false, reset = false } = step;
    switch (verb) {
      case "consume":
      case "consumeUpTo":
      case "peek":
        return limiter[verb](key, { slot, cost, policy: this.#policyOf(step) });
      case "reserve":
        return this.#reserve(limiter, step);
      case "cancel":
        return this.#held.splice(-1 - step.back, 1)[0]?.cancel();
      case "consumeMany":
        return limiter.consumeMany([{ key, slot, cost }, { key: "b" }, { key, slot }]);
      case "consumeAtomic":
        return consumeAtomic([
          { limiter, key, slot, cost },
          { limiter, ...this.#another(step), cost: 1 },
        ]);
      case "refund":
      case "penalize":
        return limiter[verb](key, cost, { slot });
      case "block":
        return limiter.block(key, durationMs, { keepLonger, reset, slot });
      case "unblock":
      case "reset":
        return limiter[verb](key, { slot });
    }
  }

  /** What an atomic call asks beside the step's key: on a Cluster, what shares a slot with it. */
  #another({ key, slot }: TraceStep): Pick<TraceStep, "key" | "slot"> {
    if (slot !== undefined) return { key: slot };
    if (this.#trace.atomicAcrossKeys) return { key: "b" };
    return key === "a" ? { key: "b", slot: "a" } : { key };
  }

  /** The options of one call. */
  #policyOf({ variant, alone }: TraceStep): Policy | readonly Policy[] {
    const options = this.#trace.variants[variant] as readonly Policy[];
    const chosen = alone === undefined ? options : options.slice(alone, alone + 1);
    return chosen.length === 1 ? (chosen[0] as Policy) : chosen;
  }

  /** Keeps the reservation for a cancel; returns what is comparable. */
  async #reserve(
    limiter: RateLimiter,
    { key, slot, cost, maxWaitMs }: TraceStep,
  ): Promise<unknown> {
    const reservation = await limiter.reserve(key, { slot, cost, maxWait: maxWaitMs });
    if (!reservation.allowed) return reservation;
    this.#held.push(reservation);
    const { delayMs, readyAtUs, decision } = reservation;
    return { delayMs, readyAtUs, decision };
  }
}

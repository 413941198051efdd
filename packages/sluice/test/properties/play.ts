/** A limiter on the store in memory, with the pure kernels beside it that say how far its clock may go back. */
import { expect } from "vitest";
import {
  type Decision,
  type Grant,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
} from "../../src/index.js";
import { reachable } from "../../src/testing/conformance.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";

export type PlayedVerb =
  | "consume"
  | "consumeUpTo"
  | "peek"
  | "refund"
  | "penalize"
  | "block"
  | "unblock"
  | "reset";

const KEY = "k";
const BLOCK_MS = 1500;

type AnyPolicy = Policy | readonly Policy[];

export class Play {
  readonly clock = new ManualClock();
  readonly #pure = new PureStore(this.clock);
  readonly #limiters: readonly RateLimiter[];

  constructor(policy: AnyPolicy, startUs: number, options: Partial<RateLimiterOptions> = {}) {
    this.clock.set(startUs);
    const stores = [new MemoryStore({ clock: this.clock }), this.#pure];
    this.#limiters = stores.map((store) => new RateLimiter({ policy, ...options, store }));
  }

  /** Moves the clock, but not back over the end of the key's life: what lived before is forgotten then. */
  move(us: number): void {
    const now = this.clock.nowUs();
    this.clock.set(reachable(this.#pure, now, Math.max(0, now + us)));
  }

  /** The answer of the store in memory, which must be the kernels' own. */
  async ask(verb: PlayedVerb, cost: number, policy?: AnyPolicy): Promise<Partial<Grant>> {
    const [actual, expected] = [
      await perform(this.#limiters[0] as RateLimiter, verb, cost, policy),
      await perform(this.#limiters[1] as RateLimiter, verb, cost, policy),
    ];
    expect(actual).toEqual(expected);
    return actual;
  }

  /** As `ask`, for verbs that answer with a decision. */
  async decide(
    verb: "consume" | "consumeUpTo" | "peek" | "refund" | "penalize",
    cost: number,
    policy?: AnyPolicy,
  ): Promise<Decision & Partial<Grant>> {
    return (await this.ask(verb, cost, policy)) as Decision;
  }
}

async function perform(
  limiter: RateLimiter,
  verb: PlayedVerb,
  cost: number,
  policy: AnyPolicy | undefined,
): Promise<Partial<Grant>> {
  switch (verb) {
    case "consume":
    case "consumeUpTo":
    case "peek":
      return limiter[verb](KEY, { cost, ...(policy !== undefined && { policy }) });
    case "refund":
    case "penalize":
      return limiter[verb](KEY, cost);
    case "block":
      await limiter.block(KEY, BLOCK_MS);
      return {};
    case "unblock":
    case "reset":
      await limiter[verb](KEY);
      return {};
  }
}

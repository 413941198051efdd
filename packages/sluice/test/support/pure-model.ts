/** The pure kernels as the sequential model of a plan's history. */
import { isDeepStrictEqual } from "node:util";
import type { HitLog } from "../../src/algorithms/sliding-log/hits.js";
import { type RateLimiter, StoreUnavailableError } from "../../src/index.js";
import type { StoreResult, StoreCall } from "../../src/stores/store.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";
import type { PureSnapshot } from "../../src/testing/pure-store.js";
import { type Happened, limitersOn, type Plan, POISONED, UNSEEN } from "./concurrent.js";
import { answerOf } from "./errands.js";
import type { Model } from "./linearize.js";

interface Moment {
  readonly states: PureSnapshot;
  readonly poisoned: ReadonlySet<string>;
}

/** Fails calls on keys that something else was written under, before it touches any key. */
class PoisonableStore extends PureStore {
  poisoned: ReadonlySet<string> = new Set();

  override executeSync(call: StoreCall): StoreResult {
    if (call.debits.some(({ keyspace, id }) => this.poisoned.has(`${keyspace.name}:{${id}}`))) {
      throw new StoreUnavailableError(POISONED.error);
    }
    return super.executeSync(call);
  }
}

export class PureModel implements Model<Happened, Moment> {
  readonly #clock = new ManualClock();
  readonly #store = new PoisonableStore(this.#clock);
  readonly #limiters: readonly RateLimiter[];

  constructor(plan: Plan, namespace: string) {
    this.#limiters = limitersOn(this.#store, namespace, plan);
  }

  async admits({ poisons, again, atUs, outcome }: Happened): Promise<boolean> {
    if (poisons !== undefined) {
      this.#store.poisoned = new Set([...this.#store.poisoned, poisons]);
      return true;
    }
    if (atUs !== undefined) this.#clock.set(atUs);
    const expected = await this.#does(again).catch((error: unknown) =>
      error instanceof StoreUnavailableError ? POISONED : { error: String(error) },
    );
    if (outcome === UNSEEN) return this.#store.poisoned.size > 0;
    return isDeepStrictEqual(outcome, expected);
  }

  async #does(again: Happened["again"]): Promise<unknown> {
    if (typeof again === "function") return again(this.#limiters);
    return answerOf(again, this.#store.executeSync(again));
  }

  save(): Moment {
    return { states: this.#store.snapshot(), poisoned: this.#store.poisoned };
  }

  restore({ states, poisoned }: Moment): void {
    this.#store.restore(states);
    this.#store.poisoned = poisoned;
  }

  describe({ states, poisoned }: Moment): string {
    const sorted = [...states].sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([sorted, [...poisoned].sort()], listHits);
  }
}

/** A log of hits as their times and sums, for it keeps them to itself. */
function listHits(this: unknown, name: string, value: unknown): unknown {
  if (name !== "hits") return value;
  const { first, next } = this as { first: number; next: number };
  const log = value as HitLog;
  return Array.from({ length: next - first }, (_, i) => [log.at(first + i), log.sum(first + i)]);
}

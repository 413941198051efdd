/** Plans of concurrent calls, which leave a history when they are played on a store. */
import { setImmediate as turn } from "node:timers/promises";
import { ruleOf } from "../../src/algorithms/rule.js";
import {
  consumeAtomic,
  type Policy,
  RateLimiter,
  type Space,
  type Store,
} from "../../src/index.js";
import type { Done, StoreCall } from "../../src/stores/store.js";
import type { ManualClock } from "../../src/testing/index.js";
import type { Interval } from "./linearize.js";

/** What a client does next: call a verb, or write something else under a key behind the limiter's back. */
export interface PlannedCall {
  readonly verb: PlannedVerb;
  readonly limiter: number;
  readonly key: string;
  /** The second key of calls that span two. */
  readonly otherKey: string;
  readonly cost: number;
  readonly durationMs: number;
  /** Which of the limiter's policies: the options may change from call to call. */
  readonly variant: 0 | 1;
  /** How far the clock moves before the call, where it is a manual one. */
  readonly advanceUs: number;
  /** Turns of the event loop to let pass before the call. */
  readonly turns: number;
  /** Whether the client waits for all its answers before it goes on. */
  readonly waits: boolean;
}

export type PlannedVerb =
  | "consume"
  | "consumeUpTo"
  | "consumeMany"
  | "consumeAtomic"
  | "peek"
  | "refund"
  | "penalize"
  | "block"
  | "unblock"
  | "reset"
  | "poison";

export interface PlannedLimiter {
  readonly variants: readonly [readonly Policy[], readonly Policy[]];
  readonly blockForMs: number;
}

export interface Plan {
  readonly limiters: readonly PlannedLimiter[];
  readonly clients: readonly (readonly PlannedCall[])[];
}

/** What happened: one decision, of one client. */
export interface Happened extends Interval {
  /** The call, as text. */
  readonly name: string;
  readonly outcome: unknown;
  /** Whether the time that decided was the clock's while the call was under way. */
  readonly isTimely: boolean;
  /** The same on the limiters of a model. */
  readonly again: (limiters: readonly RateLimiter[]) => Promise<unknown>;
  /** The store key that was overwritten. */
  readonly poisons?: string;
}

/** The outcome of a call whose key holds something else. */
export const POISONED = { error: "the key holds something else" };
/** The outcome of a decision beside one that failed: nobody was told what came of it. */
export const UNSEEN = { error: "unseen" };

/** Limiters that wait for nothing but the store, and say when it fails. */
export function limitersOn(store: Store, namespace: string, plan: Plan): RateLimiter[] {
  return plan.limiters.map(
    ({ variants, blockForMs }, i) =>
      new RateLimiter({
        policy: variants[0],
        store,
        namespace: `${namespace}.${i}`,
        identity: "plain",
        timeout: "60s",
        onStoreFailure: "throw",
        denyCache: false,
        ...(blockForMs > 0 && { blockFor: blockForMs }),
      }),
  );
}

/** Passes calls on, and notes when they were decided. */
class TimedStore implements Store {
  readonly external = true;
  /** Takes the times of the calls that are submitted now, in their order. */
  times: (number | undefined)[] = [];
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  open(...args: Parameters<Store["open"]>): Space {
    return this.#store.open(...args);
  }

  claim(space: string, fingerprint: string): void {
    this.#store.claim(space, fingerprint);
  }

  release(space: string, fingerprint: string): void {
    this.#store.release(space, fingerprint);
  }

  submit(call: StoreCall, done: Done): void {
    const { times } = this;
    const at = times.push(undefined) - 1;
    this.#store.submit(call, (outcome) => {
      if (!(outcome instanceof Error)) times[at] = outcome.nowUs;
      done(outcome);
    });
  }

  async close(): Promise<void> {}
}

/** One limiter call, and the single decisions that it is made of. */
interface Deed {
  /** One promise a decision. */
  readonly start: (limiters: readonly RateLimiter[]) => Promise<unknown>[];
  readonly again: readonly Happened["again"][];
}

function deedOf(plan: Plan, call: PlannedCall): Deed {
  const { limiter: at, key, otherKey, cost, durationMs, verb } = call;
  const { variants, blockForMs } = plan.limiters[at] as PlannedLimiter;
  const chosen = variants[call.variant];
  const policy = chosen.length === 1 ? (chosen[0] as Policy) : chosen;
  const one = (again: (limiter: RateLimiter) => Promise<unknown>): Deed => {
    const on: Happened["again"] = (limiters) => again(limiters[at] as RateLimiter);
    return { start: (limiters) => [on(limiters)], again: [on] };
  };
  switch (verb) {
    case "consume":
    case "consumeUpTo":
    case "peek":
      return one((limiter) => limiter[verb](key, { cost, policy }));
    case "refund":
    case "penalize":
      return one((limiter) => limiter[verb](key, cost));
    case "block":
      return one((limiter) => limiter.block(key, durationMs));
    case "unblock":
    case "reset":
      return one((limiter) => limiter[verb](key));
    case "consumeMany": {
      const requests = [{ key, cost }, { key: otherKey }, { key }];
      return {
        start: (limiters) => {
          const decisions = (limiters[at] as RateLimiter).consumeMany(requests);
          return requests.map(async (_, i) => (await decisions)[i]);
        },
        again: requests.map(({ key: own, ...options }) => (limiters) => {
          return (limiters[at] as RateLimiter).consume(own, options);
        }),
      };
    }
    case "consumeAtomic": {
      // A block after the denial would be a call of its own.
      if (blockForMs > 0) return one((limiter) => limiter.consume(key, { cost }));
      const lastAt = plan.limiters.findLastIndex((limiter) => limiter.blockForMs === 0);
      const again: Happened["again"] = (limiters) => {
        const [limiter, last] = [limiters[at], limiters[lastAt]] as [RateLimiter, RateLimiter];
        return consumeAtomic([
          { limiter, key, cost },
          { limiter: last, key: otherKey, cost: 1 },
        ]);
      };
      return { start: (limiters) => [again(limiters)], again: [again] };
    }
    case "poison":
      return one(async () => undefined);
  }
}

/** The key of the limiter's first policy. */
function storeKey(namespace: string, plan: Plan, { limiter, key }: PlannedCall): string {
  const policy = plan.limiters[limiter]?.variants[0][0] as Policy;
  return `${namespace}.${limiter}:${policy.name}~${ruleOf(policy).kernel.tag}:{${key}}`;
}

/** A calendar whose table turns out to be off is sent again, behind the calls that came with it. */
function maySendAgain(plan: Plan, { limiter }: PlannedCall): boolean {
  const variants = plan.limiters[limiter]?.variants.flat() ?? [];
  return variants.some(({ algorithm }) => algorithm === "calendar-window");
}

const SOMETHING_ELSE = /holds a (value of another type|state of a format)/;

function failure(error: unknown, { verb }: PlannedCall): { readonly error: string } {
  const text = String(error);
  if (!SOMETHING_ELSE.test(text)) return { error: text };
  return verb === "consumeMany" ? UNSEEN : POISONED;
}

export interface Stage {
  readonly store: Store;
  readonly namespace: string;
  /** Where it decides in place of the store's own. */
  readonly clock?: ManualClock;
  /** Writes something else under a key. */
  readonly poison?: (key: string) => Promise<unknown>;
}

/** Plays all clients of a plan at once; the history is sorted by `begin`. */
export async function play(plan: Plan, stage: Stage): Promise<Happened[]> {
  const { namespace, clock } = stage;
  const store = new TimedStore(stage.store);
  const limiters = limitersOn(store, namespace, plan);
  const history: Happened[] = [];
  let moment = 0;

  /** Makes a call; resolves when all its decisions are in the history. */
  const make = (client: number, call: PlannedCall): Promise<unknown> => {
    const { start, again } = deedOf(plan, call);
    const key = storeKey(namespace, plan, call);
    const earliestUs = clock?.nowUs() ?? 0;
    const begins = again.map(() => moment++);
    const times = (store.times = []) as readonly (number | undefined)[];
    const decisions =
      call.verb === "poison" ? [Promise.resolve(stage.poison?.(key))] : start(limiters);
    return Promise.all(
      decisions.map(async (decision, i) => {
        const outcome = await decision.catch((error: unknown) => failure(error, call));
        const latestUs = clock?.nowUs() ?? Number.POSITIVE_INFINITY;
        history.push({
          name: JSON.stringify(call),
          // Whoever writes behind the limiters' backs does so on a way of his own.
          client: call.verb === "poison" ? -1 - (begins[i] as number) : client,
          begin: begins[i] as number,
          end: moment++,
          atUs: times[i],
          isTimely: times[i] === undefined || (earliestUs <= times[i] && times[i] <= latestUs),
          outcome,
          again: again[i] as Happened["again"],
          ...(call.verb === "poison" && { poisons: key }),
        });
      }),
    );
  };

  await Promise.all(
    plan.clients.map(async (calls, client) => {
      let outstanding: Promise<unknown>[] = [];
      for (const call of calls) {
        for (let i = 0; i < call.turns; i++) await turn();
        clock?.set(clock.nowUs() + call.advanceUs);
        outstanding.push(make(client, call));
        if (!call.waits && !maySendAgain(plan, call)) continue;
        await Promise.all(outstanding);
        outstanding = [];
      }
      await Promise.all(outstanding);
    }),
  );
  await Promise.all(limiters.map((limiter) => limiter.close()));
  return history.sort((a, b) => a.begin - b.begin);
}

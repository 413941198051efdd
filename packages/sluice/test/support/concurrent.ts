/** Plans of concurrent calls, which leave a history when they are played on a store. */
import { setImmediate as turn } from "node:timers/promises";
import { inspect, isDeepStrictEqual } from "node:util";
import { ruleOf } from "../../src/algorithms/rule.js";
import { consumeAtomic, type Policy, RateLimiter, type Store } from "../../src/index.js";
import type { StoreResult, StoreCall } from "../../src/stores/store.js";
import type { ManualClock } from "../../src/testing/index.js";
import {
  answerOf,
  atomicLimiters,
  atomicRequests,
  type Errand,
  errandOf,
  type Granted,
} from "./errands.js";
import type { Interval } from "./linearize.js";
import { keysOf, type SeenCall, type Watch, WatchedStore } from "./watched-store.js";

/** What a client does next: call a verb, or write something else under a key behind the limiter's back. */
export interface PlannedCall {
  readonly verb: PlannedVerb;
  readonly limiter: number;
  readonly key: string;
  /** The second key of calls that span two. */
  readonly otherKey: string;
  readonly cost: number;
  readonly durationMs: number;
  /** The longest wait of those who wait in line; Infinity = any. */
  readonly maxWaitMs: number;
  /** Which reservation a cancel is about: so many before the newest. */
  readonly back: number;
  /** Turns of the event loop after which who waits in line gives up. */
  readonly patience: number;
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
  | "reserve"
  | "cancel"
  | "acquire"
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

type Again = (limiters: readonly RateLimiter[]) => Promise<unknown>;

/** What happened: one decision, of one client. */
export interface Happened extends Interval {
  /** The call, as text. */
  readonly name: string;
  readonly outcome: unknown;
  /** Whether the time that decided was the clock's while the call was under way. */
  readonly isTimely: boolean;
  /** The same on the limiters of a model, or what their store was asked. */
  readonly again: Again | StoreCall;
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

/** One limiter call, and the single decisions that it is made of. */
interface Deed {
  /** One promise a decision. */
  readonly start: (limiters: readonly RateLimiter[]) => Promise<unknown>[];
  readonly again: readonly Again[];
}

function deedOf(plan: Plan, call: PlannedCall): Deed {
  const { limiter: at, key, otherKey, cost, durationMs, verb } = call;
  const { variants } = plan.limiters[at] as PlannedLimiter;
  const chosen = variants[call.variant];
  const policy = chosen.length === 1 ? (chosen[0] as Policy) : chosen;
  const one = (again: (limiter: RateLimiter) => Promise<unknown>): Deed => {
    const on = async (limiters: readonly RateLimiter[]): Promise<unknown> =>
      again(limiters[at] as RateLimiter);
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
      const again: Again = (limiters) => consumeAtomic(atomicRequests(plan, call, limiters));
      return { start: (limiters) => [again(limiters)], again: [again] };
    }
    case "reserve":
    case "cancel":
    case "acquire":
    case "poison":
      throw new Error(`${verb} is no single decision`);
  }
}

/** The key of the limiter's first policy. */
function storeKey(namespace: string, plan: Plan, { limiter, key }: PlannedCall): string {
  const policy = plan.limiters[limiter]?.variants[0][0] as Policy;
  return `${namespace}.${limiter}:${policy.name}~${ruleOf(policy).kernel.tag}:{${key}}`;
}

/** A calendar whose table turns out to be off is sent again, behind the calls that came with it. */
function maySendAgain(plan: Plan, call: PlannedCall): boolean {
  const places = call.verb === "consumeAtomic" ? atomicLimiters(plan, call) : [call.limiter];
  return places
    .flatMap((i) => plan.limiters[i]?.variants.flat() ?? [])
    .some(({ algorithm }) => algorithm === "calendar-window");
}

const NOT_SENT = /the call was not sent/;
const SOMETHING_ELSE = /holds a (value of another type|state of a format)/;

function failure(error: unknown, verb?: PlannedVerb): { readonly error: string } {
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
  const store = new WatchedStore(stage.store);
  const limiters = limitersOn(store, namespace, plan);
  const held: Granted[] = [];
  const history: Happened[] = [];
  /** What callers were told that is not what the store said. */
  const lies: string[] = [];
  let moment = 0;

  /** Begins a part of the history; returns what ends it. */
  const begin = (
    part: Pick<Happened, "name" | "client" | "again" | "poisons">,
  ): ((outcome: unknown, seen: Partial<SeenCall>) => void) => {
    const earliestUs = clock?.nowUs() ?? 0;
    const from = moment++;
    return (outcome, { keys, atUs }) => {
      const latestUs = clock?.nowUs() ?? Number.POSITIVE_INFINITY;
      const isTimely = atUs === undefined || (earliestUs <= atUs && atUs <= latestUs);
      const isUntold = outcome === UNSEEN;
      history.push({
        ...part,
        begin: from,
        end: moment++,
        keys,
        atUs,
        isTimely,
        isUntold,
        outcome,
      });
    };
  };

  /** Makes a call; resolves when all its decisions are in the history. */
  const make = (client: number, call: PlannedCall): Promise<unknown> => {
    const name = JSON.stringify(call);
    if (call.verb === "poison") return poison(name, storeKey(namespace, plan, call));
    const errand = errandOf(plan, call, held);
    if (errand !== undefined) return goOn(errand, client, name);
    const { start, again } = deedOf(plan, call);
    const ends = again.map((each) => begin({ name, client, again: each }));
    const seen: SeenCall[] = (store.seen = []);
    return Promise.all(
      start(limiters).map(async (decision, i) => {
        const outcome = await decision.catch((error: unknown) => failure(error, call.verb));
        ends[i]?.(outcome, seen[i] ?? {});
      }),
    );
  };

  /** Whoever writes behind the limiters' backs does so on a way of his own. */
  const poison = async (name: string, key: string): Promise<void> => {
    const end = begin({ name, client: -1 - moment, again: async () => undefined, poisons: key });
    await stage.poison?.(key);
    end(undefined, {});
  };

  const goOn = async (errand: Errand, client: number, name: string): Promise<void> => {
    const answers: (StoreResult | Error)[] = [];
    // What is asked later, after an answer, is not in line with the client's other calls.
    let isLater = false;
    const watch: Watch = (call) => {
      const text = `${name}, verb ${call.verb}`;
      const end = begin({ name: text, client: isLater ? -1 - moment : client, again: call });
      const keys = keysOf(call);
      return (answer) => {
        // Who gave up before his call was sent changed nothing.
        if (answer instanceof Error && NOT_SENT.test(answer.message)) return;
        answers.push(answer);
        if (answer instanceof Error) end(failure(answer), { keys });
        else end(answerOf(call, answer), { keys, atUs: answer.nowUs });
      };
    };
    const errands = store.watching(watch, () => errand.run(limiters));
    isLater = true;
    const told = await errands.catch((error: unknown) => error);
    const failed = answers.find((answer) => answer instanceof Error);
    if (failed !== undefined || told === undefined) return;
    const tells = errand.tells(answers as StoreResult[]);
    if (!isDeepStrictEqual(told, tells)) {
      lies.push(`${name} was told ${inspect(told)} when it was ${inspect(tells)}`);
    }
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
  await store.settled();
  if (lies.length > 0) throw new Error(lies.join("\n"));
  await Promise.all(limiters.map((limiter) => limiter.close()));
  return history.sort((a, b) => a.begin - b.begin);
}

/**
 * Calls to a slot of a Cluster that is moving to another node. Meanwhile a script is served only where all
 * of its keys are: the others get TRYAGAIN, which proves that nothing was done. A batch is then taken
 * apart, for calls on one key are always served; a call on several keys is tried again until they are
 * in one place, or nobody waits for it any more. No other failure is a reason to send anything again.
 */
import { VERBS } from "../../algorithms/decide.js";
import { monotonicMs, startTimer } from "../../core/clock.js";
import type { Answer, StoreCall } from "../store.js";
import type { SendBatch, Sending } from "./batcher.js";

type Settle = (i: number, outcome: Answer | Error) => void;

const FIRST_RETRY_MS = 2;
const LONGEST_RETRY_MS = 50;
/** For how long after a TRYAGAIN the calls to the slot are sent apart. */
const APART_MS = 1000;
/** A client that tried many times by itself before it told us must not do so often. */
const APART_PER_LOST_MS = 10;

/**
 * What a node says, or a client when it has had enough of being sent to and fro: on TRYAGAIN ioredis asks any node, so
 * that the last answer may be that of one which has nothing to do with the slot. None of these nodes did anything.
 */
const TRY_AGAIN = /^(?:TRYAGAIN|Too many Cluster redirections.*(?:TRYAGAIN|ASK|MOVED)) /;
/** Of node-redis, with the node's answer as the cause. */
const TO_AND_FRO = "Too many Cluster redirections";

/** Whether a call failed because its slot is moving, so that it may be sent again. */
export function isTryAgain(outcome: unknown): outcome is Error {
  if (!(outcome instanceof Error)) return false;
  const { message, cause } = outcome;
  return TRY_AGAIN.test(message) || (message === TO_AND_FRO && cause instanceof Error);
}

/** Waits until it is worth trying again, longer each time. */
export function growingPause(): () => Promise<void> {
  let nextMs = FIRST_RETRY_MS;
  return () => {
    const ms = nextMs;
    nextMs = Math.min(2 * ms, LONGEST_RETRY_MS);
    return new Promise((resolve) => {
      startTimer(ms, resolve);
    });
  };
}

/** Sends the calls of one slot, whether it is moving or not. */
export class MovingSlots {
  readonly #send: SendBatch;
  /** Until when the calls of a slot go apart; as many entries at most as there are slots. */
  readonly #apartUntilMs = new Map<number, number>();

  constructor(send: SendBatch) {
    this.#send = send;
  }

  /** Settles every call that it sends, those on several keys that wait for them to meet after it resolves. */
  send(slot: number, calls: readonly StoreCall[], settle: Settle): Sending {
    const places = calls.map((_, i) => i);
    if (this.#goApart(slot)) return { left: [], settled: this.#sendApart(calls, places, settle) };
    const sentMs = monotonicMs();
    const again: number[] = [];
    const { left, settled } = this.#send(calls, withoutRetries(places, settle, again));
    const rest = async (): Promise<void> => {
      await settled;
      if (again.length === 0) return;
      const apartMs = Math.max(APART_MS, APART_PER_LOST_MS * (monotonicMs() - sentMs));
      this.#apartUntilMs.set(slot, monotonicMs() + apartMs);
      await this.#sendApart(calls, again, settle);
    };
    return { left, settled: rest() };
  }

  async #sendApart(
    calls: readonly StoreCall[],
    places: readonly number[],
    settle: Settle,
  ): Promise<void> {
    await Promise.all(
      byKeys(calls, places).map(async (group) => {
        const again = await this.#try(calls, group, settle);
        // Not awaited: a wait for one slot must not hold back the batches of all others.
        if (again.length > 0) void this.#persist(calls, again, settle);
      }),
    );
  }

  #goApart(slot: number): boolean {
    const untilMs = this.#apartUntilMs.get(slot);
    if (untilMs === undefined || monotonicMs() < untilMs) return untilMs !== undefined;
    this.#apartUntilMs.delete(slot);
    return false;
  }

  /** Sends these calls; those that the server told to try again are not settled, but returned. */
  async #try(
    calls: readonly StoreCall[],
    places: readonly number[],
    settle: Settle,
  ): Promise<number[]> {
    const again: number[] = [];
    for (let rest = places; rest.length > 0; ) {
      const sent = rest;
      const { left, settled } = this.#send(
        sent.map((i) => calls[i] as StoreCall),
        withoutRetries(sent, settle, again),
      );
      rest = left.map((k) => sent[k] as number);
      await settled;
    }
    return again;
  }

  async #persist(
    calls: readonly StoreCall[],
    places: readonly number[],
    settle: Settle,
  ): Promise<void> {
    let waiting = places;
    for (const pause = growingPause(); ; ) {
      await pause();
      // Nobody listens to what becomes of the others.
      waiting = waiting.filter((i) => calls[i]?.abandoned !== true);
      if (waiting.length === 0) return;
      waiting = await this.#try(calls, waiting, settle);
    }
  }
}

/** Settles the calls of `places`, but for those to try again. */
function withoutRetries(places: readonly number[], settle: Settle, again: number[]): Settle {
  return (k, outcome) => {
    const i = places[k] as number;
    if (isTryAgain(outcome)) again.push(i);
    else settle(i, outcome);
  };
}

/** Which of the calls have the same keys, in order of arrival. A refund has one more of its own. */
function byKeys(calls: readonly StoreCall[], places: readonly number[]): readonly number[][] {
  const groups = new Map<string, number[]>();
  for (const i of places) {
    const { verb, seats } = calls[i] as StoreCall;
    const own = verb === VERBS.refund ? `${i}` : "";
    const keys = seats.map(({ space, id }) => `${space.name}:{${id}}`).join("\n") + own;
    const group = groups.get(keys);
    if (group === undefined) groups.set(keys, [i]);
    else group.push(i);
  }
  return [...groups.values()];
}

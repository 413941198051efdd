/**
 * Takes the charges of a request, all or nothing: rates first, those of a store together in one round trip; then places of
 * semaphores; then what is worth waiting for. Whatever is refused undoes what was taken before it.
 */
import {
  ClosedError,
  CrossSlotError,
  MaxWaitExceededError,
  PolicyUnavailableError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import type { Decision } from "../core/decision.js";
import { consumeAtomic } from "../limiter/consume-atomic.js";
import { waitFor } from "../limiter/waiting/acquire.js";
import { reserveRequest } from "../limiter/waiting/reserve.js";
import type { Permit } from "../semaphore/permit.js";
import type { Store } from "../stores/store.js";
import type { HttpCall } from "./call.js";
import type { CheckedCharge } from "./charge.js";
import type { ChargedLimiter, ChargedSemaphore } from "./chargeable.js";
import type { DenialReason } from "./denial.js";
import type { WaitingRoom } from "./waiting-room.js";

/** A charge, and what came of it. */
export interface ChargeAnswer {
  readonly charge: CheckedCharge;
  readonly key: string;
  /** Of a limiter that was asked. */
  decision: Decision | undefined;
  /** Whether it took units, and they were not given back yet. */
  hasTaken: boolean;
  /** Of a semaphore that had a place. */
  permit: Permit | undefined;
  /** Why it would not let the request pass. */
  refused: ChargeRefused | undefined;
}

/** Why a request is refused. */
export interface ChargeRefused {
  readonly reason: DenialReason;
  /** Whole milliseconds; Infinity for ever. */
  readonly retryAfterMs: number;
}

export interface Answered {
  /** One for each charge, in order. */
  readonly answers: readonly ChargeAnswer[];
  /** Undefined where the request may pass. */
  readonly refused: ChargeRefused | undefined;
}

/** Nobody knows when a store is back, or a place is free. */
const SOON_MS = 1000;
const NO_STORE: ChargeRefused = { reason: "store", retryAfterMs: SOON_MS };
const NO_PLACE: ChargeRefused = { reason: "concurrency", retryAfterMs: SOON_MS };
const FULL: ChargeRefused = { reason: "quota", retryAfterMs: SOON_MS };

/** Stores on which a request's keys were found to lie in different slots. */
const apart = new WeakSet<Store>();

export class Charging {
  readonly #answers: readonly ChargeAnswer[];
  readonly #waiting: WaitingRoom;
  readonly #call: HttpCall;

  constructor(charges: readonly CheckedCharge[], waiting: WaitingRoom, call: HttpCall) {
    this.#answers = charges.map((charge) => ({
      charge,
      key: charge.key as string,
      decision: undefined,
      hasTaken: false,
      permit: undefined,
      refused: undefined,
    }));
    this.#waiting = waiting;
    this.#call = call;
  }

  /** At once for one rate of a store in this process. */
  take(): Answered | Promise<Answered> {
    const [only] = this.#answers;
    if (this.#answers.length > 1 || only === undefined) return this.#takeAll();
    const { charge, key } = only;
    const { to, slot, cost, maxWaitMs, settle } = charge;
    if (to.kind !== "limiter" || maxWaitMs > 0 || to.sync === undefined) return this.#takeAll();
    try {
      const options = { cost, slot, settle: settle !== undefined };
      const decision = to.pipeline.consumeSync(to.sync, key, options);
      return { answers: this.#answers, refused: decided(only, decision) };
    } catch (error) {
      return { answers: this.#answers, refused: refusedBecause(error) };
    }
  }

  async #takeAll(): Promise<Answered> {
    const answers = this.#answers;
    try {
      const refused =
        (await this.#takeRates()) ?? (await this.#takePlaces()) ?? (await this.#takeTurns());
      if (refused !== undefined) await this.#undo();
      return { answers, refused };
    } catch (error) {
      await this.#undo();
      return { answers, refused: refusedBecause(error) };
    }
  }

  async #takeRates(): Promise<ChargeRefused | undefined> {
    const stores = new Map<Store, ChargeAnswer[]>();
    for (const answer of this.#answers) {
      const { to, maxWaitMs } = answer.charge;
      if (to.kind !== "limiter" || maxWaitMs > 0) continue;
      const { store } = to.pipeline;
      const others = stores.get(store);
      if (others === undefined) stores.set(store, [answer]);
      else others.push(answer);
    }
    for (const [store, rates] of stores) {
      // One store after another: what the first refuses, the second need not give back.
      const refused =
        rates.length === 1 ? await takeRate(rates[0] as ChargeAnswer) : await takeSet(store, rates);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #takePlaces(): Promise<ChargeRefused | undefined> {
    for (const answer of this.#answers) {
      const { to, maxWaitMs } = answer.charge;
      if (to.kind !== "semaphore") continue;
      // In order, so that two requests for the same places cannot wait for each other.
      const refused =
        maxWaitMs > 0 ? await this.#waitForPlace(answer, to) : await takePlace(answer, to);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #waitForPlace(
    answer: ChargeAnswer,
    { semaphore }: ChargedSemaphore,
  ): Promise<ChargeRefused | undefined> {
    const { cost: weight, maxWaitMs: maxWait, slot } = answer.charge;
    try {
      answer.permit = await this.#wait((signal) =>
        semaphore.acquire(answer.key, { weight, slot, maxWait, signal }),
      );
    } catch (error) {
      if (!(error instanceof MaxWaitExceededError)) throw error;
    }
    return placed(answer);
  }

  async #takeTurns(): Promise<ChargeRefused | undefined> {
    for (const answer of this.#answers) {
      const { to, maxWaitMs } = answer.charge;
      if (to.kind !== "limiter" || maxWaitMs === 0) continue;
      const refused = await this.#waitForTurn(answer, to);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #waitForTurn(
    answer: ChargeAnswer,
    { pipeline }: ChargedLimiter,
  ): Promise<ChargeRefused | undefined> {
    const { cost, slot, maxWaitMs: maxWait } = answer.charge;
    const request = reserveRequest(answer.key, { cost, slot, maxWait });
    const outcome = await this.#wait((gone) =>
      pipeline.closing.during(gone, (signal) => waitFor(pipeline, { ...request, signal })),
    );
    if (outcome === undefined) return FULL;
    return decided(answer, outcome.reservation.decision);
  }

  /** undefined where too many wait, and where the client left meanwhile: nobody sees how that is answered. */
  async #wait<T>(wait: (gone: AbortSignal | undefined) => Promise<T>): Promise<T | undefined> {
    const gone = this.#call.gone?.();
    try {
      return await this.#waiting.during(() => wait(gone));
    } catch (error) {
      if (gone?.aborted === true && error === gone.reason) return undefined;
      throw error;
    }
  }

  /** Gives back what was taken. What cannot be given back is reported by the limiter's own hooks. */
  async #undo(): Promise<void> {
    await Promise.allSettled(
      this.#answers.map(async (answer) => {
        const { charge, key, decision, permit, hasTaken } = answer;
        answer.permit = undefined;
        answer.hasTaken = false;
        await permit?.[Symbol.asyncDispose]();
        const { to, cost, slot } = charge;
        if (to.kind !== "limiter" || !hasTaken) return;
        answer.decision = await to.limiter.refund(key, cost, { of: decision, slot });
      }),
    );
  }
}

async function takeRate(answer: ChargeAnswer): Promise<ChargeRefused | undefined> {
  const { charge, key } = answer;
  const { limiter } = charge.to as ChargedLimiter;
  const { cost, slot } = charge;
  const settle = charge.settle === undefined ? undefined : true;
  return decided(answer, await limiter.consume(key, { cost, slot, settle }));
}

/** Several of one store, all or nothing. */
async function takeSet(
  store: Store,
  rates: readonly ChargeAnswer[],
): Promise<ChargeRefused | undefined> {
  const requests = rates.map(({ charge: { to, slot, cost, settle }, key }) => {
    const { limiter } = to as ChargedLimiter;
    return { limiter, key, slot, cost, settle: settle !== undefined };
  });
  const { allowed, decisions } = await together(store, requests);
  const refused = rates.flatMap((rate, i) => decided(rate, decisions[i] as Decision) ?? []);
  if (allowed) return undefined;
  // They were not charged, whatever they say: nothing is to be given back of them.
  for (const rate of rates) rate.hasTaken = false;
  return refused.toSorted(byWeight)[0] ?? NO_STORE;
}

async function together(
  store: Store,
  requests: Parameters<typeof consumeAtomic>[0],
): ReturnType<typeof consumeAtomic> {
  const [first, ...others] = requests.map(({ key, slot = key }) => slot);
  const areTogether = others.every((slot) => slot === first);
  if (!areTogether && apart.has(store)) return consumeAtomic(requests, { atomic: false });
  try {
    return await consumeAtomic(requests);
  } catch (error) {
    if (!(error instanceof CrossSlotError)) throw error;
    apart.add(store);
    return consumeAtomic(requests, { atomic: false });
  }
}

async function takePlace(
  answer: ChargeAnswer,
  { semaphore }: ChargedSemaphore,
): Promise<ChargeRefused | undefined> {
  const { cost: weight, slot } = answer.charge;
  answer.permit = await semaphore.tryAcquire(answer.key, { weight, slot });
  return placed(answer);
}

function placed(answer: ChargeAnswer): ChargeRefused | undefined {
  answer.refused = answer.permit === undefined ? NO_PLACE : undefined;
  return answer.refused;
}

function decided(answer: ChargeAnswer, decision: Decision): ChargeRefused | undefined {
  const { allowed, reason, retryAfterMs } = decision;
  answer.decision = decision;
  // A shadow lets pass what it did not count, and its reason says so.
  answer.hasTaken = allowed && reason === "ok";
  answer.refused = allowed || reason === "ok" ? undefined : { reason, retryAfterMs };
  return answer.refused;
}

/** What weighs more comes first: what never passes, then the longest wait; a store's failure says least. */
function byWeight(a: ChargeRefused, b: ChargeRefused): number {
  const [first, second] = [a, b].map(({ reason }) => (reason === "store" ? 1 : 0)) as [
    number,
    number,
  ];
  if (first !== second) return first - second;
  return a.retryAfterMs === b.retryAfterMs ? 0 : b.retryAfterMs - a.retryAfterMs;
}

/** Throws what is not the failure of a store. */
function refusedBecause(error: unknown): ChargeRefused {
  const isOurs =
    error instanceof StoreUnavailableError ||
    error instanceof StoreTimeoutError ||
    error instanceof ClosedError ||
    error instanceof PolicyUnavailableError;
  if (isOurs) return NO_STORE;
  throw error;
}

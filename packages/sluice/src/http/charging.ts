/**
 * Takes the charges of a request, all or nothing: rates first, those of a store together in one round trip; then permits of
 * semaphores; then what is worth waiting for. A refusal gives back what was taken before it.
 */
import { VERBS } from "../algorithms/decide.js";
import { type Clock, monotonicUs, systemClock } from "../core/clock.js";
import {
  ClosedError,
  MaxWaitExceededError,
  PolicyUnavailableError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import type { Decision } from "../core/decision.js";
import { type AskedHere, consumeHere } from "../limiter/consume-here.js";
import { consumeTogether } from "../limiter/consume-together.js";
import { asRefund, refundRequest } from "../limiter/give-back.js";
import { waitFor } from "../limiter/waiting/acquire.js";
import { reserveRequest } from "../limiter/waiting/reserve.js";
import { isSyncStore, type Store, type SyncStore } from "../stores/store.js";
import { aged } from "./aged.js";
import type { HttpCall } from "./call.js";
import type { AskedCharge, ChargeRefused } from "./charge.js";
import type { ChargedLimiter, ChargedSemaphore } from "./chargeable.js";
import type { WaitingRoom } from "./waiting-room.js";

/** It is not known when a store is back, or when a permit is free. */
const SOON_MS = 1000;
const NO_STORE: ChargeRefused = { reason: "store", retryAfterMs: SOON_MS };
const NO_PLACE: ChargeRefused = { reason: "concurrency", retryAfterMs: SOON_MS };
const FULL: ChargeRefused = { reason: "quota", retryAfterMs: SOON_MS };

/**
 * Undefined if all charges were taken; else why the request is refused, and nothing is taken. At once for one rate of a
 * store in this process, or one that is known to be denied, and for the rules of one set.
 *
 * @throws what is no failure of a store; nothing is taken then
 */
export function takeCharges(
  asked: readonly AskedCharge[],
  waiting: WaitingRoom,
  call: HttpCall,
): ChargeRefused | undefined | Promise<ChargeRefused | undefined> {
  const [only] = asked as readonly [AskedCharge];
  const { to, maxWaitMs } = only;
  if (asked.length === 1) {
    const isRate = to.kind === "limiter" && maxWaitMs === 0;
    return isRate ? takeOne(only, to) : new Charging(asked, waiting, call).take();
  }
  try {
    const decisions = rulesDecidedHere(asked);
    if (decisions !== undefined) return decidedTogether(asked, decisions);
  } catch (error) {
    return refusedBecause(error);
  }
  return new Charging(asked, waiting, call).take();
}

/**
 * What several rules of one set say to a request, of a store in this process; undefined if they must be awaited. Other
 * charges may name one key twice, and those that settle need the whole way.
 */
function rulesDecidedHere(asked: readonly AskedCharge[]): readonly Decision[] | undefined {
  const [first] = asked as readonly [AskedCharge];
  const { to: of, met } = first;
  const store = met && of.kind === "limiter" ? storeHere(first, of) : undefined;
  if (store === undefined) return undefined;
  const requests: AskedHere[] = [];
  for (const { to, met: its, key, slot, cost, settle, policies: policy } of asked) {
    const isHere = its === met && to.kind === "limiter" && settle === undefined;
    if (!isHere || policy === undefined) return undefined;
    requests.push({ limiter: to.pipeline, key, slot, cost, policy });
  }
  return consumeHere(store, requests);
}

/** The store, if it answers at once. Rules bring their policies, and the limiters behind a set prefetch nothing. */
function storeHere(
  { met }: AskedCharge,
  { pipeline, sync }: ChargedLimiter,
): SyncStore | undefined {
  const { store } = pipeline;
  return met !== undefined && isSyncStore(store) ? store : sync;
}

/** What one rate refuses has taken nothing: there is nothing to undo. */
function takeOne(
  asked: AskedCharge,
  to: ChargedLimiter,
): ChargeRefused | undefined | Promise<ChargeRefused | undefined> {
  const { key, slot, cost, policies: policy } = asked;
  const { pipeline } = to;
  const sync = storeHere(asked, to);
  const settle = asked.settle !== undefined;
  try {
    if (sync !== undefined) {
      return decided(asked, pipeline.consumeSync(sync, key, { cost, slot, settle, policy }));
    }
    const answer = pipeline.begin({ verb: VERBS.consume, key, slot, cost, settle, policy });
    return answer instanceof Promise
      ? answer.then((decision) => decided(asked, decision), refusedBecause)
      : decided(asked, answer);
  } catch (error) {
    return refusedBecause(error);
  }
}

/** Gives back what was taken. What cannot be given back is reported by the limiter's own hooks. */
export async function giveBack(asked: readonly AskedCharge[]): Promise<void> {
  await Promise.allSettled(
    asked.map(async (charge) => {
      const { to, key, slot, cost, decision, permit, hasTaken, policies: policy } = charge;
      charge.permit = undefined;
      charge.hasTaken = false;
      await permit?.[Symbol.asyncDispose]();
      if (to.kind !== "limiter" || !hasTaken) return;
      const refund = refundRequest(key, cost, { of: decision, slot });
      charge.decision = asRefund(await to.pipeline.run({ ...refund, policy }));
    }),
  );
}

class Charging {
  readonly #asked: readonly AskedCharge[];
  readonly #waiting: WaitingRoom;
  readonly #call: HttpCall;

  constructor(asked: readonly AskedCharge[], waiting: WaitingRoom, call: HttpCall) {
    this.#asked = asked;
    this.#waiting = waiting;
    this.#call = call;
  }

  async take(): Promise<ChargeRefused | undefined> {
    try {
      const refused =
        (await this.#takeRates()) ?? (await this.#takePlaces()) ?? (await this.#takeTurns());
      if (refused !== undefined) await giveBack(this.#asked);
      return refused;
    } catch (error) {
      await giveBack(this.#asked);
      return refusedBecause(error);
    }
  }

  async #takeRates(): Promise<ChargeRefused | undefined> {
    const stores = new Map<Store, AskedCharge[]>();
    for (const asked of this.#asked) {
      const { to, maxWaitMs } = asked;
      if (to.kind !== "limiter" || maxWaitMs > 0) continue;
      const { store } = to.pipeline;
      const others = stores.get(store);
      if (others === undefined) stores.set(store, [asked]);
      else others.push(asked);
    }
    for (const rates of stores.values()) {
      // One store after another: what the first refuses, the second need not give back.
      const refused =
        rates.length === 1 ? await takeRate(rates[0] as AskedCharge) : await takeSet(rates);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #takePlaces(): Promise<ChargeRefused | undefined> {
    for (const asked of this.#asked) {
      const { to, maxWaitMs } = asked;
      if (to.kind !== "semaphore") continue;
      // In order, so that two requests for permits of the same semaphores cannot wait for each other.
      const refused =
        maxWaitMs > 0 ? await this.#waitForPlace(asked, to) : await takePlace(asked, to);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #waitForPlace(
    asked: AskedCharge,
    { semaphore }: ChargedSemaphore,
  ): Promise<ChargeRefused | undefined> {
    const { key, cost: weight, maxWaitMs: maxWait, slot } = asked;
    try {
      asked.permit = await this.#wait(undefined, (signal) =>
        semaphore.acquire(key, { weight, slot, maxWait, signal }),
      );
    } catch (error) {
      if (!(error instanceof MaxWaitExceededError)) throw error;
    }
    return placed(asked);
  }

  async #takeTurns(): Promise<ChargeRefused | undefined> {
    for (const asked of this.#asked) {
      const { to, maxWaitMs } = asked;
      if (to.kind !== "limiter" || maxWaitMs === 0) continue;
      const refused = await this.#waitForTurn(asked, to);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  async #waitForTurn(
    asked: AskedCharge,
    { pipeline }: ChargedLimiter,
  ): Promise<ChargeRefused | undefined> {
    const { key, cost, slot, maxWaitMs: maxWait } = asked;
    const request = reserveRequest(key, { cost, slot, maxWait });
    const outcome = await this.#wait(pipeline.store.clock, (gone) =>
      pipeline.closing.during(gone, (signal) => waitFor(pipeline, { ...request, signal })),
    );
    if (outcome === undefined) return FULL;
    const { reservation, lateMs } = outcome;
    const { decision } = reservation;
    if (!reservation.allowed) return decided(asked, decision);
    // It was promised before it came, and speaks of then.
    const waitedMs = (reservation.readyAtUs - decision.decidedAtUs) / 1000 + lateMs;
    return decided(asked, aged(decision, waitedMs));
  }

  /** undefined if too many wait, or if the client has disconnected: no client sees how that is answered. */
  async #wait<T>(
    clock: Clock = systemClock,
    wait: (gone: AbortSignal | undefined) => Promise<T>,
  ): Promise<T | undefined> {
    const gone = this.#call.gone?.();
    const beganAtUs = monotonicUs(clock);
    try {
      return await this.#waiting.during(() => wait(gone));
    } catch (error) {
      if (gone?.aborted === true && error === gone.reason) return undefined;
      throw error;
    } finally {
      const waitedMs = (monotonicUs(clock) - beganAtUs) / 1000;
      for (const asked of this.#asked) {
        if (asked.decision !== undefined) asked.decision = aged(asked.decision, waitedMs);
      }
    }
  }
}

async function takeRate(asked: AskedCharge): Promise<ChargeRefused | undefined> {
  const { to, key, slot, cost, settle, policies: policy } = asked;
  const { limiter } = to as ChargedLimiter;
  const options = { cost, slot, settle: settle !== undefined, policy };
  return decided(asked, await limiter.consume(key, options));
}

/** Several of one store, all or nothing. */
async function takeSet(rates: readonly AskedCharge[]): Promise<ChargeRefused | undefined> {
  const requests = rates.map(({ to, key, slot, cost, settle, policies: policy }) => {
    const { limiter } = to as ChargedLimiter;
    return { limiter, key, slot, cost, settle: settle !== undefined, policy };
  });
  const { allowed, decisions } = await consumeTogether(requests);
  return decidedTogether(rates, decisions, allowed);
}

/** `isTaken`: whether they were charged, if their decisions do not say so. */
function decidedTogether(
  rates: readonly AskedCharge[],
  decisions: readonly Decision[],
  isTaken?: boolean,
): ChargeRefused | undefined {
  const refused = rates.flatMap((rate, i) => decided(rate, decisions[i] as Decision) ?? []);
  if (isTaken ?? refused.length === 0) return undefined;
  // They were not charged, whatever they say: nothing is to be given back of them.
  for (const rate of rates) rate.hasTaken = false;
  return refused.toSorted(byWeight)[0] ?? NO_STORE;
}

async function takePlace(
  asked: AskedCharge,
  { semaphore }: ChargedSemaphore,
): Promise<ChargeRefused | undefined> {
  const { key, cost: weight, slot } = asked;
  asked.permit = await semaphore.tryAcquire(key, { weight, slot });
  return placed(asked);
}

function placed(asked: AskedCharge): ChargeRefused | undefined {
  asked.refused = asked.permit === undefined ? NO_PLACE : undefined;
  return asked.refused;
}

function decided(asked: AskedCharge, decision: Decision): ChargeRefused | undefined {
  const { allowed, reason, retryAfterMs } = decision;
  asked.decision = decision;
  // A shadow lets pass what it did not count, and its reason says so.
  asked.hasTaken = allowed && reason === "ok";
  asked.refused = allowed || reason === "ok" ? undefined : { reason, retryAfterMs };
  return asked.refused;
}

/** What weighs more comes first: what never passes, then the longest wait; a store's failure says least. */
function byWeight(a: ChargeRefused, b: ChargeRefused): number {
  if (a.reason !== b.reason && a.reason === "store") return 1;
  if (a.reason !== b.reason && b.reason === "store") return -1;
  return a.retryAfterMs === b.retryAfterMs ? 0 : b.retryAfterMs - a.retryAfterMs;
}

/** Throws what is not the failure of a store. */
function refusedBecause(error: unknown): ChargeRefused {
  if (isStoreFailure(error)) return NO_STORE;
  throw error;
}

/** Whether the store could not be asked, which the limiter has already reported to its hooks. */
export function isStoreFailure(error: unknown): boolean {
  return (
    error instanceof StoreUnavailableError ||
    error instanceof StoreTimeoutError ||
    error instanceof ClosedError ||
    error instanceof PolicyUnavailableError
  );
}

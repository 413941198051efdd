/**
 * Calls of a limiter that ask the store more than once, or for what a later call gives back. What happens on
 * an errand is what the store was asked and answered, one by one; what the caller is told must be just that.
 */
import { setImmediate as turn } from "node:timers/promises";
import { REASON } from "../../src/algorithms/decide.js";
import {
  type AtomicRequest,
  consumeAtomic,
  MaxWaitExceededError,
  QueueFullError,
  type RateLimiter,
  type Reservation,
} from "../../src/index.js";
import type { StoreResult, StoreCall } from "../../src/stores/store.js";
import type { Plan, PlannedCall, PlannedLimiter } from "./concurrent.js";

export interface Errand {
  /** Resolves to what the caller was told; undefined if that was nothing. */
  run(limiters: readonly RateLimiter[]): Promise<unknown>;
  /** What the caller must be told after these answers. */
  tells(answers: readonly StoreResult[]): unknown;
}

export type Granted = Extract<Reservation, { readonly allowed: true }>;

/** What happens in `call` if it is an errand; `held` are the reservations that can be cancelled. */
export function errandOf(plan: Plan, call: PlannedCall, held: Granted[]): Errand | undefined {
  const { limiter: at, key, cost, maxWaitMs: maxWait, verb } = call;
  const on = (limiters: readonly RateLimiter[]): RateLimiter => limiters[at] as RateLimiter;
  switch (verb) {
    case "reserve":
      return {
        run: async (limiters) => {
          const reservation = await on(limiters).reserve(key, { cost, maxWait });
          if (!reservation.allowed) return REFUSED;
          held.push(reservation);
          return [reservation.readyAtUs, reservation.delayMs];
        },
        tells: ([{ receipt } = UNANSWERED]) =>
          receipt === undefined ? REFUSED : [receipt.readyAtUs, receipt.delayUs / 1e3],
      };
    case "cancel":
      return {
        run: async () => held.splice(-1 - (call.back % Math.max(1, held.length)), 1)[0]?.cancel(),
        tells: ([{ granted } = UNANSWERED]) => granted > 0,
      };
    case "acquire":
      return {
        run: async (limiters) => {
          const over = new AbortController();
          const start = on(limiters).acquire(key, { cost, maxWait, signal: over.signal });
          void giveUp(over, call.patience);
          try {
            return (await start).readyAtUs;
          } catch (error) {
            if (error === over.signal.reason) return undefined;
            if (error instanceof MaxWaitExceededError || error instanceof QueueFullError) {
              return REFUSED;
            }
            throw error;
          }
        },
        tells: (answers) => answers.at(-1)?.receipt?.readyAtUs ?? REFUSED,
      };
    case "consumeAtomic": {
      // A denial blocks in a call of its own.
      const blocks = atomicLimiters(plan, call).some((i) => {
        return (plan.limiters[i] as PlannedLimiter).blockForMs > 0;
      });
      if (!blocks) return undefined;
      return {
        run: async (limiters) =>
          (await consumeAtomic(atomicRequests(plan, call, limiters))).allowed,
        tells: ([{ debits } = UNANSWERED]) => debits.every(({ reason }) => reason === REASON.ok),
      };
    }
    default:
      return undefined;
  }
}

const REFUSED = "refused";
const UNANSWERED: StoreResult = { nowUs: 0, granted: 0, debits: [] };

async function giveUp(over: AbortController, turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
  over.abort();
}

/** The places of the limiters that an atomic call spans. */
export function atomicLimiters(plan: Plan, { limiter }: PlannedCall): readonly number[] {
  return [limiter, plan.limiters.length - 1];
}

export function atomicRequests(
  plan: Plan,
  call: PlannedCall,
  limiters: readonly RateLimiter[],
): AtomicRequest[] {
  const [limiter, last] = atomicLimiters(plan, call).map((i) => limiters[i] as RateLimiter);
  return [
    { limiter: limiter as RateLimiter, key: call.key, cost: call.cost },
    { limiter: last as RateLimiter, key: call.otherKey, cost: 1 },
  ];
}

/** What the store says in an answer, and nothing that it may share with other answers. */
export function answerOf({ debits }: StoreCall, answer: StoreResult): StoreResult {
  const { nowUs, granted, receipt } = answer;
  return {
    nowUs,
    granted,
    receipt: receipt && { ...receipt },
    debits: answer.debits
      .slice(0, debits.length)
      .map(({ reason, available, waitUs, resetUs }) => ({ reason, available, waitUs, resetUs })),
  };
}

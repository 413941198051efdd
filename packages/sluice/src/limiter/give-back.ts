/** Units that were taken and not used, or used and not taken: what refund and settle ask of the store. */
import { VERBS } from "../algorithms/decide.js";
import { toThousandths, UNIT } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import { checkOptions } from "../core/options.js";
import { blockAfterDenial } from "./administer.js";
import type { Pipeline } from "./pipeline.js";
import { checkTaken, type RefundOptions } from "./options.js";
import { type LimiterAnswer, type LimiterRequest, takerOf } from "./request.js";
import { shadowsThatTook } from "./shadows.js";

/** What a call took beforehand, and what it turned out to need. */
export interface Settlement extends RefundOptions {
  /** Units that were taken: 0 to 1e9 in whole thousandths. */
  readonly reserved: number;
  /** Units that were used: 0 to 1e9 in whole thousandths. */
  readonly actual: number;
}

/** What refund and settle answer. */
export type Refund = Decision & {
  /** Units that came back, in whole thousandths, from 0 to what was asked for; of several policies the least. */
  readonly refunded: number;
};

/** @throws InvalidOptionError */
export function refundRequest(key: string, amount: number, options: RefundOptions): LimiterRequest {
  checkOptions("options", options, ["of", "slot"]);
  toThousandths("amount", amount);
  return requestOf(key, amount, options);
}

/** @throws InvalidOptionError */
export function settleRequest(key: string, settlement: Settlement): LimiterRequest {
  checkOptions("settlement", settlement, ["reserved", "actual", "of", "slot"]);
  const { reserved, actual } = settlement;
  const spare = toThousandths("reserved", reserved) - toThousandths("actual", actual);
  return requestOf(key, spare / UNIT, settlement);
}

/** Gives `spare` units back, or takes them if it is below 0. */
function requestOf(key: string, spare: number, options: RefundOptions): LimiterRequest {
  const { slot } = options;
  const taken = checkTaken(options.of);
  // Where nothing was taken, as by a denial in shadow mode, nothing is to be settled.
  const tookNone =
    taken !== undefined && (taken.reason !== "ok" || takerOf(taken.source) === undefined);
  if (spare === 0 || tookNone) return { verb: VERBS.peek, key, slot, cost: 0 };
  const ofShadows = taken && shadowsThatTook(taken.shadow);
  const of = taken?.source;
  if (spare > 0) return { verb: VERBS.refund, key, slot, cost: spare, of, ofShadows };
  return { verb: VERBS.penalize, key, slot, cost: -spare, of, ofShadows };
}

/**
 * A denial starts no block if its call will be settled, since others under way may give back. So the settlement starts
 * it, where it leaves nothing.
 */
export async function blockIfUsedUp(
  limiter: Pipeline,
  key: string,
  { of, slot }: Settlement,
  { reason, remaining, source }: Decision,
): Promise<void> {
  const { blockForUs: blockUs } = limiter;
  const tookNone = of !== undefined && of.reason !== "ok";
  if (blockUs === 0 || remaining > 0 || reason === "blocked" || tookNone) return;
  if (source !== "store" && source !== "local") return;
  const blocking = { verb: VERBS.block, key, slot, cost: 0, blockUs, votersAlone: true };
  await blockAfterDenial(limiter, await limiter.prepare(blocking), source);
}

/** The answer with what came back, also where the request gave nothing. */
export function asRefund(answer: LimiterAnswer): Refund {
  return { ...answer, refunded: answer.refunded ?? 0 };
}

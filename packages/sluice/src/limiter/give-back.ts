/** Units that were taken and not used, or used and not taken: what refund and settle ask of the store. */
import { VERBS } from "../algorithms/decide.js";
import { toThousandths, UNIT } from "../core/amount.js";
import type { Decision, PolicyVerdict } from "../core/decision.js";
import { unchecked, optionReader } from "../core/options.js";
import { blockAfterDenial } from "./administer.js";
import type { Pipeline } from "./pipeline.js";
import { checkTaken, type RefundOptions } from "./options.js";
import { type LimiterAnswer, type LimiterRequest, takerOf } from "./request.js";
import { sharesOfShadows } from "./shadows.js";

/** What a call took beforehand, and what it turned out to need. */
export interface Settlement extends RefundOptions {
  /** Units that were taken: 0 to 1e9 in whole thousandths. */
  readonly reserved: number;
  /** Units that were used: 0 to 1e9 in whole thousandths. */
  readonly actual: number;
}

/** What refund and settle answer. */
export type Refund = Decision & {
  /** Units that came back, in whole thousandths, from 0 to the requested units; with several policies, the least. */
  readonly refunded: number;
};

const REFUND_OPTIONS = optionReader<RefundOptions>()(unchecked("of", "slot"));
const SETTLEMENT = optionReader<Settlement>()({
  ...unchecked("reserved", "actual"),
  ...REFUND_OPTIONS.checks,
});

/** @throws InvalidOptionError */
export function refundRequest(key: string, amount: number, options: RefundOptions): LimiterRequest {
  REFUND_OPTIONS.known(options);
  toThousandths("amount", amount);
  return requestOf(key, amount, options);
}

/** @throws InvalidOptionError */
export function settleRequest(key: string, settlement: Settlement): LimiterRequest {
  SETTLEMENT.known(settlement, "settlement");
  const { reserved, actual } = settlement;
  const spare = toThousandths("reserved", reserved) - toThousandths("actual", actual);
  return requestOf(key, spare / UNIT, settlement);
}

/** Gives `spare` units back, or takes them if it is below 0. */
function requestOf(key: string, spare: number, options: RefundOptions): LimiterRequest {
  const { slot } = options;
  const taken: LimiterAnswer | undefined = checkTaken(options.of);
  // If nothing was taken, there is nothing to settle.
  const isDenied = taken !== undefined && taken.reason !== "ok";
  const tookNone =
    taken !== undefined && (takerOf(taken.source) === undefined || (isDenied && !taken.allowed));
  const peek = { verb: VERBS.peek, key, slot, cost: 0 };
  if (tookNone) return peek;
  const of = taken?.source;
  if (spare < 0) {
    const ofShadows = taken && sharesOfShadows(taken.shadow, () => -spare);
    if (isDenied && (ofShadows?.size ?? 0) === 0) return peek;
    return { verb: VERBS.penalize, key, slot, cost: isDenied ? 0 : -spare, of, ofShadows };
  }
  const back = ({ charged }: Pick<PolicyVerdict, "charged">): number =>
    charged === undefined ? spare : spareOf(charged, spare, taken?.granted);
  const ofShadows = taken && sharesOfShadows(taken.shadow, back);
  // A denial in shadow mode took nothing, though a policy beside it may have.
  const cost = isDenied ? 0 : back(taken ?? {});
  const isAnything = cost > 0 || [...(ofShadows?.values() ?? [])].some((units) => units > 0);
  return isAnything ? { verb: VERBS.refund, key, slot, cost, of, ofShadows } : peek;
}

/** What goes back of a charge of a policy without a vote, when `spare` units of the whole grant do: it keeps what was used. */
function spareOf(charged: number, spare: number, granted = charged): number {
  return Math.max(0, Math.round((charged - (granted - spare)) * UNIT) / UNIT);
}

/**
 * A denial starts no block if its call will be settled, since other calls under way may give units back. So the settlement
 * starts the block, if it leaves nothing.
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

/** The answer with what came back, also if the request gave back nothing. */
export function asRefund(answer: LimiterAnswer): Refund {
  return { ...answer, refunded: answer.refunded ?? 0 };
}

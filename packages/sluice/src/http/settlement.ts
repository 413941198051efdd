/** What is done when a request has ended, once: costs become what they came to, and permits go to the next. */
import type { Decision } from "../core/decision.js";
import { settleRequest } from "../limiter/give-back.js";
import type { HttpOutcome } from "./call.js";
import type { AskedCharge } from "./charge.js";
import { isStoreFailure } from "./charging.js";
import { hearSettled } from "./heard.js";

/** Undefined if nothing is left to do. It never rejects: what fails is reported by the limiters' hooks. */
export function settlementOf(
  asked: readonly AskedCharge[],
): ((outcome: HttpOutcome) => Promise<void>) | undefined {
  if (!asked.some(isOpen)) return undefined;
  let settled: Promise<void> | undefined;
  return (outcome) => {
    settled ??= settleAll(asked.filter(isOpen), outcome);
    return settled;
  };
}

async function settleAll(open: readonly AskedCharge[], outcome: HttpOutcome): Promise<void> {
  const settled = new Map<AskedCharge, Settled>();
  await Promise.all(
    open.map(async (charge) => {
      const own = await settleOne(charge, outcome);
      if (own !== undefined) settled.set(charge, own);
    }),
  );
  hearSettled(open, settled);
}

/** What a charge came to, and the answer. */
interface Settled {
  readonly cost: number;
  readonly decision: Decision;
}

/** Only what was taken is settled: a store that did not answer has nothing to give back. */
function isOpen({ settle, permit, hasTaken }: AskedCharge): boolean {
  return permit !== undefined || (settle !== undefined && hasTaken);
}

async function settleOne(charge: AskedCharge, outcome: HttpOutcome): Promise<Settled | undefined> {
  const { to, key, slot, cost: reserved, settle, decision, permit, policies: policy } = charge;
  await permit?.[Symbol.asyncDispose]();
  if (settle === undefined || to.kind === "semaphore") return undefined;
  try {
    const actual = await settle(outcome);
    const settlement = { reserved, actual, of: decision, slot };
    const answer =
      policy === undefined
        ? await to.limiter.settle(key, settlement)
        : await to.pipeline.run({ ...settleRequest(key, settlement), policy });
    return { cost: actual, decision: answer };
  } catch (error) {
    if (!isStoreFailure(error)) to.pipeline.events.to.failure?.({ error, key, cost: reserved });
    return undefined;
  }
}

/** Verbs that have no decision, such as block and reset: they are always the store's to do. */
import { FOREVER_US, VERBS } from "../algorithms/decide.js";
import type { DecisionSource } from "../core/decision.js";
import { CENTURY_US, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { keyInSlot } from "../core/key.js";
import { noteAdjusted } from "./adjusted.js";
import type { Pipeline } from "./pipeline.js";
import type { LimiterRequest, PreparedRequest } from "./request.js";
import { askShadows, hasShadowsToAsk, shadowCallsOf } from "./shadows.js";

const THROWN = { instead: "thrown" } as const;

/** A failure is always thrown. */
export async function administer(limiter: Pipeline, request: LimiterRequest): Promise<void> {
  const preparing = limiter.prepare(request);
  // A call that is prepared at once keeps its position among the calls of the tick.
  const prepared = preparing instanceof Promise ? await preparing : preparing;
  const { call, atMs } = prepared;
  const deciding = limiter.outcomeOf(call, undefined, atMs, THROWN);
  const beside = hasShadowsToAsk(prepared) ? askShadows(limiter, prepared, THROWN) : undefined;
  const outcome = await deciding;
  limiter.local?.store.follow(call);
  if (beside !== undefined) {
    for (const each of shadowCallsOf(prepared, 0)) limiter.local?.store.follow(each.call);
    const { errors } = await beside;
    if (!(outcome instanceof Error)) for (const error of errors) limiter.failed(error, request);
  }
  limiter.shortcuts.forget(keyInSlot(request));
  noteAdjusted(limiter, prepared, request.verb, outcome);
  if (!(outcome instanceof Error)) return;
  limiter.failed(outcome, request);
  throw outcome;
}

/** The block that follows a denial which is already decided: its failure is thrown only if all are. */
export async function blockAfterDenial(
  limiter: Pipeline,
  { request: { key, slot }, call }: PreparedRequest,
  source: DecisionSource,
): Promise<void> {
  const verb = VERBS.block;
  const { blockForUs: blockUs } = limiter;
  if (source !== "store") {
    limiter.local?.store.decide({ ...call, verb, blockUs });
    return;
  }
  try {
    await administer(limiter, { verb, key, slot, cost: 0, blockUs, votersAlone: true });
  } catch (error) {
    if (limiter.instead === "thrown") throw error;
  }
}

/** How long a block lasts, in µs. Infinity: until it is lifted. */
export function blockLengthUs(option: string, value: unknown): number {
  if (value === Number.POSITIVE_INFINITY) return FOREVER_US;
  return toMicroseconds(option, value, MIN_PERIOD_US, CENTURY_US);
}

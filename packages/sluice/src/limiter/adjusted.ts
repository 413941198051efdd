/** Lets the listeners know of changes to a key that come without a decision. */
import { type Verb, VERBS } from "../algorithms/decide.js";
import { UNIT } from "../core/amount.js";
import type { Events } from "../events/events.js";
import type { Outcome } from "../stores/store.js";
import { policiesIn } from "./policies-in.js";
import type { PreparedRequest } from "./request.js";
import { nameOf } from "./verbs.js";

/** Whose keys are changed. */
export interface AdjustingLimiter {
  /** As events name it. */
  readonly name: string;
  readonly events: Events;
}

/** Verbs that change a key whatever it holds: without an answer, they may have been executed all the same. */
const CHANGING: ReadonlySet<Verb> = new Set(
  Object.values(VERBS).filter((verb) => verb >= VERBS.refund && verb !== VERBS.reserve),
);

/** `outcome` is the store's answer, or why there is none. */
export function noteAdjusted(
  { name, events }: AdjustingLimiter,
  { request: { key, slot, id }, bound }: PreparedRequest,
  verb: Verb,
  outcome: Outcome,
): void {
  const { adjusted: listener } = events.to;
  if (listener === undefined || !CHANGING.has(verb)) return;
  const isLost = outcome instanceof Error;
  const units = verb === VERBS.cancel && !isLost ? outcome.granted / UNIT : 0;
  const atUs = isLost ? undefined : outcome.nowUs;
  const policies = policiesIn(bound);
  const known = id === undefined ? {} : { id };
  listener({ limiter: name, verb: nameOf(verb), key, slot, ...known, units, atUs, policies });
}

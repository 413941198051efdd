/** How adapters find out which rules a request meets, without the whole of a PolicySet. */
import type { Decision } from "../core/decision.js";
import type { HeardRequests, RequestListener, TakenByRules } from "./rules-decision.js";
import type { RulesRequest } from "./rules-request.js";

type Meet = (request: RulesRequest) => TakenByRules;

/** What a set notes of itself. */
interface Noted {
  readonly meet: Meet;
  /** Those that hear of its requests. */
  readonly listeners: Set<RequestListener>;
}

const sets = new WeakMap<object, Noted>();

/** Notes how a set finds the rules that a request meets, and the listeners for their answers. */
export function noteSet(set: object, noted: Noted): void {
  sets.set(set, noted);
}

function notedOf(value: unknown): Noted | undefined {
  return typeof value === "object" && value !== null ? sets.get(value) : undefined;
}

/** How a PolicySet finds the rules that a request meets; undefined for anything else. */
export function meetOf(value: unknown): Meet | undefined {
  return notedOf(value)?.meet;
}

/** Calls a function with each request of a PolicySet and its answer, until the function that this returns is called. */
export function hearRequests(set: object, listener: RequestListener): () => void {
  const listeners = notedOf(set)?.listeners;
  listeners?.add(listener);
  return () => void listeners?.delete(listener);
}

/** Tells those who log requests what was asked and answered. */
export function hear(
  verb: HeardRequests["verb"],
  takens: readonly TakenByRules[],
  decisions: readonly Decision[],
  more: Pick<HeardRequests, "maxWaitUs" | "after"> = {},
): void {
  const [first] = takens;
  if (first?.heard === undefined) return;
  const byStore = decisions.filter(({ source }) => source === "store");
  const known = byStore.length > 0 ? byStore : decisions;
  // The latest, because no store has the outcome of the request earlier.
  const atUs = known.reduce((us, each) => Math.max(us, each.decidedAtUs), 0) || first.nowUs;
  first.heard({ verb, takens, decisions, atUs, ...more });
}

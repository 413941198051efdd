/** What is asked of verbs: their names, and whether they ask for quota. */
import { type Verb, type VerbName, VERBS } from "../algorithms/decide.js";

const NAMES = Object.fromEntries(
  Object.entries(VERBS).map(([name, verb]) => [verb, name]),
) as Readonly<Record<Verb, VerbName>>;

/** What a verb is called. */
export function nameOf(verb: Verb): VerbName {
  return NAMES[verb];
}

/** Whether a verb asks for quota: then shadow mode lets it pass. */
export function asksForQuota(verb: Verb): boolean {
  return verb === VERBS.consume || verb === VERBS.consumeUpTo || verb === VERBS.reserve;
}

/** Whether a verb settles what was taken: others' units depend on it, though its caller may wait no longer. */
export function settlesAccounts(verb: Verb): boolean {
  return verb === VERBS.refund || verb === VERBS.cancel || verb === VERBS.penalize;
}

/** Decides on a request of Envoy's by a PolicySet. */
import { consumeRulesNow, type PolicySet, type RulesDecision } from "sluice/policies";
import { answerOf, type RlsOutcome } from "./rls-answer.js";
import type { RlsAnswer, RlsRequest } from "./rls-messages.js";
import { askedByRls, type RlsAsked } from "./rls-request.js";

/**
 * The answer; without a promise if a single descriptor is decided in memory. `atomic`: all descriptors take their hits, or
 * none does; otherwise each separately, as in Envoy's own service. Hits are given back first and in any case, and a
 * descriptor that only asks can deny like the others.
 *
 * @throws RlsRequestError; what the set throws, under `onStoreFailure: "throw"` that the store does not answer
 */
export function decideRls(
  rules: PolicySet,
  request: RlsRequest,
  atomic: boolean,
): RlsAnswer | Promise<RlsAnswer> {
  const asked = askedByRls(request);
  const [first] = asked;
  if (asked.length !== 1 || first?.kind !== "take") return decideSeveral(rules, asked, atomic);
  const decision = consumeRulesNow(rules, first.request);
  return decision instanceof Promise
    ? decision.then((known) => answerOf([known]))
    : answerOf([decision]);
}

async function decideSeveral(
  rules: PolicySet,
  asked: readonly RlsAsked[],
  atomic: boolean,
): Promise<RlsAnswer> {
  const isPlain = asked.every(({ kind }) => kind === "take");
  const outcomes = isPlain
    ? (await rules.consumeMany(requestsOf(asked), { atomic })).decisions
    : await decideMixed(rules, asked, atomic);
  return answerOf(outcomes);
}

async function decideMixed(
  rules: PolicySet,
  asked: readonly RlsAsked[],
  atomic: boolean,
): Promise<readonly RlsOutcome[]> {
  const of = (kind: RlsAsked["kind"]) => requestsOf(asked.filter((each) => each.kind === kind));
  const takes = of("take");
  const giving = Promise.all(of("give-back").map((each) => rules.giveBack(each)));
  const asking = Promise.all(of("ask").map((each) => rules.peek(each)));
  const taking = atomic
    ? asking.then((answers) => takeUnlessDenied(rules, takes, answers))
    : rules.consumeMany(takes).then(({ decisions }) => decisions);
  const [given, answers, taken] = await Promise.all([giving, asking, taking]);
  const next = {
    "give-back": given.values(),
    ask: answers.values(),
    take: taken.values(),
  } as const;
  return asked.map(({ kind }) => next[kind].next().value as RlsOutcome);
}

/** If a descriptor that only asks would be denied, none takes hits: the others are only peeked at. */
async function takeUnlessDenied(
  rules: PolicySet,
  takes: RlsAsked["request"][],
  answers: readonly RulesDecision[],
): Promise<readonly RulesDecision[]> {
  if (takes.length === 0) return [];
  if (answers.every(({ allowed }) => allowed)) {
    return (await rules.consumeMany(takes, { atomic: true })).decisions;
  }
  return Promise.all(takes.map((each) => rules.peek(each)));
}

function requestsOf(asked: readonly RlsAsked[]): RlsAsked["request"][] {
  return asked.map(({ request }) => request);
}

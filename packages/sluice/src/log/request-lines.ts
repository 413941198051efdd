/** Lines of a log that say what was asked of a set of rules: entries by their ids, but for those that may be read. */
import { keyId } from "../audit/record.js";
import { type LoggedRequest, requestLine } from "../audit/request-record.js";
import type { Identify } from "../core/identity.js";
import type { HeardRequests, RulesDecision, TakenByRules } from "../policies/rules-decision.js";
import { entryOf, ruleKey, type RequestEntries } from "../policies/rule-key.js";
import type { RuleCharge } from "../policies/rule-charge.js";
import type { RulesRequest } from "../policies/rules-request.js";
import type { Logged } from "./attempt-lines.js";
import type { QueuedLine } from "./line-queue.js";

const secrets = new WeakMap<Identify, boolean>();

/** Whether ids are made with a secret. */
function isSecret(ids: Identify): boolean {
  let known = secrets.get(ids);
  if (known === undefined) {
    known = ids("?") !== keyId("?");
    secrets.set(ids, known);
  }
  return known;
}

/** The line of what was asked of a set at once. */
export function lineOfRequests(heard: HeardRequests, logged: Logged): QueuedLine {
  const { verb, takens, decisions, atUs, maxWaitUs, after } = heard;
  const { ids, limiter } = logged;
  const denial = decisions.find(({ allowed }) => !allowed) as RulesDecision | undefined;
  const { reason = "ok", source = "store" } = denial ?? decisions[0] ?? {};
  const text = requestLine({
    atUs,
    verb,
    asked: takens.map((taken) => ({
      ...requestOf(taken, logged, verb === "refund"),
      ...(after !== undefined && { after: afterOf(taken, after, logged) }),
    })),
    isSecret: isSecret(ids),
    limiter,
    maxWaitUs,
    allowed: denial === undefined,
    reason,
    source,
    denied: denial?.rule ?? denial?.policy,
  });
  return { text, rule: undefined, givesBack: false };
}

function requestOf(
  { request, slot, charges }: TakenByRules,
  logged: Logged,
  isRefund: boolean,
): LoggedRequest {
  const { entries, cost, plan, rule, policy } = request;
  return {
    ...namedEntries(entries, logged),
    cost,
    plan,
    rule,
    slot: slot === undefined ? undefined : logged.ids(slot),
    policy,
    met: Object.fromEntries(
      charges.flatMap((charge) => [
        [charge.matched.rule, charge.cost],
        ...(isRefund ? untaken(charge) : []),
      ]),
    ),
  };
}

/** What rules on trial did not take does not come back. */
function untaken({ decision, matched }: RuleCharge): readonly (readonly [string, number])[] {
  if (decision === undefined) return [];
  const names = (decision.shadow ?? []).filter(({ reason }) => reason !== "ok");
  const own = decision.reason === "ok" ? [] : [matched.rule];
  return [...own, ...names.map(({ policy }) => policy)].map((name) => [name, 0] as const);
}

function afterOf(
  { request, compiled, nowUs }: TakenByRules,
  { cost = request.cost, entries }: NonNullable<HeardRequests["after"]>,
  logged: Logged,
): LoggedRequest["after"] {
  const all = { ...request.entries, ...entries };
  const after: RulesRequest = { ...request, ...(cost !== undefined && { cost }), entries: all };
  const met = compiled.match(after, nowUs).map((each) => [each.rule, each.cost] as const);
  return { ...namedEntries(all, logged), cost, met: Object.fromEntries(met) };
}

function namedEntries(
  entries: RequestEntries,
  { ids, clear }: Logged,
): Pick<LoggedRequest, "entries" | "ids"> {
  const readable: [string, string][] = [];
  const hidden: [string, string][] = [];
  for (const name of Object.keys(entries)) {
    const text = entryOf(entries, name);
    if (text === undefined) continue;
    if (clear === true || clear.has(name)) readable.push([name, text]);
    else hidden.push([name, ids(ruleKey([name], entries) as string)]);
  }
  return {
    ...(readable.length > 0 && { entries: Object.fromEntries(readable) }),
    ...(hidden.length > 0 && { ids: Object.fromEntries(hidden) }),
  };
}

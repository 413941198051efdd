/** What is known of one key: the rules that it meets, what a call would get now, and what the last ones got. */
import type { Decision } from "sluice";
import {
  type ExplainedRule,
  type PolicySet,
  peekRuleKey,
  type RuleKeyTarget,
  ruleKeyId,
  type UnmetEntry,
} from "sluice/policies";
import { changeText, policyText } from "./limit-text.js";
import type { DashboardOptions } from "./options.js";
import type { RememberedAttempts } from "./remembered.js";
import { labelOf } from "./state.js";
import type { LookedUp, LookedUpRule, LookUp } from "./wire.js";

const MOST_RULES = 100;
const MOST_LAST = 20;
const MOST_WORDS = 3;

/** Of all rules, or of one. */
export interface EntriesLookUp extends Pick<LookUp, "rule" | "plan"> {
  readonly entries: Readonly<Record<string, string>>;
}

export class KeyLookUp {
  readonly #policies: PolicySet;
  readonly #label: DashboardOptions["label"];
  readonly #remembered: RememberedAttempts;

  constructor(
    { policies, label }: Pick<DashboardOptions, "policies" | "label">,
    remembered: RememberedAttempts,
  ) {
    this.#policies = policies;
    this.#label = label;
    this.#remembered = remembered;
  }

  /** By what a request says of itself; of all rules, or of one. */
  async byEntries({ entries, rule, plan }: EntriesLookUp): Promise<LookedUp> {
    const request = {
      entries,
      ...(rule !== undefined && { rule }),
      ...(plan !== undefined && { plan }),
    };
    const explained = await this.#policies.explain(request);
    const wanted = explained.rules.filter((each) => rule === undefined || each.rule === rule);
    const matching = wanted.filter(({ match }) => match !== undefined);
    const others = wanted.filter(({ match }) => match === undefined);
    const shown = [...matching, ...others].slice(0, MOST_RULES);
    return { rules: shown.map((each) => this.#explained(each, entries)) };
  }

  /** By the id of a report: with the key behind it if it is known, else what the rule's own policy says to it. */
  byId(rule: string, id: string): Promise<LookedUp> {
    const key = this.keyOf(rule, id);
    return this.byTarget(rule, id, key === undefined ? { rule, id } : { rule, key });
  }

  /** One key of a rule whose entries are not at hand. */
  async byTarget(rule: string, id: string, target: RuleKeyTarget): Promise<LookedUp> {
    const now = await peekRuleKey(this.#policies, target);
    const { key } = target;
    const at = key === undefined ? -1 : this.#overrideOf(rule, key, now.decidedAtUs / 1000);
    const override = this.#policies.document.overrides?.[at];
    const looked: LookedUpRule = {
      rule,
      matches: true,
      text:
        key === undefined
          ? "only the id is known: this is the rule's own policy, without overrides of the key"
          : "known by its id and from a call in this process",
      id,
      label: labelOf(this.#label, id),
      now: answerOfDecision(now),
      override: override && this.#overrideAt(at, override.mode ?? "policy"),
      isBlocked: now.reason === "blocked" && override?.mode !== "deny",
      last: this.#last(rule, id),
    };
    return { rules: [looked] };
  }

  /** The key behind an id, if a call of this process had it lately. */
  keyOf(rule: string, id: string): string | undefined {
    return this.#remembered.recent?.of(id, MOST_LAST).find((each) => each.rule === rule)?.key;
  }

  #explained(explained: ExplainedRule, entries: EntriesLookUp["entries"]): LookedUpRule {
    const { rule, match, decision, unmet, mode } = explained;
    const id = match?.identity === undefined ? undefined : this.#idOf(rule, entries);
    const override = match?.override;
    return {
      rule,
      matches: match !== undefined,
      text: match === undefined ? unmetText(unmet, mode) : this.#matchText(explained),
      id,
      label: id === undefined ? undefined : labelOf(this.#label, id),
      now: decision && answerOfDecision(decision),
      override: override && this.#overrideAt(override.index, override.kind),
      isBlocked: decision?.reason === "blocked" && match?.verdict === "decide",
      last: id === undefined ? [] : this.#last(rule, id),
    };
  }

  #idOf(rule: string, entries: EntriesLookUp["entries"]): string | undefined {
    return ruleKeyId(this.#policies, { rule, entries });
  }

  #matchText({ match, mode, rolloutPlace }: ExplainedRule): string {
    if (match === undefined) return "";
    const { verdict, policy, override, mode: own } = match;
    const limit =
      verdict === "deny"
        ? "everything is denied"
        : verdict === "exempt"
          ? "no limit"
          : policyText(policy);
    const why = override === undefined ? "" : ", by an override";
    const place =
      mode === "enforce" && own === "shadow" && rolloutPlace !== undefined
        ? `; the rollout has not reached the key, at ${rolloutPlace.toFixed(1)} %`
        : "";
    return `${limit}${why}${own === "shadow" ? "; counted and not enforced" : ""}${place}`;
  }

  #overrideAt(
    index: number,
    kind: NonNullable<LookedUpRule["override"]>["kind"],
  ): LookedUpRule["override"] {
    const { policy, until, comment } = this.#policies.document.overrides?.[index] ?? {};
    return {
      kind,
      limit: policy === undefined ? undefined : changeText(policy),
      untilMs: until === undefined ? undefined : Date.parse(until),
      comment,
    };
  }

  /** The index in the document of the override that is in force for a key: one of just this key, else the longest. */
  #overrideOf(rule: string, key: string, nowMs: number): number {
    const { overrides = [] } = this.#policies.document;
    let [found, length] = [-1, -1];
    overrides.forEach((each, at) => {
      const isOver = each.until !== undefined && Date.parse(each.until) <= nowMs;
      if (each.rule !== rule || isOver) return;
      const isOfAll = each.key.endsWith("*") && key.startsWith(each.key.slice(0, -1));
      const own = each.key === key ? Number.POSITIVE_INFINITY : isOfAll ? each.key.length : -1;
      if (own > length) [found, length] = [at, own];
    });
    return found;
  }

  #last(rule: string, id: string): LookedUpRule["last"] {
    const all = this.#remembered.recent?.of(id, MOST_LAST * 2) ?? [];
    return all
      .filter((each) => each.rule === rule)
      .slice(0, MOST_LAST)
      .map(({ atUs, allowed, reason }) => ({ atMs: Math.floor(atUs / 1000), allowed, reason }));
  }
}

function answerOfDecision(decision: Decision): NonNullable<LookedUpRule["now"]> {
  const { allowed, remaining, limit, retryAfterMs, resetAfterMs, reason, source } = decision;
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  return {
    allowed,
    remaining: finite(remaining),
    limit: finite(limit),
    retryAfterMs: finite(retryAfterMs),
    resetAfterMs: finite(resetAfterMs),
    reason,
    source,
  };
}

function unmetText(unmet: readonly UnmetEntry[], mode: string): string {
  if (unmet.length === 0) return mode === "off" ? "the rule is off" : "the rule does not apply";
  return unmet.slice(0, MOST_WORDS).map(unmetEntry).join("; ");
}

function unmetEntry({ entry, allowed, refused, isAbsent }: UnmetEntry): string {
  if (allowed?.length === 0) return `${entry} may not be there`;
  if (isAbsent && allowed === undefined) return `${entry} is missing`;
  const words = (texts: readonly string[]): string => texts.slice(0, MOST_WORDS).join(" or ");
  if (allowed !== undefined) return `${entry} is not ${words(allowed)}`;
  return refused === undefined ? `${entry} does not fit` : `${entry} is ${words(refused)}`;
}

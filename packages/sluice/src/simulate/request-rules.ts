/** Which rules of a document a logged request meets, and what each charges: as `PolicySet` says, as far as the log can tell. */
import { parsePolicy } from "../algorithms/registry.js";
import { ruleOf } from "../algorithms/rule.js";
import { UNIT } from "../core/amount.js";
import { CompiledRule, overridesByRule } from "../policies/compiled-rule.js";
import type { PoliciesDocument, PolicyRule } from "../policies/document.js";
import type { MatchedRule } from "../policies/matched-rule.js";
import { isPrefix, keyValues } from "../policies/override-key.js";
import { EVERYBODY } from "../policies/rule-key.js";
import type { AskedRule, RulesForRequest } from "./limits.js";
import { idOfEntry, LoggedEntries, LoggedMatcher } from "./logged-entries.js";

export function requestRules(document: PoliciesDocument): RulesForRequest {
  const rules = document.rules.map((rule) => new RequestRule(rule, document));
  return (request, isSecret, atUs) => {
    const entries = new LoggedEntries(request, isSecret);
    return rules.flatMap((rule) => rule.asked(entries, atUs));
  };
}

class RequestRule {
  readonly #rule: PolicyRule;
  readonly #document: PoliciesDocument;
  readonly #matchers: readonly LoggedMatcher[];
  /** The entries that a request may have; undefined if it may have others. */
  readonly #only: ReadonlySet<string> | undefined;
  readonly #whole: CompiledRule;
  /** For keys of which only the ids are known: the rule without overrides, as if the rollout were complete. */
  readonly #plain: CompiledRule;
  /** The values of the keys that overrides spell out, by their ids. */
  readonly #overridden = new Map<string, readonly string[]>();

  constructor(rule: PolicyRule, document: PoliciesDocument) {
    const { match = {}, key = [], name } = rule;
    const overrides = (document.overrides ?? []).filter((override) => override.rule === name);
    this.#rule = rule;
    this.#document = document;
    this.#matchers = Object.entries(match).map(([entry, is]) => new LoggedMatcher(entry, is));
    this.#only = rule.exact === true ? new Set([...Object.keys(match), ...key]) : undefined;
    this.#whole = new CompiledRule(rule, document, overridesByRule(overrides).get(name));
    this.#plain = new CompiledRule({ ...rule, rollout: undefined }, document, undefined);
    for (const override of overrides) {
      if (isPrefix(override.key)) continue;
      const values = keyValues(override.key);
      const ids = key.map((entry, i) => idOfEntry(entry, values[i] ?? ""));
      this.#overridden.set(ids.join(), values);
    }
  }

  asked(entries: LoggedEntries, atUs: number): readonly AskedRule[] {
    if (!this.#isFor(entries)) return [];
    const { key = [] } = this.#rule;
    const parts = key.map((entry) => entries.idOf(entry));
    const isWhole = parts.every((part) => part !== undefined);
    const id = key.length === 0 ? EVERYBODY : parts.join();
    const met = this.#met(entries, isWhole ? id : undefined, atUs);
    if (met === undefined || met.verdict === "exempt") return [];
    const { slot, policy: brought } = entries.request;
    const { name } = this.#rule;
    const common = {
      id: slot === undefined ? id : `{${slot}}${id}`,
      votes: met.mode === "enforce",
      cost: Math.round(this.#costOf(met, entries) * UNIT),
      override: met.override?.id,
    };
    if (met.verdict === "deny") {
      return [{ ...common, name, rule: ruleOf(met.policy), refuses: true }];
    }
    if (brought !== undefined && met.allowOverride) {
      const policy = parsePolicy({ ...brought, name, enforce: true });
      return [{ ...common, name, rule: ruleOf(policy), override: "the request's own" }];
    }
    const own = { ...common, name, rule: ruleOf(met.policy) };
    if (met.candidate === undefined) return [own];
    const { candidate } = met;
    const beside = { name: candidate.name, rule: ruleOf(candidate), ofRule: name, votes: false };
    return [own, { ...common, ...beside }];
  }

  /** If the log does not say, as it was. */
  #isFor(entries: LoggedEntries): boolean {
    const { rule: asked, met } = entries.request;
    const { name } = this.#rule;
    if (asked !== undefined) return asked === name;
    const only = this.#only;
    if (only !== undefined && entries.names.some((each) => !only.has(each))) return false;
    let isKnown = true;
    for (const matcher of this.#matchers) {
      const matches = matcher.matches(entries);
      if (matches === false) return false;
      if (matches === undefined) isKnown = false;
    }
    return isKnown || Object.hasOwn(met, name);
  }

  #met(entries: LoggedEntries, id: string | undefined, atUs: number): MatchedRule | undefined {
    const { request } = entries;
    const { key = [] } = this.#rule;
    const { mode = "enforce" } = this.#document;
    const { cost, plan } = request;
    const meet = (compiled: CompiledRule, values: Readonly<Record<string, string>>) =>
      compiled.meet({ entries: values, cost, plan }, atUs, mode);
    const readable = request.entries ?? {};
    if (id === undefined || key.every((entry) => entries.clear(entry) !== undefined)) {
      return meet(this.#whole, readable);
    }
    const spelled = this.#overridden.get(id);
    const values = key.map((entry, i) => [entry, spelled?.[i] ?? ""] as const);
    const compiled = spelled === undefined ? this.#plain : this.#whole;
    return meet(compiled, { ...readable, ...Object.fromEntries(values) });
  }

  /** Units. If they come from an entry of which only the id is known: the logged cost, if the rule was met. */
  #costOf({ cost: own }: MatchedRule, entries: LoggedEntries): number {
    const { cost, name } = this.#rule;
    if (typeof cost !== "object" || entries.clear(cost.from) !== undefined) return own;
    const { met } = entries.request;
    const isHidden = entries.has(cost.from);
    return isHidden && Object.hasOwn(met, name) ? (met[name] as number) : own;
  }
}

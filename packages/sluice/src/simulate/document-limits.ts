/** A document of policies as limits to replay attempts under. Logs hold ids and no keys, which limits what can be replayed. */
import { type Rule, ruleOf } from "../algorithms/rule.js";
import { parsePolicy } from "../algorithms/registry.js";
import type { AttemptPolicies } from "../audit/attempts-read.js";
import { keyId } from "../audit/record.js";
import { UNIT } from "../core/amount.js";
import { CompiledRule, overridesByRule, weaker } from "../policies/compiled-rule.js";
import type { PoliciesDocument, PolicyOverride, PolicyRule } from "../policies/document.js";
import type { MatchedRule } from "../policies/matched-rule.js";
import { isPrefix, keyValues } from "../policies/override-key.js";
import { notesOf } from "./document-notes.js";
import type { AskedRule, Limits, LoggedAttempt, ReplayableLimits } from "./limits.js";
import { idOf, type LoggedAttempts } from "./logged-attempts.js";
import { requestRules } from "./request-rules.js";

/**
 * The rules of a document. If the log has the requests of a PolicySet with their entries, each is asked by the rules that
 * it meets here, as far as its entries are known. Otherwise a rule applies to the attempts that the log says a rule of its
 * name decided: its `match` and its key are taken as they were. An override applies if its key is spelled out. A rollout
 * counts as complete if the key is not readable. `notes` says which of this the log leaves out.
 *
 * @throws InvalidPoliciesError for a document that is not valid
 * @example
 * import { limitsOfDocument } from "sluice/simulate";
 * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
 * const limits = limitsOfDocument({ rules: [{ name: "api", key: ["user"], policy }] }, { rules: [] });
 * console.log(typeof limits); // object
 */
export function limitsOfDocument(
  document: PoliciesDocument,
  log: Pick<LoggedAttempts, "rules" | "requests">,
): Limits {
  return limitsOfRules(document, notesOf(document, log));
}

function limitsOfRules(document: PoliciesDocument, notes: readonly string[]): ReplayableLimits {
  const overrides = document.overrides ?? [];
  const rules = new Map(
    document.rules.map((rule) => {
      const own = overrides.filter((override) => override.rule === rule.name);
      return [rule.name, new RuleLimits(rule, document, own)] as const;
    }),
  );
  const known = new WeakMap<AttemptPolicies, readonly RuleLimits[]>();
  return {
    notes,
    rulesForRequest: requestRules(document),
    rulesFor(attempt) {
      const { under } = attempt;
      if (under === undefined) return [];
      let applying = known.get(under);
      if (applying === undefined) {
        applying = under.policies.flatMap(({ name }) => rules.get(name) ?? []);
        known.set(under, applying);
      }
      return applying.flatMap((rule) => rule.asked(attempt));
    },
  };
}

/** Denies whatever costs anything. */
const NOTHING = ruleOf(parsePolicy({ algorithm: "fixed-window", limit: 0, window: 1000 }));

/** What is asked of a key: the rule's policy and its candidate. */
interface KeyLimits {
  readonly policy: Rule | undefined;
  readonly candidate: Rule | undefined;
}

interface OverriddenKey extends KeyLimits {
  readonly untilUs: number;
  readonly key: string;
}

class RuleLimits {
  readonly #name: string;
  readonly #votes: boolean;
  readonly #isOff: boolean;
  readonly #cost: number | undefined;
  readonly #limits: KeyLimits;
  /** By the key's id. */
  readonly #overridden = new Map<string, OverriddenKey>();

  constructor(rule: PolicyRule, document: PoliciesDocument, overrides: readonly PolicyOverride[]) {
    const mode = weaker(document.mode ?? "enforce", rule.mode ?? "enforce");
    this.#name = rule.name;
    this.#votes = mode === "enforce";
    this.#isOff = mode === "off";
    this.#cost = typeof rule.cost === "number" ? Math.round(rule.cost * UNIT) : undefined;
    const key = rule.key ?? [];
    const meet = (compiled: CompiledRule, values: readonly string[]): KeyLimits => {
      const entries = Object.fromEntries(key.map((name, i) => [name, values[i] ?? ""]));
      return limitsIn(compiled.meet({ entries }, 0, "enforce"));
    };
    this.#limits = meet(new CompiledRule(rule, document, undefined), []);
    const compiled = new CompiledRule(rule, document, overridesByRule(overrides).get(rule.name));
    for (const override of overrides) {
      if (isPrefix(override.key)) continue;
      const untilUs = Date.parse(override.until ?? "") * 1e3 || Number.POSITIVE_INFINITY;
      const limits = meet(compiled, keyValues(override.key));
      this.#overridden.set(keyId(override.key), { ...limits, untilUs, key: override.key });
    }
  }

  asked({ key, record }: LoggedAttempt): readonly AskedRule[] {
    if (this.#isOff) return [];
    const found = this.#overridden.size > 0 ? this.#overridden.get(idOf(record.key)) : undefined;
    const overridden = found !== undefined && record.atUs < found.untilUs ? found : undefined;
    const { policy, candidate } = overridden ?? this.#limits;
    if (policy === undefined) return [];
    const common = { id: String(key), cost: this.#cost, override: overridden?.key };
    const own = { ...common, name: this.#name, rule: policy, votes: this.#votes };
    if (candidate === undefined) return [own];
    return [own, { ...common, name: candidate.policy.name, rule: candidate, votes: false }];
  }
}

function limitsIn(met: MatchedRule | undefined): KeyLimits {
  if (met === undefined || met.verdict === "exempt") {
    return { policy: undefined, candidate: undefined };
  }
  if (met.verdict === "deny") return { policy: NOTHING, candidate: undefined };
  const { policy, candidate } = met;
  return { policy: ruleOf(policy), candidate: candidate && ruleOf(candidate) };
}

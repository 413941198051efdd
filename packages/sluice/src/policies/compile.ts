/**
 * Makes a document ready to be asked: which rules does a request meet? Pure, without clock and I/O.
 *
 * `compilePolicies(document).match(request, nowUs, mode?)` lists them in the document's order, and `explain` says of every
 * rule why. A rule's `policy` is frozen and the same object for the same rule, plan and override, so that limiters keep what
 * they know of it; a new document has new objects.
 */
import { digests } from "../core/digest.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import { nearest } from "../core/slips.js";
import { CompiledRule, overridesByRule, weaker } from "./compiled-rule.js";
import type { PoliciesDocument, PoliciesMode } from "./document.js";
import type { MatchedRule, PolicyRequest, RuleExplanation } from "./matched-rule.js";
import { canonicalText, checkIsDocument } from "./print.js";
import { RuleTable } from "./rule-table.js";

/** A document ready to be asked. Immutable. */
export interface CompiledPolicies {
  /** The document that they were made of. */
  readonly document: PoliciesDocument;
  /** The document's own, or else `hash`. */
  readonly version: number | string;
  /** A hash of all that is in the document but its version: 22 characters. */
  readonly hash: string;
  /** From when it is in force, by the store's clock: µs since the epoch; 0 = at once. */
  readonly activeFromUs: number;
  /**
   * The rules that a request meets, in the document's order; the one that it names, if it names one.
   * @param nowUs Microseconds since the epoch, by the store's clock: overrides end by it.
   * @param mode A switch of this process beside the document's; the weaker of the two counts. Default "enforce".
   * @throws InvalidOptionError if it names a rule that the document does not have, or has no key for it
   */
  match(request: PolicyRequest, nowUs: number, mode?: PoliciesMode): readonly MatchedRule[];
  /** How many overrides are still in force at a time: µs since the epoch, by the store's clock. */
  overridesAt(nowUs: number): number;
  /** The same as `match`, with what keeps the other rules from it. */
  explain(request: PolicyRequest, nowUs: number, mode?: PoliciesMode): readonly RuleExplanation[];
}

/**
 * Makes a document that `parsePolicies` has checked ready to be asked.
 *
 * @throws InvalidOptionError for what is no document
 * @example
 * import { compilePolicies, parsePolicies } from "sluice/policies";
 * const { document } = parsePolicies({
 *   rules: [
 *     { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 100, period: "1m" } },
 *   ],
 * });
 * const policies = compilePolicies(document);
 * const [met] = policies.match({ entries: { user: "acme" } }, Date.now() * 1e3);
 * console.log(met?.rule, met?.identity, met?.policy.algorithm); // api user=acme token-bucket
 */
export function compilePolicies(document: PoliciesDocument): CompiledPolicies {
  checkIsDocument("document", document);
  const overrides = overridesByRule(document.overrides ?? []);
  const rules = document.rules.map(
    (rule) => new CompiledRule(rule, document, overrides.get(rule.name)),
  );
  const table = new RuleTable(rules);
  const byName = new Map(rules.map((rule) => [rule.rule.name, rule]));
  const ruleNamed = (name: string): CompiledRule => {
    const rule = byName.get(name);
    if (rule !== undefined) return rule;
    const near = nearest(name, [...byName.keys()]);
    const hint = near === undefined ? undefined : `did you mean "${near}"?`;
    const allowed = "the name of a rule of the document";
    throw new InvalidOptionError("rule", withoutText(name), allowed, { hint });
  };
  const { mode: switched = "enforce", activeFrom } = document;
  const ends = Float64Array.from([...overrides.values()].flat(), ({ untilUs }) => untilUs);
  const hash = digests.sha256(canonicalText(document)).slice(0, 22);
  return Object.freeze({
    document,
    version: document.version ?? hash,
    hash,
    activeFromUs: activeFrom === undefined ? 0 : Date.parse(activeFrom) * 1e3,
    match(request: PolicyRequest, nowUs: number, mode: PoliciesMode = "enforce") {
      const over = weaker(switched, mode);
      if (request.rule === undefined) return table.match(request, nowUs, over);
      return ruleNamed(request.rule).meetByName(request, nowUs, over);
    },
    overridesAt: (nowUs: number) => ends.reduce((sum, untilUs) => sum + Number(nowUs < untilUs), 0),
    explain(request: PolicyRequest, nowUs: number, mode: PoliciesMode = "enforce") {
      const over = weaker(switched, mode);
      const isAsked = request.rule !== undefined;
      const asked = isAsked ? [ruleNamed(request.rule)] : rules;
      return asked.map((rule) => {
        return {
          rule: rule.rule.name,
          match: isAsked
            ? rule.meetByName(request, nowUs, over)[0]
            : rule.isFor(request)
              ? rule.meet(request, nowUs, over)
              : undefined,
          unmet: isAsked ? [] : rule.unmet(request),
          mode: weaker(over, rule.rule.mode ?? "enforce"),
          rolloutPlace: rule.placeOf(request),
        };
      });
    },
  });
}

/** What a rule that a request meets is charged with: the list of policies that a limiter is given, and whose budget. */
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import type { Decision } from "../core/decision.js";
import { noted } from "../limiter/bound-policies.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { CompiledPolicies } from "./compile.js";
import type { MatchedOverride, MatchedRule } from "./matched-rule.js";

/** A rule that a request meets, as a charge of the limiter behind its set. */
interface MetRule {
  readonly limiter: RateLimiter;
  readonly key: string;
  /** Units. */
  readonly cost: number;
  /** What decides: the limiter itself has no policies. The first one is the rule's. */
  readonly policies: readonly Policy[];
  /** Whether it may refuse. */
  readonly enforce: boolean;
  /** Whether the cost is the request's, and may so turn out to be another. */
  readonly isCostOfRequest: boolean;
}

/** A rule that a request meets, ready to be asked of a limiter. */
export interface RuleCharge extends MetRule {
  readonly matched: MatchedRule;
  /** What it answered, once it has. */
  decision: Decision | undefined;
}

/** What stores with plain ids refuse. */
const NOT_PLAIN = /[{}\0]/g;
const IS_UNUSUAL = /[{}\0]/;

const percent = (character: string): string =>
  `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

/** Whom a request is when it does not say: nothing is charged to it. */
const NOBODY = "nobody";

/** One list for each way in which a rule is met under one policy and override. */
type Lists = WeakMap<Policy, Partial<Record<string, readonly Policy[]>>>;

/** The lists of one document, made once for each rule, plan, mode and override, so that limiters know them again. */
export class RulePolicies {
  readonly #version: number | string;
  readonly #plain: Lists = new WeakMap();
  readonly #overridden = new WeakMap<MatchedOverride, Lists>();
  /** Policies that requests bring, under the names of rules. */
  readonly #brought = new WeakMap<Policy, Map<string, Policy>>();

  readonly #costOfRequest: ReadonlySet<string>;

  readonly #isPlain: boolean;

  /** `isPlain`: ids are the keys themselves, which then may not hold everything. */
  constructor({ version, document }: CompiledPolicies, isPlain: boolean) {
    this.#version = version;
    this.#isPlain = isPlain;
    const without = document.rules.filter(({ cost }) => cost === undefined);
    this.#costOfRequest = new Set(without.map(({ name }) => name));
  }

  /** The key of an identity. A percent sign in it is always an escape, so no two identities share a key. */
  keyOf(identity: string): string {
    if (!this.#isPlain || !IS_UNUSUAL.test(identity)) return identity;
    return identity.replace(NOT_PLAIN, percent);
  }

  /** Whether the rule takes its cost from what the request says. */
  isCostOfRequest(rule: string): boolean {
    return this.#costOfRequest.has(rule);
  }

  /** The list for a rule as it is met, by a request that brings a policy or brings none. */
  of(met: MatchedRule, own: Policy | undefined): readonly Policy[] {
    const isOwn = own !== undefined && met.allowOverride && met.verdict === "decide";
    const matched = isOwn ? this.#withOwn(met, own) : met;
    const { policy, mode, verdict, override } = matched;
    const lists = override === undefined ? this.#plain : this.#listsOf(override);
    let byWay = lists.get(policy);
    if (byWay === undefined) {
      byWay = {};
      lists.set(policy, byWay);
    }
    const way = verdict === "decide" ? mode : `${mode} ${verdict}`;
    byWay[way] ??= this.#made(matched);
    return byWay[way];
  }

  #withOwn(met: MatchedRule, own: Policy): MatchedRule {
    let byRule = this.#brought.get(own);
    if (byRule === undefined) {
      byRule = new Map();
      this.#brought.set(own, byRule);
    }
    let policy = byRule.get(met.rule);
    if (policy === undefined) {
      policy = parsePolicy({ ...own, name: met.rule, enforce: true });
      byRule.set(met.rule, policy);
    }
    return { ...met, policy, candidate: undefined, override: undefined };
  }

  #listsOf(override: MatchedOverride): Lists {
    let lists = this.#overridden.get(override);
    if (lists === undefined) {
      lists = new WeakMap();
      this.#overridden.set(override, lists);
    }
    return lists;
  }

  #made({ rule, policy, candidate, mode, verdict, override }: MatchedRule): readonly Policy[] {
    const main = mode === "shadow" ? onTrial(policy) : policy;
    const list = candidate === undefined ? [main] : [main, onTrial(candidate)];
    return noted(list, {
      rule,
      version: this.#version,
      ...(override !== undefined && { override: override.id }),
      ...(verdict !== "decide" && { answer: verdict }),
    });
  }
}

/** What a rule that a request meets is charged with. */
export function chargeOf(
  matched: MatchedRule,
  limiter: RateLimiter,
  lists: RulePolicies,
  own: Policy | undefined,
): RuleCharge {
  const { rule, identity = NOBODY, cost, mode } = matched;
  return {
    limiter,
    matched,
    key: lists.keyOf(identity),
    cost,
    policies: lists.of(matched, own),
    enforce: mode === "enforce",
    isCostOfRequest: lists.isCostOfRequest(rule),
    decision: undefined,
  };
}

function onTrial(policy: Policy): Policy {
  return parsePolicy({ ...policy, enforce: false });
}

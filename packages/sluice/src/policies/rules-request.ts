/** What a PolicySet is asked, and the checks on it. */
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import { checkSignal } from "../core/abort.js";
import { toThousandths, UNIT } from "../core/amount.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkName, checkSlot } from "../core/key.js";
import {
  unchecked,
  byDefault,
  checkBoolean,
  checkList,
  checkObject,
  optional,
  optionReader,
  aText,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { PolicyRequest } from "./matched-rule.js";

/** A request, and how it is to be decided. */
export interface RulesRequest extends PolicyRequest {
  /**
   * Puts the keys of all rules beside others with the same text, such as "org:7": on a Cluster they are then decided
   * together. It is part of the keys. Default: none.
   */
  readonly slot?: string | undefined;
  /**
   * Decides instead of the policy of every rule with `allowOverride`, under the rule's name; the rule's candidate is left
   * out. A policy as `tokenBucket` and the others make it; its own name is ignored. Default: none.
   */
  readonly policy?: Policy | undefined;
  /**
   * For `giveBack`, so that a caller may safely repeat it: calls with the same nonce, rule and key give back once
   * within a minute. 1 to 64 characters of A-Z a-z 0-9 . _ -. Default: none.
   */
  readonly nonce?: string | undefined;
  /** Ends the wait for an answer; the request may yet be counted. */
  readonly signal?: AbortSignal | undefined;
}

/** A request among others, which end together. */
export type RulesRequestOfMany = Omit<RulesRequest, "signal">;

/** Options of `consumeMany` of a policy set. */
export interface RulesManyOptions {
  /** true: all requests take what they are charged, or none does, in one call of the store. Default false: each for itself. */
  readonly atomic?: boolean | undefined;
  /** Ends the wait for the answers; the requests may yet be counted. */
  readonly signal?: AbortSignal | undefined;
}

/** What a request cost after all. */
export interface RulesSettlement {
  /** Units, for rules that take the cost from the request; default: as it was. */
  readonly cost?: number | undefined;
  /** Entries that have changed, for rules that take the cost from one. */
  readonly entries?: PolicyRequest["entries"] | undefined;
}

const REQUEST = optionReader<RulesRequest>()({
  entries: checkObject,
  rule: optional(aText("the name of a rule, as text")),
  cost: optional(toThousandths),
  plan: optional(aText("the name of a plan, as text")),
  ...unchecked("slot", "policy"),
  nonce: optional(checkName),
  signal: checkSignal,
});
const KNOWN: ReadonlySet<string> = new Set(Object.keys(REQUEST.checks));
const MANY_OPTIONS = optionReader<RulesManyOptions>()({
  atomic: byDefault(false, checkBoolean),
  signal: checkSignal,
});
const SETTLEMENT = optionReader<RulesSettlement>()({
  cost: optional((option, cost) => toThousandths(option, cost) / UNIT),
  entries: optional(checkObject),
});

/** @throws InvalidOptionError */
export function checkRequest(request: RulesRequest): void {
  if (!isKnown(request)) REQUEST.known(request, "request");
  const { entries, rule, cost, plan, slot, policy, signal } = request;
  checkObject("entries", entries);
  if (cost !== undefined && cost !== 1) toThousandths("cost", cost);
  if (plan !== undefined && typeof plan !== "string") {
    throw new InvalidOptionError("plan", withoutText(plan), "the name of a plan, as text");
  }
  if (rule !== undefined && typeof rule !== "string") {
    throw new InvalidOptionError("rule", withoutText(rule), "the name of a rule, as text");
  }
  checkSlot(slot);
  if (policy !== undefined) ownPolicy(policy);
  if (request.nonce !== undefined) checkName("nonce", request.nonce);
  if (signal !== undefined) checkSignal("signal", signal);
}

/** Policies that were found good: frozen ones stay so. */
const goodPolicies = new WeakMap<object, Policy>();

/**
 * The policy that a request brings; the same object for the same frozen one.
 * @throws InvalidOptionError
 */
export function ownPolicy(policy: Policy): Policy {
  const isObject = typeof policy === "object" && policy !== null;
  const known = isObject ? goodPolicies.get(policy) : undefined;
  if (known !== undefined) return known;
  const parsed = parsePolicy(policy);
  if (Object.isFrozen(policy)) goodPolicies.set(policy, parsed);
  return parsed;
}

/** @throws InvalidOptionError */
export function checkMany(
  requests: readonly RulesRequestOfMany[],
  options: RulesManyOptions,
): RulesManyOptions & { readonly atomic: boolean } {
  checkList("requests", requests);
  const { atomic, signal } = MANY_OPTIONS.read(options);
  for (const request of requests as readonly RulesRequest[]) {
    if (request?.signal === undefined) continue;
    const allowed = "no signal of its own: the option `signal` ends the wait for all";
    throw new InvalidOptionError("requests.signal", withoutText(request.signal), allowed);
  }
  return { atomic, signal };
}

/** The check that can say what is wrong takes longer than all else here. */
function isKnown(request: RulesRequest): boolean {
  if (typeof request !== "object" || request === null) return false;
  // Not Object.keys: that would make a list for each request.
  for (const name in request) {
    if (!KNOWN.has(name)) return false;
  }
  return true;
}

/** @throws InvalidOptionError */
export function checkSettlement(settlement: unknown): RulesSettlement {
  return SETTLEMENT.read(settlement, "settlement");
}

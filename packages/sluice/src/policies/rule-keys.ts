/** What operators do to one key of one rule: deny it for a while, let it in again, and look at it, by its id too. */
import { type Verb, VERBS } from "../algorithms/decide.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { hiding, isDigest } from "../core/identity.js";
import { unchecked, optionReader, aText } from "../core/options.js";
import { InWords, withoutText } from "../core/shown.js";
import { administer, blockLengthUs } from "../limiter/administer.js";
import { pipelineIn } from "./ask-rules.js";
import { meetOf } from "./met-rules.js";
import { formOfKeys, isInReach, isPrefix, keyValues } from "./override-key.js";
import type { PolicySet } from "./policy-set.js";
import type { RuleCharge } from "./rule-charge.js";
import type { RequestEntries } from "./rule-key.js";

/** One key of one rule, by one of the three. */
export interface RuleKeyTarget {
  /** The rule's name. */
  readonly rule: string;
  /** What a request says of itself: the entries of the rule's key are enough. */
  readonly entries?: RequestEntries | undefined;
  /** The key as `ruleKey` writes it: `user=acme`. Of a long one, which is a digest, overrides are not known. */
  readonly key?: string | undefined;
  /**
   * The key's id as reports and logs show it. Only if ids are the keys of the store: it is outside the process, and
   * `identity` is no "plain". What decides is the rule's policy, whatever override the key has.
   */
  readonly id?: string | undefined;
  /** The slot that requests on the key give. Default: none. */
  readonly slot?: string | undefined;
}

/**
 * Denies a key of a rule for `duration` from now on the store's clock, instead of any block that it has; Infinity:
 * until `unblockRuleKey` or `resetRuleKey`.
 *
 * @throws InvalidOptionError
 * @example
 * import { blockRuleKey, PolicySet, resetRuleKey, unblockRuleKey } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const ann = { rule: "api", entries: { user: "ann" } };
 * await blockRuleKey(rules, ann, "15m");
 * console.log((await rules.consume(ann)).reason); // blocked
 * await unblockRuleKey(rules, { rule: "api", key: "user=ann" });
 * console.log((await rules.consume(ann)).remaining); // 2
 * await resetRuleKey(rules, ann);
 * console.log((await rules.peek(ann)).remaining); // 3
 * await rules.close();
 */
export async function blockRuleKey(
  rules: PolicySet,
  target: RuleKeyTarget,
  duration: Duration,
): Promise<void> {
  await administered(rules, target, VERBS.block, blockLengthUs("duration", duration));
}

/**
 * Lifts the block of a key of a rule.
 *
 * @throws InvalidOptionError; StoreUnavailableError, StoreTimeoutError
 * @example
 * import { blockRuleKey, PolicySet, unblockRuleKey } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const ann = { rule: "api", entries: { user: "ann" } };
 * await blockRuleKey(rules, ann, "15m");
 * await unblockRuleKey(rules, ann);
 * console.log((await rules.consume(ann)).allowed); // true
 * await rules.close();
 */
export async function unblockRuleKey(rules: PolicySet, target: RuleKeyTarget): Promise<void> {
  await administered(rules, target, VERBS.unblock, 0);
}

/**
 * Forgets a key of a rule: full quota, no block.
 *
 * @throws InvalidOptionError; StoreUnavailableError, StoreTimeoutError
 * @example
 * import { PolicySet, resetRuleKey } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const ann = { rule: "api", entries: { user: "ann" } };
 * await rules.consume(ann);
 * await resetRuleKey(rules, ann);
 * console.log((await rules.peek(ann)).remaining); // 3
 * await rules.close();
 */
export async function resetRuleKey(rules: PolicySet, target: RuleKeyTarget): Promise<void> {
  await administered(rules, target, VERBS.reset, 0);
}

/**
 * What a call of cost 1 on a key of a rule would be answered, without counting; always asks the store.
 *
 * @throws InvalidOptionError
 * @example
 * import { peekRuleKey, PolicySet } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const ann = { rule: "api", entries: { user: "ann" } };
 * console.log((await peekRuleKey(rules, ann)).remaining); // 3
 * await rules.close();
 */
export async function peekRuleKey(rules: PolicySet, target: RuleKeyTarget): Promise<Decision> {
  const { charge, slot, id } = chargeAt(rules, target);
  const { key, policies: policy } = charge;
  return pipelineIn(charge).run({ verb: VERBS.peek, key, slot, id, cost: 1, policy });
}

/**
 * The id of a key of a rule, as reports and logs show it: a hash in any case.
 *
 * @throws InvalidOptionError
 * @example
 * import { PolicySet, ruleKeyId } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
 * const rules = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * console.log(ruleKeyId(rules, { rule: "api", entries: { user: "ann" } })); // 1Pl7eMPcWuw8Zfp44NLHRg
 * await rules.close();
 */
export function ruleKeyId(rules: PolicySet, target: RuleKeyTarget): string {
  const { charge, slot, id } = chargeAt(rules, target);
  return id ?? hiding(pipelineIn(charge).identify)(charge.key, slot);
}

async function administered(
  rules: PolicySet,
  target: RuleKeyTarget,
  verb: Verb,
  blockUs: number,
): Promise<void> {
  const { charge, slot, id } = chargeAt(rules, target);
  const { key, policies: policy } = charge;
  await administer(pipelineIn(charge), { verb, key, slot, id, cost: 0, blockUs, policy });
}

interface Aimed {
  readonly charge: RuleCharge;
  readonly slot: string | undefined;
  readonly id: string | undefined;
}

const TARGET = optionReader<RuleKeyTarget>()({
  rule: aText("the name of a rule, as text"),
  ...unchecked("entries", "key", "id", "slot"),
});
const ONE_OF_THREE = "one of entries, key and id";

/** The rule as the key meets it. @throws InvalidOptionError */
function chargeAt(rules: PolicySet, target: RuleKeyTarget): Aimed {
  const meet = meetOf(rules);
  if (meet === undefined) throw new InvalidOptionError("rules", withoutText(rules), "a PolicySet");
  // What adds to a target, such as a whole request, would be of no effect.
  const { rule, entries, key, id, slot } = TARGET.read(target, "target");
  if ([entries, key, id].filter((each) => each !== undefined).length !== 1) {
    throw new InvalidOptionError("target", new InWords("none or several"), ONE_OF_THREE);
  }
  const isOfDigest = typeof key === "string" && isDigest(key);
  const asked = entries ?? entriesOf(rules, rule, isOfDigest ? undefined : key);
  const { charges } = meet({ rule, entries: asked, slot });
  const [charge] = charges;
  if (charge === undefined) {
    throw new InvalidOptionError("rule", rule, "a rule that is not off, in a set that is not off");
  }
  if (isOfDigest) return { charge: { ...charge, key }, slot, id };
  return id === undefined
    ? { charge, slot, id }
    : { charge: { ...charge, key: checkId(charge, id) }, slot: undefined, id };
}

/** The entries of a key; if only its id or its digest is known, entries that no request has. */
function entriesOf(rules: PolicySet, rule: string, key: string | undefined): RequestEntries {
  const names = rules.document.rules.find(({ name }) => name === rule)?.key ?? [];
  if (key === undefined) return Object.fromEntries(names.map((name) => [name, ""]));
  if (typeof key !== "string" || isPrefix(key) || !isInReach(key, names)) {
    const allowed = `a key of the rule as ruleKey writes it: ${formOfKeys(names)}`;
    throw new InvalidOptionError("key", withoutText(key), allowed);
  }
  const values = keyValues(key);
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""]));
}

const ID = /^(?:\{[\w-]{22}\})?[\w-]{22}$/;

/** @throws InvalidOptionError */
function checkId(charge: RuleCharge, id: unknown): string {
  const { identify } = pipelineIn(charge);
  if (hiding(identify) !== identify) {
    const allowed =
      "the key, or its entries: ids are hashes, and this store has the keys themselves";
    throw new InvalidOptionError("id", new InWords("an id"), allowed);
  }
  if (typeof id === "string" && ID.test(id)) return id;
  throw new InvalidOptionError("id", withoutText(id), "an id of 22 characters, as reports show it");
}

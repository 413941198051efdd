/** What is done to one key: a block, a reset, an override of the document. */
import { durationMs, InvalidOptionError } from "sluice";
import {
  blockRuleKey,
  PolicyConflictError,
  type PoliciesDocument,
  type PolicyOverride,
  type PolicyRule,
  type PolicySet,
  resetRuleKey,
  ruleKey,
  type RuleKeyTarget,
  ruleKeyId,
  unblockRuleKey,
} from "sluice/policies";
import { notValid, Refusal } from "./answers.js";
import type { Documents } from "./documents.js";
import type { KeyLookUp } from "./look-up.js";
import type { Change, KeyChange, LookedUp } from "./wire.js";

/** A change that was made, for the record. */
export interface KeyChanged {
  readonly looked: LookedUp;
  readonly kind: Change["kind"];
  readonly target: string;
  readonly text: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** One key of one rule, as far as it is known. */
interface Aim {
  readonly rule: PolicyRule;
  readonly entries: KeyChange["entries"];
  /** As overrides spell it; undefined if only the id is known. */
  readonly key: string | undefined;
  readonly id: string;
  readonly target: RuleKeyTarget;
}

const DEFAULT_BLOCK = "15m";
const MOST_TRIES = 3;

export class KeyChanges {
  readonly #policies: PolicySet;
  readonly #documents: Documents;
  readonly #looks: KeyLookUp;
  #lastOverride: Promise<unknown> = Promise.resolve();

  constructor(policies: PolicySet, documents: Documents, looks: KeyLookUp) {
    this.#policies = policies;
    this.#documents = documents;
    this.#looks = looks;
  }

  /** @throws Refusal, InvalidOptionError; what the store fails with */
  async make(change: KeyChange, who: string | undefined): Promise<KeyChanged> {
    const aim = this.#aimAt(change);
    const before = await this.#look(aim);
    const { kind, text } = await this.#made(change, aim, who);
    const looked = await this.#look(aim);
    const target = `${aim.rule.name} ${aim.id}`;
    return { looked, kind, target, text, before: shownOf(before), after: shownOf(looked) };
  }

  /** @throws Refusal */
  #aimAt({ rule: name, entries, id }: KeyChange): Aim {
    const rule = this.#policies.document.rules.find((each) => each.name === name);
    if (rule === undefined) {
      throw new Refusal(404, "There is no such rule", `the document has no rule ${name}`);
    }
    if ((entries === undefined) === (id === undefined)) {
      throw notValid("say which key: by its entries, or by its id");
    }
    if (entries !== undefined) {
      const target: RuleKeyTarget = { rule: name, entries };
      const key = ruleKey(rule.key ?? [], entries);
      return { rule, entries, key, id: ruleKeyId(this.#policies, target), target };
    }
    const known = this.#looks.keyOf(name, id as string);
    if (known === undefined) {
      return { rule, entries, key: undefined, id: id as string, target: { rule: name, id } };
    }
    return { rule, entries, key: known, id: id as string, target: { rule: name, key: known } };
  }

  async #look({ rule, entries, id, target }: Aim): Promise<LookedUp> {
    if (entries !== undefined) return this.#looks.byEntries({ entries, rule: rule.name });
    return this.#looks.byTarget(rule.name, id, target);
  }

  async #made(
    change: KeyChange,
    aim: Aim,
    who: string | undefined,
  ): Promise<Pick<KeyChanged, "kind" | "text">> {
    const name = `${aim.rule.name} ${aim.id}`;
    switch (change.change) {
      case "block": {
        const { for: span = DEFAULT_BLOCK } = change;
        const ms = span === "ever" ? Number.POSITIVE_INFINITY : blockMs(span);
        await blockRuleKey(this.#policies, aim.target, ms);
        return { kind: "block", text: `blocked ${name} for ${span}` };
      }
      case "unblock":
        await unblockRuleKey(this.#policies, aim.target);
        return { kind: "unblock", text: `lifted the block of ${name}` };
      case "reset":
        await resetRuleKey(this.#policies, aim.target);
        return { kind: "reset", text: `reset ${name}` };
      case "override":
        await this.#inTurn(() => this.#override(change, aim, who));
        return { kind: "override", text: `override of ${name}` };
      case "clear-override":
        await this.#inTurn(() => this.#override(undefined, aim, who, change.comment));
        return { kind: "override", text: `no override of ${name} any more` };
      default:
        throw notValid("change is none of block, unblock, reset, override, clear-override");
    }
  }

  /** Makes an override after those that were asked for before it, whose version it replaces. */
  #inTurn(override: () => Promise<void>): Promise<void> {
    const made = this.#lastOverride.then(override);
    this.#lastOverride = made.catch(() => {});
    return made;
  }

  /** Of two processes that change the document at once, neither's override is lost. */
  async #override(
    change: KeyChange | undefined,
    { rule, key }: Aim,
    who: string | undefined,
    comment = change?.comment,
  ): Promise<void> {
    if (key === undefined) {
      throw new Refusal(
        409,
        "The key is not known",
        "an override goes by the key, and this process has only its id: look it up by its entries",
      );
    }
    const made = change && overrideOf(change, rule.name, key, who);
    for (let tries = 1; ; tries++) {
      const { version, document } = this.#policies;
      try {
        const next = withOverride(document, rule.name, key, made);
        await this.#documents.publish(next, version, { by: who, comment });
        return;
      } catch (error) {
        if (!(error instanceof PolicyConflictError) || tries === MOST_TRIES) throw error;
        await this.#policies.reload();
      }
    }
  }
}

/** @throws Refusal which names the field */
function blockMs(span: string): number {
  try {
    return durationMs(span);
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error;
    const message = error.message.replace(/^duration: /, "for: ");
    const problems = [{ path: "for", message }];
    throw new Refusal(400, "That is not valid", message, { more: { problems } });
  }
}

/** @throws Refusal */
function overrideOf(
  { override, untilMs, comment }: KeyChange,
  rule: string,
  key: string,
  who: string | undefined,
): PolicyOverride {
  const isMode = override === "deny" || override === "exempt";
  if (!isMode && (typeof override !== "object" || override === null)) {
    throw notValid('override must be "deny", "exempt" or a policy');
  }
  const isTime = untilMs === undefined || (Number.isFinite(untilMs) && Math.abs(untilMs) < 8e15);
  if (!isTime) throw notValid("untilMs must be a time in milliseconds since 1970");
  return {
    rule,
    key,
    ...(isMode ? { mode: override } : { policy: override }),
    ...(untilMs !== undefined && { until: new Date(untilMs).toISOString() }),
    ...(comment !== undefined && { comment }),
    ...(who !== undefined && { by: who }),
  };
}

/** @throws Refusal if there is none to remove */
function withOverride(
  document: PoliciesDocument,
  rule: string,
  key: string,
  made: PolicyOverride | undefined,
): PoliciesDocument {
  const { overrides = [] } = document;
  const isOf = (each: PolicyOverride): boolean => each.rule === rule && each.key === key;
  if (made === undefined && !overrides.some(isOf)) {
    throw new Refusal(404, "There is no such override", "the document has none of just this key");
  }
  const others = overrides.filter((each) => !isOf(each));
  return { ...document, overrides: made === undefined ? others : [...others, made] };
}

/** For the record: what a call would get, and by which override. */
function shownOf({ rules }: LookedUp): unknown {
  const [rule] = rules;
  return rule && { now: rule.now, override: rule.override };
}

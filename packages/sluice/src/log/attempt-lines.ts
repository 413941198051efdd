/** Lines of a log of attempts, made from the events of limiters. */
import type { Policy } from "../algorithms/registry.js";
import { adjustmentLine, type AttemptRule, GIVING_BACK } from "../audit/attempt-record.js";
import { type LOGGED_VERBS, recordLine } from "../audit/record.js";
import { isSampled } from "../audit/sample.js";
import { randomName } from "../core/digest.js";
import type { Identify } from "../core/identity.js";
import type { DecisionMade, KeyAdjusted } from "../events/events.js";
import type { Store } from "../stores/store.js";
import type { QueuedLine } from "./line-queue.js";
import type { ClearEntries } from "./clear-entries.js";

/** What a line needs of a decision. */
export type DecidedCall = Pick<
  DecisionMade,
  "key" | "slot" | "cost" | "verb" | "decision" | "policies" | "maxWaitUs" | "readyAtUs"
>;

/** Whose decisions they are. */
export interface Logged {
  readonly ids: Identify;
  /** What the log calls the limiter. */
  readonly limiter: string;
  /** What it calls a store inside the process; undefined for any other. */
  readonly store: string | undefined;
  /** Whether it is a set of rules, whose requests are logged too. */
  readonly ofSet: boolean;
  /** The entries of its requests that may be read. */
  readonly clear: ClearEntries;
}

type LoggedVerbName = (typeof LOGGED_VERBS)[number];

/** More than policies should ever have sets of options: then the log defines them again. */
const MAX_RULES = 10_000;
const STORE_NAME_BYTES = 9;

/** Names of stores inside the process: no other store has the same state. */
const storeNames = new WeakMap<Store, string>();

/** What logs call a store inside the process. */
export function nameOfStore(store: Store): string {
  let name = storeNames.get(store);
  if (name === undefined) {
    name = randomName(STORE_NAME_BYTES);
    storeNames.set(store, name);
  }
  return name;
}

/** Makes the lines of one session: the numbers of rules are its own. */
export class AttemptLines {
  readonly #sample: number;
  /** By limiter and policies, whose lists are mostly the same object each time. */
  readonly #rulesByList = new WeakMap<readonly Policy[], Map<string, AttemptRule>>();
  readonly #rules = new Map<string, AttemptRule>();
  #rulesMade = 0;

  /** `sample` is the share of keys that have lines. */
  constructor(sample: number) {
    this.#sample = sample;
  }

  /** Undefined if there is nothing to log. */
  decided(event: DecidedCall, logged: Logged): QueuedLine | undefined {
    const { ids, limiter } = logged;
    const { key, slot, cost, verb, decision, policies, maxWaitUs, readyAtUs } = event;
    if (verb === "peek") return undefined;
    const id = ids(key, slot);
    if (!isSampled(id, this.#sample)) return undefined;
    const rule = this.#ruleOf(policies, logged);
    const { policy } = decision;
    const call = {
      key: id,
      cost,
      verb,
      maxWaitUs,
      rule: { rule: rule?.rule, limiter, policy },
    };
    const { refunded } = decision as { readonly refunded?: number };
    // Of those that are no attempts, what they took or gave is no grant.
    const isAttempt = verb !== "refund" && verb !== "penalize";
    const given = isAttempt ? {} : { granted: refunded ?? 0 };
    const text = recordLine(call, { ...decision, ...given, readyAtUs });
    return { text, rule, givesBack: GIVING_BACK.has(verb) };
  }

  /** Undefined if there is nothing to log. */
  adjusted(event: KeyAdjusted, logged: Logged): QueuedLine | undefined {
    const { ids, limiter } = logged;
    const { key, slot, verb, units, atUs, policies, id = ids(key, slot) } = event;
    if (!isSampled(id, this.#sample)) return undefined;
    const rule = this.#ruleOf(policies, logged);
    if (rule === undefined) return undefined;
    const adjustment = { key: id, verb: verb as LoggedVerbName, units, atUs };
    const text = adjustmentLine(adjustment, { rule: rule.rule, limiter });
    return { text, rule, givesBack: GIVING_BACK.has(verb) };
  }

  /** Undefined if it is not known what decided. */
  #ruleOf(policies: readonly Policy[], logged: Logged): AttemptRule | undefined {
    if (policies.length === 0) return undefined;
    const limiter = `${logged.limiter} ${logged.ofSet}`;
    let byLimiter = this.#rulesByList.get(policies);
    if (byLimiter === undefined) {
      byLimiter = new Map();
      this.#rulesByList.set(policies, byLimiter);
    }
    let rule = byLimiter.get(limiter);
    if (rule === undefined) {
      rule = this.#ruleByText(policies, logged);
      byLimiter.set(limiter, rule);
    }
    return rule;
  }

  #ruleByText(policies: readonly Policy[], { limiter, store, ofSet }: Logged): AttemptRule {
    const text = `${limiter} ${ofSet} ${JSON.stringify(policies)}`;
    let rule = this.#rules.get(text);
    if (rule === undefined) {
      if (this.#rules.size >= MAX_RULES) this.#rules.clear();
      this.#rulesMade += 1;
      rule = { rule: this.#rulesMade, limiter, store, policies, ofSet };
      this.#rules.set(text, rule);
    }
    return rule;
  }
}

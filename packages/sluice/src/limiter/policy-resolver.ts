/** Which policies decide on a key: fixed ones, or what a function of the key says, with per-call overrides. */
import type { Policy } from "../algorithms/registry.js";
import { type Rule, ruleOf, rulesOf } from "../algorithms/rule.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import type { Events } from "../events/events.js";
import { isShared, joinSet, leaveSet } from "./sharing.js";
import type { Keyspace, Store } from "../stores/store.js";

/** A policy in its place: the name that decisions show, the rule, and where its keys live. */
export interface BoundPolicy {
  readonly name: string;
  readonly rule: Rule;
  readonly keyspace: Keyspace;
}

/**
 * Whether both lists decide alike and on the same state. Compares fingerprints, since a policy function may make its
 * policies anew for each call.
 */
export function alike(
  a: readonly Pick<BoundPolicy, "rule" | "keyspace">[],
  b: readonly Pick<BoundPolicy, "rule" | "keyspace">[],
): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every(({ rule, keyspace }, i) => {
      const other = b[i];
      return keyspace === other?.keyspace && rule.fingerprint === other.rule.fingerprint;
    })
  );
}

export type PolicyOption =
  | Policy
  | readonly Policy[]
  | ((key: string) => Policy | readonly Policy[]);

/** A policy function labels groups of keys; more names than this are keys by mistake. */
const MAX_DYNAMIC_NAMES = 1024;

let functionsSeen = 0;
const functionNumbers = new WeakMap<object, number>();

function numberOf(fn: object): number {
  let number = functionNumbers.get(fn);
  if (number === undefined) {
    functionsSeen += 1;
    number = functionsSeen;
    functionNumbers.set(fn, number);
  }
  return number;
}

export class PolicyResolver {
  readonly #store: Store;
  readonly #events: Events;
  readonly #namespace: string;
  readonly #option: PolicyOption;
  /** What decides on every key, without a function of the key. */
  readonly fixed: readonly BoundPolicy[] | undefined;
  /** BoundPolicies by rule and then name; rules live as long as the policy values they come from. */
  readonly #known = new WeakMap<Rule, Map<string, BoundPolicy>>();
  /** Spaces claimed in the store, with the fingerprint of the claim. */
  readonly #claimed = new Map<string, string>();
  /** The options under which each policy of a function was last used, while somebody listens. */
  readonly #inUse = new Map<string, string>();
  /** The names of a fixed set; a function's sets count as one, since a key has one of them. */
  readonly #set: string;

  constructor(store: Store, namespace: string, option: unknown, events: Events) {
    this.#events = events;
    this.#store = store;
    this.#namespace = namespace;
    this.#option = option as PolicyOption;
    this.#set = typeof option === "function" ? `policy function ${numberOf(option)}` : "";
    if (typeof option !== "function") {
      this.fixed = rulesOf(option).map((rule) => this.#bind(rule.policy.name, rule));
      this.#set = this.fixed.map(({ keyspace }) => keyspace.name).join(" ");
      try {
        for (const { keyspace, rule } of this.fixed) this.#claim(keyspace.name, rule.fingerprint);
      } catch (error) {
        // A limiter that is never made must not hold the names it got before the one it did not.
        this.release();
        throw error;
      }
    }
  }

  /** The bound policy, where there is one fixed policy. */
  get only(): BoundPolicy | undefined {
    return this.fixed?.length === 1 ? this.fixed[0] : undefined;
  }

  /** The bound policies of a key, with the options of this call where it overrides them. */
  resolve(key: string, override?: unknown): readonly BoundPolicy[] {
    const bound = this.fixed ?? this.#dynamic(key);
    return override === undefined ? bound : this.#overridden(bound, override);
  }

  /**
   * Whether a start can be promised ahead: every policy can be reserved, and nobody but limiters with the same
   * policies charges these buckets, which a bucket alone does not need.
   */
  canReserve(bound: readonly BoundPolicy[]): boolean {
    if (bound.some(({ rule }) => rule.params.reservations === undefined)) return false;
    if (bound.length === 1) return true;
    return bound.every(({ keyspace }) => !isShared(this.#store, keyspace.name));
  }

  release(): void {
    for (const [keyspace, fingerprint] of this.#claimed) {
      this.#store.release(keyspace, fingerprint);
      leaveSet(this.#store, keyspace, this.#set);
    }
    this.#claimed.clear();
  }

  #dynamic(key: string): readonly BoundPolicy[] {
    const choose = this.#option as (key: string) => unknown;
    const bound = rulesOf(choose(key), "policy(key)").map((rule) =>
      this.#bind(rule.policy.name, rule),
    );
    for (const { name, keyspace } of bound) {
      if (this.#claimed.has(keyspace.name)) continue;
      if (this.#claimed.size === MAX_DYNAMIC_NAMES) {
        throw new InvalidOptionError(
          "policy(key).name",
          // Made out of a key, most likely, and a key is never shown.
          withoutText(name),
          `at most ${MAX_DYNAMIC_NAMES} distinct names a limiter`,
        );
      }
      this.#claim(keyspace.name, `policy function ${numberOf(choose)}`);
    }
    this.#noteChanges(bound);
    return bound;
  }

  /** Lets listeners know of policies that a function returns for the first time, or with other options. */
  #noteChanges(bound: readonly BoundPolicy[]): void {
    const listener = this.#events.to.policies;
    if (listener === undefined) return;
    const changed = bound.filter(({ name, rule }) => this.#inUse.get(name) !== rule.fingerprint);
    for (const { name, rule } of changed) this.#inUse.set(name, rule.fingerprint);
    const policies = changed.map(({ name }) => name);
    if (policies.length > 0) listener({ limiter: this.#namespace, policies });
  }

  /** One policy overrides the only one, whatever its name; several are matched by name. */
  #overridden(bound: readonly BoundPolicy[], override: unknown): readonly BoundPolicy[] {
    const only = bound[0] as BoundPolicy;
    if (bound.length === 1 && !Array.isArray(override)) {
      return [this.#bind(only.name, ruleOf(override))];
    }
    const rules = Array.isArray(override) ? rulesOf(override) : [ruleOf(override)];
    const names = bound.map(({ name }) => name);
    for (const { policy } of rules) {
      if (!names.includes(policy.name)) {
        throw new InvalidOptionError(
          "policy.name",
          policy.name,
          `a policy of this limiter: ${names.join(", ")}`,
        );
      }
    }
    return bound.map((boundPolicy) => {
      const rule = rules.find(({ policy }) => policy.name === boundPolicy.name);
      return rule === undefined ? boundPolicy : this.#bind(boundPolicy.name, rule);
    });
  }

  #bind(name: string, rule: Rule): BoundPolicy {
    let byName = this.#known.get(rule);
    if (byName === undefined) {
      byName = new Map();
      this.#known.set(rule, byName);
    }
    let boundPolicy = byName.get(name);
    if (boundPolicy === undefined) {
      boundPolicy = {
        name,
        rule,
        keyspace: this.#store.open(this.#keyspaceName(name, rule), rule.kernel),
      };
      byName.set(name, boundPolicy);
    }
    return boundPolicy;
  }

  /** Another algorithm is another key: a name that is not the algorithm's own carries its tag. */
  #keyspaceName(name: string, rule: Rule): string {
    const tag = name === rule.policy.algorithm ? "" : `~${rule.kernel.tag}`;
    return `${this.#namespace}:${name}${tag}`;
  }

  #claim(keyspace: string, fingerprint: string): void {
    this.#store.claim(keyspace, fingerprint);
    joinSet(this.#store, keyspace, this.#set);
    this.#claimed.set(keyspace, fingerprint);
  }
}

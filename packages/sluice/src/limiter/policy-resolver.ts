/** Which policies decide on a key: fixed ones, what a function of the key says or promises, or what the call brings. */
import type { Policy } from "../algorithms/registry.js";
import { nameInKeys, type Rule, ruleOf, rulesOf } from "../algorithms/rule.js";
import type { Closing } from "../core/closing.js";
import type { Identify } from "../core/identity.js";
import { InvalidOptionError, PolicyUnavailableError } from "../core/errors.js";
import { isPromiseLike } from "../core/promises.js";
import { A_PROMISE, InWords, withoutText } from "../core/shown.js";
import type { Events } from "../events/events.js";
import {
  allOf,
  type BoundPolicies,
  type BoundPolicy,
  boundTogether,
  mayReplace,
  notedOf,
  votersOf,
} from "./bound-policies.js";
import type { LimiterCounts } from "./counts.js";
import type { Overrides } from "./overrides.js";
import { policiesIn } from "./policies-in.js";
import { isShared, joinSet, leaveSet, numberOf } from "./sharing.js";
import type { Claimant, Store } from "../stores/store.js";
import {
  PolicyCache,
  type PolicyCacheOptions,
  policiesInTime,
  unavailable,
} from "./policy-cache.js";

/** What decides: a policy, several together, or a function of the key, which may promise them. */
export type PolicyOption =
  | Policy
  | readonly Policy[]
  | ((key: string) => Policy | readonly Policy[] | PromiseLike<Policy | readonly Policy[]>);

type Bound = BoundPolicies;

export interface ResolverOptions {
  readonly store: Store;
  readonly namespace: string;
  /** Undefined if each call brings its policies. */
  readonly policy: unknown;
  readonly policyCache: PolicyCacheOptions | undefined;
  /** How long a call waits for policies that are promised. */
  readonly timeoutMs: number;
  /** Whether the names are taken from limiters that use them with other options. */
  readonly replaces: boolean;
  readonly events: Events;
  readonly counts: LimiterCounts;
  /** Ends the waits for what is promised. */
  readonly closing: Closing;
  readonly identify: Identify;
  /** Undefined if the limiter has none. */
  readonly overrides: Overrides | undefined;
}

/** A policy function labels groups of keys; more names than this are keys by mistake. */
const MAX_DYNAMIC_NAMES = 1024;

/** The claim of limiters to which each call brings its policies: they may differ from call to call. */
const EACH_CALL = "the options of each call";

export class PolicyResolver {
  readonly #store: Store;
  readonly #events: Events;
  readonly #counts: LimiterCounts;
  readonly #namespace: string;
  /** As it was given; undefined if each call brings its policies. */
  readonly option: PolicyOption | undefined;
  readonly #options: ResolverOptions;
  /** What decides on every key; undefined if that is a function of the key, or some keys may have overrides. */
  fixed: BoundPolicies | undefined;
  /** The same whether or not there are overrides. */
  readonly #fixed: BoundPolicies | undefined;
  /** BoundPolicies by rule and then name; rules live as long as the policy values they come from. */
  readonly #known = new WeakMap<Rule, Map<string, BoundPolicy>>();
  /** Spaces claimed in the store, with the fingerprint of the claim. */
  readonly #claimed = new Map<string, string>();
  /** The options under which each policy of a function was last used, while there are listeners. */
  readonly #inUse = new Map<string, string>();
  /** The names of a fixed set; a function's sets count as one, since a key has one of them. */
  readonly #set: string;
  readonly #claimant: Claimant;
  readonly #timeoutMs: number;
  readonly #closing: Closing;
  readonly #cache: PolicyCache<Bound>;
  /** Fetches whose failure was reported: each is once, however many wait for it. */
  readonly #reported = new WeakSet<Promise<Bound>>();
  #hasPromised = false;
  #isReleased = false;
  /** What calls brought before, by their noted lists, which are frozen. */
  #lists = new WeakMap<object, Bound>();

  constructor(options: ResolverOptions) {
    const { store, namespace, policy: option, events } = options;
    this.#options = options;
    this.#events = events;
    this.#counts = options.counts;
    this.#store = store;
    this.#namespace = namespace;
    this.option = option as PolicyOption | undefined;
    this.#claimant = { holder: this, replaces: options.replaces };
    this.#timeoutMs = options.timeoutMs;
    this.#closing = options.closing;
    this.#cache = new PolicyCache(options.policyCache, this.#timeoutMs, (error, key) => {
      this.#events.to.failure?.({ error: unavailable(error), key, cost: 0 });
    });
    this.#set = typeof option === "function" ? `policy function ${numberOf(option)}` : EACH_CALL;
    if (typeof option !== "function" && option !== undefined) {
      const all = rulesOf(option).map((rule) => this.#bind(rule.policy.name, rule));
      this.#fixed = boundTogether(all);
      this.#set = this.#fixed.map(({ keyspace }) => keyspace.name).join(" ");
      try {
        for (const { keyspace, rule } of all) this.#claim(keyspace.name, rule.fingerprint);
      } catch (error) {
        // A limiter that is never made must not hold the names it got before the one it did not.
        this.release();
        throw error;
      }
    }
  }

  /** Goes by whether there are overrides now. */
  update(): void {
    this.fixed = this.overrides?.isInUse === true ? undefined : this.#fixed;
  }

  get overrides(): Overrides | undefined {
    return this.#options.overrides;
  }

  /** The bound policy, if one fixed policy alone decides on every key. */
  get only(): BoundPolicy | undefined {
    const { fixed } = this;
    return fixed?.length === 1 && fixed.terms === undefined ? fixed[0] : undefined;
  }

  /**
   * The bound policies of a key, with the options of this call if it overrides them. A promise of them rejects with a
   * PolicyUnavailableError if they do not come in time, and with the signal's reason.
   */
  resolve(
    key: string,
    override?: unknown,
    signal?: AbortSignal,
    slot?: string,
  ): Bound | Promise<Bound> {
    const bound = this.#chosen(key, override, signal);
    const { overrides } = this;
    if (overrides?.isInUse !== true) return bound;
    const { loading } = overrides;
    const isPromised = loading !== undefined || bound instanceof Promise;
    if (!isPromised) return this.#inForce(bound, key, slot);
    return Promise.all([bound, loading]).then(([known]) => this.#inForce(known, key, slot));
  }

  /** What an override of the key says, over all else. */
  #inForce(bound: Bound, key: string, slot: string | undefined): Bound {
    const id = this.#options.identify(key, slot);
    const known = this.overrides?.find(id);
    if (known === undefined) return bound;
    const { override, untilMs } = known;
    const note = { ...bound.terms?.note, override: id };
    if (typeof override === "string") {
      return boundTogether(allOf(bound), { ...note, answer: override, untilMs });
    }
    // The key may have other policies by now.
    if (!mayReplace(allOf(bound), override)) return bound;
    return boundTogether(allOf(this.#overridden(bound, override)), note);
  }

  /** @throws InvalidOptionError if an override may not name this policy */
  checkOverride(policy: Policy): void {
    const all = this.#fixed === undefined ? undefined : allOf(this.#fixed);
    if (all === undefined || mayReplace(all, policy)) return;
    const allowed = `a policy of this limiter: ${all.map(({ name }) => name).join(", ")}`;
    throw new InvalidOptionError("override.name", policy.name, allowed);
  }

  #chosen(key: string, override: unknown, signal: AbortSignal | undefined): Bound | Promise<Bound> {
    if (this.option === undefined) return this.#brought(override);
    const bound = this.#fixed ?? this.#dynamic(key, signal);
    if (override === undefined) return bound;
    if (!(bound instanceof Promise)) return this.#overridden(bound, override);
    return bound.then((each) => this.#overridden(each, override));
  }

  /** The policies that decide on a key, but for those that have no vote. */
  policies(key: string): readonly Policy[] | Promise<readonly Policy[]> {
    if (this.option === undefined) return [];
    const bound = this.resolve(key);
    return bound instanceof Promise
      ? bound.then((known) => policiesIn(votersOf(known)))
      : policiesIn(votersOf(bound));
  }

  /** The same for a call that cannot wait for what is promised. */
  resolveNow(key: string, override?: unknown, slot?: string): Bound {
    const bound = this.resolve(key, override, undefined, slot);
    if (!(bound instanceof Promise) && !this.#hasPromised) return bound;
    if (bound instanceof Promise) bound.catch(() => {});
    const allowed = "policies, not a promise of them, for consumeSync; consume awaits the promise";
    throw new InvalidOptionError("policy(key)", new InWords(A_PROMISE), allowed);
  }

  /**
   * Whether a start can be promised ahead: every policy can be reserved, and only limiters with the same policies charge
   * these buckets, which a bucket alone does not need.
   */
  canReserve(bound: readonly BoundPolicy[]): boolean {
    if (bound.some(({ rule }) => rule.params.reservations === undefined)) return false;
    if (bound.length === 1) return true;
    if (bound.some(({ rule }) => rule.params.reservations?.alone === true)) return false;
    return bound.every(({ keyspace }) => !isShared(this.#store, keyspace.name));
  }

  /** The resolver cannot be used again. */
  close(): void {
    this.release();
    this.overrides?.close();
  }

  /** Gives up all names in the store. One that is used again is claimed again. */
  forgetNames(): void {
    this.release();
    this.#isReleased = false;
  }

  /** Gives up the names in the store; what is returned takes them again. */
  release(): () => void {
    this.#isReleased = true;
    this.#lists = new WeakMap();
    const claimed = [...this.#claimed];
    for (const [keyspace, fingerprint] of claimed) {
      this.#store.release(keyspace, fingerprint, this.#claimant);
      leaveSet(this.#store, keyspace, this.#set, this);
    }
    this.#claimed.clear();
    return () => {
      this.#isReleased = false;
      for (const [keyspace, fingerprint] of claimed) this.#claim(keyspace, fingerprint);
      for (const { name, rule } of allOf(this.#fixed ?? [])) this.#counts.bound(name, rule);
    };
  }

  /**
   * The same with another policy, for which this one gives up its names. If that fails, this one keeps them.
   *
   * @throws InvalidOptionError
   */
  replacedBy(policy: unknown, by: string | undefined): PolicyResolver {
    if (typeof policy !== "function") rulesOf(policy);
    const takeBack = this.release();
    let next: PolicyResolver;
    try {
      next = new PolicyResolver({ ...this.#options, policy });
    } catch (error) {
      takeBack();
      throw error;
    }
    const [before, after] = [this.fixedPolicies(), next.fixedPolicies()];
    const policies = (after ?? []).map(({ name }) => name);
    this.#events.to.policies?.({ limiter: this.#namespace, policies, before, after, by });
    return next;
  }

  /** Undefined if a function, or each call, has them. */
  fixedPolicies(): readonly Policy[] | undefined {
    return this.#fixed && policiesIn(allOf(this.#fixed));
  }

  #dynamic(key: string, signal: AbortSignal | undefined): Bound | Promise<Bound> {
    const choose = this.option as (key: string) => unknown;
    const bound = this.#cache.get(key, () => {
      const chosen = choose(key);
      if (!isPromiseLike(chosen)) return this.#claimedBy(this.#set, chosen);
      this.#hasPromised = true;
      return Promise.resolve(chosen).then((policies) => this.#claimedBy(this.#set, policies));
    });
    return bound instanceof Promise ? this.#inTime(key, bound, signal) : bound;
  }

  async #inTime(
    key: string,
    promised: Promise<Bound>,
    signal: AbortSignal | undefined,
  ): Promise<Bound> {
    try {
      return await this.#closing.during(signal, (end) =>
        policiesInTime(promised, this.#timeoutMs, end),
      );
    } catch (error) {
      if (error instanceof PolicyUnavailableError && !this.#reported.has(promised)) {
        this.#reported.add(promised);
        this.#events.to.failure?.({ error, key, cost: 0 });
      }
      throw error;
    }
  }

  /** The policies of a call to a limiter that has none. */
  #brought(policies: unknown): Bound {
    const known = this.#lists.get(policies as object);
    if (known !== undefined && this.#events.to.policies === undefined) return known;
    if (policies !== undefined) return this.#claimedBy(EACH_CALL, policies, "policy");
    const allowed = "a policy in this call, because the limiter was made without one";
    throw new InvalidOptionError("policy", policies, allowed);
  }

  /** Policies of a key or a call, under names that the limiter claims when they first come. */
  #claimedBy(set: string, policies: unknown, path = "policy(key)"): Bound {
    const all = rulesOf(policies, path).map((rule) => this.#bind(rule.policy.name, rule));
    const note = notedOf(policies);
    const bound = boundTogether(all, note);
    if (this.#isReleased) return bound;
    for (const { name, keyspace } of all) {
      if (this.#claimed.has(keyspace.name)) continue;
      if (this.#claimed.size === MAX_DYNAMIC_NAMES) {
        throw new InvalidOptionError(
          `${path}.name`,
          // Made out of a key, most likely, and a key is never shown.
          withoutText(name),
          `at most ${MAX_DYNAMIC_NAMES} distinct names a limiter`,
        );
      }
      this.#claim(keyspace.name, set);
    }
    this.#noteChanges(all);
    if (set === EACH_CALL && note !== undefined) this.#lists.set(policies as object, bound);
    return bound;
  }

  /** Lets listeners know of policies that a function returns for the first time, or with other options. */
  #noteChanges(bound: readonly BoundPolicy[]): void {
    const listener = this.#events.to.policies;
    if (listener === undefined) return;
    const asUsed = ({ fingerprint, policy }: Rule): string =>
      policy.enforce === false ? `${fingerprint} on trial` : fingerprint;
    const changed = bound.filter(({ name, rule }) => this.#inUse.get(name) !== asUsed(rule));
    for (const { name, rule } of changed) this.#inUse.set(name, asUsed(rule));
    const policies = changed.map(({ name }) => name);
    if (policies.length > 0) listener({ limiter: this.#namespace, policies });
  }

  /** One policy overrides the only one, whatever its name; several are matched by name. */
  #overridden(given: BoundPolicies, override: unknown): BoundPolicies {
    const bound = allOf(given);
    const note = given.terms?.note;
    const only = bound[0] as BoundPolicy;
    if (bound.length === 1 && !Array.isArray(override)) {
      return boundTogether([this.#bind(only.name, ruleOf(override), true)], note);
    }
    const rules = Array.isArray(override) ? rulesOf(override) : [ruleOf(override)];
    const names = bound.map(({ name }) => name);
    const allowed = `a policy of this limiter: ${names.join(", ")}`;
    for (const { policy } of rules) {
      if (names.includes(policy.name)) continue;
      throw new InvalidOptionError("policy.name", policy.name, allowed);
    }
    const all = bound.map((boundPolicy) => {
      const rule = rules.find(({ policy }) => policy.name === boundPolicy.name);
      return rule === undefined ? boundPolicy : this.#bind(boundPolicy.name, rule, true);
    });
    return boundTogether(all, note);
  }

  /** The options of one call are not those in force. */
  #bind(name: string, rule: Rule, isOverride = false): BoundPolicy {
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
        keyspace: this.#store.open(`${this.#namespace}:${nameInKeys(name, rule)}`, rule.kernel),
        counts: isOverride ? this.#counts.of(name) : this.#counts.bound(name, rule),
      };
      byName.set(name, boundPolicy);
    }
    return boundPolicy;
  }

  #claim(keyspace: string, fingerprint: string): void {
    this.#store.claim(keyspace, fingerprint, this.#claimant);
    joinSet(this.#store, keyspace, this.#set, this);
    this.#claimed.set(keyspace, fingerprint);
  }
}

/** A document of policies at work: it decides on requests, and changes while it runs. */
import { Closing } from "../core/closing.js";
import { InvalidOptionError } from "../core/errors.js";
import { InWords, withoutText } from "../core/shown.js";
import { Events } from "../events/events.js";
import type { Refund } from "../limiter/give-back.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { LimiterStats } from "../limiter/stats.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { Store } from "../stores/store.js";
import {
  consumeEachByRules,
  consumeRules,
  consumeTogetherByRules,
  giveBackByRules,
  peekRules,
  refundRules,
  settleRules,
} from "./ask-rules.js";
import { CHANGE_NOTE, type ChangeNote } from "./change-note.js";
import { type CompiledPolicies, compilePolicies } from "./compile.js";
import { diffPolicies } from "./document-diff.js";
import type { PoliciesDocument, PoliciesMode } from "./document.js";
import { type RulesExplanation, explainedBy } from "./explain-request.js";
import { type LoadedPolicies, loadedOf } from "./load.js";
import { noteSet } from "./met-rules.js";
import { parsePolicies } from "./parse.js";
import { NO_RELOADS, type PolicySetStatus } from "./policy-set-status.js";
import type { PolicySource } from "./policy-source.js";
import {
  checkSwitch,
  isPolicySource,
  type ModeSwitch,
  POLICY_SET_OPTIONS,
  type PolicySetOptions,
  switchOfEnvironment,
} from "./policy-set-options.js";
import { chargeOf, type RuleCharge, RulePolicies } from "./rule-charge.js";
import { RuleLimiters } from "./rule-limiters.js";
import {
  checkTakenBy,
  type RequestListener,
  type RulesDecision,
  type RulesDecisions,
  type TakenByRules,
} from "./rules-decision.js";
import {
  checkMany,
  checkRequest,
  checkSettlement,
  ownPolicy,
  type RulesManyOptions,
  type RulesRequest,
  type RulesRequestOfMany,
  type RulesSettlement,
} from "./rules-request.js";
import { followerOf } from "./follow-source.js";
import type { SourceFollower } from "./source-follower.js";
import { StoreTime } from "./store-time.js";

/** In force until the first document is. */
const NOTHING = compilePolicies(Object.freeze({ rules: Object.freeze([]) }));

/**
 * A document of policies at work. `new PolicySet({ source: document })` decides by a document of the program's own;
 * `await PolicySet.open({ source })` follows a file or a published document. See docs/policies-live.md.
 *
 * @throws InvalidOptionError
 * @example
 * import { PolicySet } from "sluice/policies";
 * const rules = new PolicySet({
 *   source: {
 *     rules: [
 *       { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 100, period: "1m" } },
 *       { name: "login", match: { path: "/login" }, key: ["address"], policy: { algorithm: "gcra", limit: 5, period: "15m" } },
 *     ],
 *   },
 * });
 * const request = { entries: { user: "ann", path: "/login", address: "192.0.2.7" } };
 * console.log((await rules.consume(request)).allowed); // true
 * const { allowed, rule } = await rules.consume(request);
 * console.log(allowed, rule); // false login
 * await rules.close();
 */
export class PolicySet implements AsyncDisposable {
  /** Whether `open` makes one. */
  static #isOpening = false;

  /** The store that was passed in, or the set's own. */
  readonly store: Store;
  /** What it follows: a file or a published document; undefined if the program holds the document itself. */
  readonly source: PolicySource | undefined;
  /** What happens in the set and in the limiters behind it. */
  readonly events = new Events();
  readonly #name: string;
  readonly #ownsStore: boolean;
  readonly #isPlain: boolean;
  readonly #limiters: RuleLimiters;
  readonly #time: StoreTime;
  readonly #closing: Closing;
  readonly #follower: SourceFollower | undefined;
  /** Listeners for each request: logs of attempts. */
  readonly #listeners = new Set<RequestListener>();
  readonly #hear: RequestListener = (heard) => {
    for (const listener of this.#listeners) listener(heard);
  };
  #compiled: CompiledPolicies = NOTHING;
  #lists: RulePolicies;
  #limiter: RateLimiter;
  #switch: ModeSwitch | undefined;

  /** @throws InvalidOptionError */
  constructor(options: PolicySetOptions) {
    const checked = POLICY_SET_OPTIONS.read(options);
    const { source, every, patience, cacheFile: cache, mode, ...given } = checked;
    const { store = new MemoryStore(), namespace } = given;
    this.store = store;
    this.source = isPolicySource(source) ? source : undefined;
    this.#ownsStore = options.store === undefined;
    this.#name = namespace;
    this.#switch = mode ?? switchOfEnvironment();
    this.#time = new StoreTime(store.clock);
    const spans = { everyMs: every, patienceMs: patience };
    if (isPolicySource(source)) {
      if (!PolicySet.#isOpening) {
        const allowed = "a document; to follow a source, use await PolicySet.open({ source })";
        throw new InvalidOptionError("source", withoutText(source), allowed);
      }
      this.#follower = followerOf(source, { ...spans, cachePath: cache }, this.store, {
        name: namespace,
        time: this.#time,
        apply: (loaded) => {
          this.#apply(loaded);
        },
        reported: (reload) => {
          this.events.to.reload?.({ set: namespace, ...reload });
        },
      });
    } else if (cache !== undefined) {
      const allowed = "no cacheFile, unless the set follows a source";
      throw new InvalidOptionError("cacheFile", withoutText(cache), allowed);
    }
    this.#closing = new Closing("policy set", this.store.closed);
    this.#limiters = new RuleLimiters({ ...given, store }, this.events);
    this.#limiter = this.#limiters.of("local");
    const { identity } = given;
    this.#isPlain = identity === "plain" || (identity === undefined && !this.store.external);
    this.#lists = new RulePolicies(NOTHING, this.#isPlain);
    noteSet(this, { meet: (request) => this.#met(request), listeners: this.#listeners });
    if (!isPolicySource(source)) this.replace(source);
  }

  /**
   * A set that follows a file or a published document. It resolves with the first document in force.
   *
   * @throws InvalidPoliciesError, and what keeps the source from being read; not if `cacheFile` has a good copy
   * @example
   * import { MemoryStore } from "sluice";
   * import { PolicySet, PublishedPolicies } from "sluice/policies";
   * const store = new MemoryStore();
   * const source = new PublishedPolicies({ store });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * await source.publish({ rules: [{ name: "api", key: ["user"], policy }] }, { expected: 0 });
   * const rules = await PolicySet.open({ source, store });
   * console.log(rules.version); // 1
   * await rules.close();
   */
  static async open(options: PolicySetOptions): Promise<PolicySet> {
    PolicySet.#isOpening = true;
    let set: PolicySet;
    try {
      set = new PolicySet(options);
    } finally {
      PolicySet.#isOpening = false;
    }
    try {
      await set.#follower?.start();
      return set;
    } catch (error) {
      await set.close();
      throw error;
    }
  }

  /** The document in force. */
  get document(): PoliciesDocument {
    return this.#compiled.document;
  }

  /** Of the document in force: its own, or a hash of it. */
  get version(): number | string {
    return this.#compiled.version;
  }

  /** The limiters behind the set, for logs and reports: one for each `onStoreFailure` that a document has had. */
  get limiters(): readonly RateLimiter[] {
    return this.#limiters.all;
  }

  /**
   * Takes what the rules that the request meets charge, if each of them has it left; else nothing. Rules in shadow
   * mode, and candidates, are charged separately and have no vote.
   *
   * @throws InvalidOptionError, ClosedError; the signal's reason; StoreUnavailableError, StoreTimeoutError for rules whose
   * `onStoreFailure` is "throw"
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * console.log((await rules.consume(request)).remaining); // 1
   * console.log((await rules.consume(request)).rule); // user
   * await rules.close();
   */
  consume(request: RulesRequest): Promise<RulesDecision> {
    // Not an async method around the promise of the limiter: that would cost more than the rest of it.
    try {
      return Promise.resolve(consumeRules(this.#met(request), request.signal));
    } catch (error) {
      const reason = error as Error;
      return Promise.reject(reason);
    }
  }

  /**
   * Consumes for several requests: each for itself, in one tick; or, with `atomic`, for all of them or for none. Then
   * what they charge to one rule and key adds up, and rules in shadow mode and candidates are charged in any case.
   * @throws as `consume`; InvalidOptionError for more than 1,000 charges with `atomic`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * const together = await rules.consumeMany([request, request], { atomic: true });
   * console.log(together.allowed, (await rules.peek(request)).remaining); // false 3
   * const each = await rules.consumeMany([request, request]);
   * console.log(each.decisions.map(({ allowed }) => allowed)); // [ true, false ]
   * await rules.close();
   */
  async consumeMany(
    requests: readonly RulesRequestOfMany[],
    options: RulesManyOptions = {},
  ): Promise<RulesDecisions> {
    const { atomic, signal } = checkMany(requests, options);
    const takens = requests.map((request) => this.#met(request));
    return atomic ? consumeTogetherByRules(takens, signal) : consumeEachByRules(takens, signal);
  }

  /**
   * What `consume` would say, without counting; always asks the store.
   *
   * @throws as `consume`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * console.log((await rules.peek(request)).remaining, (await rules.peek(request)).remaining); // 3 3
   * await rules.close();
   */
  async peek(request: RulesRequest): Promise<RulesDecision> {
    return peekRules(this.#met(request), request.signal);
  }

  /**
   * Gives back all that a decision took, as its own object says; candidates and shadows too.
   * @returns one answer for each of its rules, in order
   * @throws InvalidOptionError for anything but a decision that a set's `consume` answered; else as `consume`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * const decision = await rules.consume(request);
   * console.log((await rules.refund(decision)).map(({ refunded }) => refunded)); // [ 2 ]
   * await rules.close();
   */
  async refund(decision: RulesDecision): Promise<readonly Refund[]> {
    this.#closing.throwIfClosed();
    const taken = checkTakenBy(decision);
    return taken === undefined ? [] : refundRules(taken);
  }

  /**
   * Gives back what `consume` takes for such a request, if no decision is at hand, because another process made it for
   * instance; of candidates and shadows too. A key never has more than its limit afterwards.
   * @returns one answer for each rule that the request meets, in order
   * @throws as `consume`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * await rules.consume(request);
   * console.log((await rules.giveBack(request)).map(({ remaining }) => remaining)); // [ 3 ]
   * await rules.close();
   */
  async giveBack(request: RulesRequest): Promise<readonly Refund[]> {
    return giveBackByRules(this.#met(request), request.signal);
  }

  /**
   * Settles what a decision took against what the request cost after all: each rule refunds the rest, or takes what is
   * missing. Rules with their own cost stay as they are.
   * @returns one answer for each of its rules, in order
   * @throws as `consume`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * const decision = await rules.consume(request);
   * const settled = await rules.settle(decision, { cost: 1 });
   * console.log(settled.map(({ refunded }) => refunded)); // [ 1 ]
   * await rules.close();
   */
  async settle(decision: RulesDecision, settlement: RulesSettlement): Promise<readonly Refund[]> {
    this.#closing.throwIfClosed();
    const taken = checkTakenBy(decision);
    const { cost, entries } = checkSettlement(settlement);
    if (taken === undefined) return [];
    const { compiled, nowUs, request } = taken;
    const after = {
      ...request,
      ...(cost !== undefined && { cost }),
      entries: { ...request.entries, ...entries },
    };
    const met = new Map(compiled.match(after, nowUs).map((each) => [each.rule, each.cost]));
    const costs = taken.charges.map((charge) => met.get(charge.matched.rule) ?? charge.cost);
    return settleRules(taken, costs, { cost, entries });
  }

  /**
   * Of each rule: whether the request meets it, by which override, and what it would answer now. Counts nothing.
   *
   * @throws as `consume`
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * const { rules: explained } = await rules.explain(request);
   * console.log(explained.map(({ rule }) => rule)); // [ 'user' ]
   * await rules.close();
   */
  async explain(request: RulesRequest): Promise<RulesExplanation> {
    const taken = this.#met(request);
    const told = this.#compiled.explain(request, taken.nowUs, this.#switch);
    const mode = this.#modeNow();
    return explainedBy(told, await peekRules(taken, request.signal), mode);
  }

  /**
   * Puts another document in force, in a set that was made of one: at once, and for this process alone.
   * @throws InvalidPoliciesError; the one in force stays
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * rules.replace({ rules: [{ name: "user", key: ["user"], policy: { ...policy, limit: 10 } }] }, { by: "ana" });
   * console.log((await rules.consume(request)).limit); // 10
   * await rules.close();
   */
  replace(document: PoliciesDocument, note: ChangeNote = {}): void {
    this.#closing.throwIfClosed();
    if (this.#follower !== undefined) {
      const allowed = "a set made from a document; this one follows a source";
      throw new InvalidOptionError("document", new InWords("another document"), allowed);
    }
    const { by, comment } = CHANGE_NOTE.read(note, "note");
    const parsed = parsePolicies(document).document;
    this.#apply(loadedOf(parsed, { mark: "", version: undefined, by, comment }));
  }

  /**
   * The switch of this process over all rules, which needs no store: "shadow" lets everything pass and counts on, "off"
   * makes no calls, undefined leaves it to the document.
   *
   * @throws InvalidOptionError
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * await rules.consume(request);
   * rules.setMode("shadow", { by: "ana", comment: "too many are denied" });
   * console.log((await rules.consume(request)).allowed); // true
   * await rules.close();
   */
  setMode(mode: ModeSwitch | undefined, note: ChangeNote = {}): void {
    const said = CHANGE_NOTE.read(note, "note");
    const before = this.#modeNow();
    this.#switch = mode === undefined ? undefined : checkSwitch("mode", mode);
    const after = this.#modeNow();
    this.#changed([{ part: "setting", name: "mode", before, after }], this.version, said);
  }

  /**
   * Looks at the source now; resolves when what was found is in force, or reported. Never rejects.
   *
   * @throws nothing
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * await rules.reload();
   * console.log(rules.status().mode); // enforce
   * await rules.close();
   */
  async reload(): Promise<void> {
    await this.#follower?.look();
  }

  /**
   * Which document is in force, in which mode, and whether it may be out of date.
   *
   * @throws nothing
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * console.log(rules.status().mode); // enforce
   * await rules.close();
   */
  status(): PolicySetStatus {
    const { stale, staleMs = 0, scheduled = [], reloads = NO_RELOADS } = this.#follower ?? {};
    return {
      version: this.version,
      mode: this.#modeNow(),
      stale: stale?.message,
      staleMs,
      scheduled: scheduled.map(({ compiled: { version, activeFromUs } }) => {
        return { version, atUs: activeFromUs };
      }),
      reloads: { ...reloads },
    };
  }

  /**
   * What this process has decided by the set's rules, in numbers: the policies are the rules by name, see docs/watch.md.
   *
   * @throws nothing, also when it is closed
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * const request = { entries: { user: "ann" }, cost: 2 };
   * await rules.consume(request);
   * console.log(rules.stats().allowed); // 1
   * await rules.close();
   */
  stats(): LimiterStats {
    return this.#limiters.stats(this.#compiled.overridesAt(this.#time.nowUs()));
  }

  /**
   * Ends what follows the source, and the limiters; later calls reject. The store is ended if it is the set's own.
   *
   * @throws nothing for a second call: it gets the promise of the first
   * @example
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
   * const rules = new PolicySet({ source: { rules: [{ name: "user", key: ["user"], policy }] } });
   * await rules.close();
   * console.log(rules.stats().allowed); // 0
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {
      this.#follower?.close();
      await this.#limiters.close();
      if (this.#ownsStore) await this.store.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The rules that a request meets now, ready to be asked. */
  #met(request: RulesRequest): TakenByRules {
    this.#closing.throwIfClosed();
    checkRequest(request);
    const follower = this.#follower;
    if (follower !== undefined && follower.scheduled.length > 0) follower.applyDue();
    const compiled = this.#compiled;
    const nowUs = this.#time.nowUs();
    const own = request.policy && ownPolicy(request.policy);
    const charges: RuleCharge[] = [];
    for (const matched of compiled.match(request, nowUs, this.#switch)) {
      charges.push(chargeOf(matched, this.#limiter, this.#lists, own));
    }
    const heard = this.#listeners.size > 0 ? this.#hear : undefined;
    return { request, slot: request.slot, compiled, nowUs, charges, state: "charged", heard };
  }

  #apply({ compiled, by, comment }: LoadedPolicies): void {
    const before = this.#compiled;
    const { document } = compiled;
    const changes = diffPolicies(before.document, document);
    // What may throw is done: the set is at one document or at the other.
    const lists = new RulePolicies(compiled, this.#isPlain);
    const limiter = this.#limiters.of(document.defaults?.onStoreFailure ?? "local");
    this.#compiled = compiled;
    this.#lists = lists;
    this.#limiter = limiter;
    this.#limiters.forgetNames();
    this.#changed(changes, before === NOTHING ? undefined : before.version, { by, comment });
  }

  #changed(
    changes: ReturnType<typeof diffPolicies>,
    before: number | string | undefined,
    { by, comment }: ChangeNote,
  ): void {
    const atUs = this.#time.nowUs();
    const after = this.version;
    this.events.to.rules?.({ set: this.#name, before, after, atUs, by, comment, changes });
  }

  #modeNow(): PoliciesMode {
    const { mode = "enforce" } = this.#compiled.document;
    if (mode === "off" || this.#switch === "off") return "off";
    return this.#switch ?? mode;
  }
}

/** One rule, made ready to be matched. */
import { MAX_UNITS, UNIT } from "../core/amount.js";
import { digests } from "../core/digest.js";
import { InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import type {
  EntryTexts,
  PoliciesDocument,
  PoliciesMode,
  PolicyChange,
  PolicyOverride,
  PolicyRule,
} from "./document.js";
import type { MatchedOverride, MatchedRule, PolicyRequest, UnmetEntry } from "./matched-rule.js";
import { putOver } from "./merge.js";
import { type IndexedOverride, OverrideIndex } from "./override-index.js";
import { conditionOf, EntryMatcher, listOf } from "./pattern.js";
import { isPrefix } from "./override-key.js";
import { rolloutPlace } from "./rollout.js";
import { entryOf, identityOf, KeyWriter } from "./rule-key.js";

/** What is decided by: the rule's policy and its candidate, for one plan and override. */
interface Limits {
  readonly policy: Policy;
  readonly candidate: Policy | undefined;
}

interface CompiledOverride extends IndexedOverride {
  readonly shown: MatchedOverride;
  readonly change: PolicyChange | undefined;
  /** By plan; those without one under undefined. */
  readonly limits: Map<string | undefined, Limits>;
}

const UNKNOWN = { allowed: undefined, refused: undefined, isAbsent: false };

const CANDIDATE_SUFFIX = ".candidate";

/** If both are set, the weaker wins. */
export function weaker(a: PoliciesMode, b: PoliciesMode): PoliciesMode {
  if (a === "off" || b === "off") return "off";
  return a === "shadow" || b === "shadow" ? "shadow" : "enforce";
}

function compileOverride(override: PolicyOverride, index: number): CompiledOverride {
  const { rule, key, mode, policy, until } = override;
  return {
    text: isPrefix(key) ? key.slice(0, -1) : key,
    isPrefix: isPrefix(key),
    untilUs: until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until) * 1e3,
    shown: Object.freeze({
      id: digests.sha256(`${rule}\n${key}`).slice(0, 12),
      index,
      kind: mode ?? "policy",
    }),
    change: policy,
    limits: new Map(),
  };
}

/** The overrides of a document by their rule. */
export function overridesByRule(
  overrides: readonly PolicyOverride[],
): ReadonlyMap<string, readonly CompiledOverride[]> {
  const byRule = new Map<string, CompiledOverride[]>();
  overrides.forEach((override, index) => {
    const compiled = compileOverride(override, index);
    const others = byRule.get(override.rule);
    if (others === undefined) byRule.set(override.rule, [compiled]);
    else others.push(compiled);
  });
  return byRule;
}

export class CompiledRule {
  readonly rule: PolicyRule;
  /** What decides which requests the rule is for, entry by entry. */
  readonly matchers: readonly (readonly [entry: string, matcher: EntryMatcher])[];
  readonly #key: KeyWriter;
  readonly #overrides: OverrideIndex<CompiledOverride> | undefined;
  readonly #plans: ReadonlyMap<string, PolicyChange>;
  /** Without an override, by plan. */
  readonly #limits = new Map<string | undefined, Limits>();
  readonly #percent: number;
  /** The entries that a request may have; undefined if it may have others. */
  readonly #only: ReadonlySet<string> | undefined;

  constructor(
    rule: PolicyRule,
    { plans = {} }: PoliciesDocument,
    overrides: readonly CompiledOverride[] | undefined,
  ) {
    this.rule = rule;
    const { match = {}, key = [] } = rule;
    this.matchers = Object.entries(match).map(([entry, condition]) => [
      entry,
      new EntryMatcher(condition),
    ]);
    this.#only = rule.exact === true ? new Set([...Object.keys(match), ...key]) : undefined;
    this.#key = new KeyWriter(key);
    this.#overrides = overrides === undefined ? undefined : new OverrideIndex(overrides);
    this.#plans = new Map(
      Object.entries(plans).flatMap(([plan, changes]) => {
        const change = Object.hasOwn(changes, rule.name) ? changes[rule.name] : undefined;
        return change === undefined ? [] : [[plan, change] as const];
      }),
    );
    this.#percent = rule.rollout?.percent ?? 100;
    this.#limitsOf(undefined, undefined);
  }

  /** Whether the rule is for such a request, as far as `match` goes. */
  isFor(request: PolicyRequest): boolean {
    for (const [entry, matcher] of this.matchers) {
      const value = entryOf(request.entries, entry);
      if (value === undefined || !matcher.matches(value)) return false;
    }
    return this.#only === undefined || this.#others(request, this.#only).length === 0;
  }

  /** What the request meets here; undefined if the rule does not apply. `isFor` holds. */
  meet(request: PolicyRequest, nowUs: number, over: PoliciesMode): MatchedRule | undefined {
    const { rule } = this;
    const mode = weaker(over, rule.mode ?? "enforce");
    if (mode === "off") return undefined;
    const key = this.#key.text(request.entries);
    if (key === undefined && rule.onMissing !== "deny") return undefined;
    const identity = key === undefined ? undefined : identityOf(key);
    // By the whole key: who lengthens it until it is a digest must not leave an override behind.
    const override = key === undefined ? undefined : this.#overrides?.find(key, nowUs);
    const kind = identity === undefined ? "deny" : (override?.shown.kind ?? "policy");
    const { policy, candidate } = this.#limitsOf(request.plan, override);
    return {
      rule: rule.name,
      identity,
      verdict: kind === "policy" ? "decide" : kind,
      mode: mode === "enforce" && this.#isReached(identity) ? "enforce" : "shadow",
      cost: this.#costOf(request),
      policy,
      candidate,
      override: override?.shown,
      allowOverride: rule.allowOverride === true,
    };
  }

  /**
   * The same for a request that asks for this rule, whatever `match` says.
   *
   * @throws InvalidOptionError if an entry of the key is absent, and the rule does not deny that
   */
  meetByName(request: PolicyRequest, nowUs: number, over: PoliciesMode): readonly MatchedRule[] {
    const matched = this.meet(request, nowUs, over);
    if (matched !== undefined) return [matched];
    if (weaker(over, this.rule.mode ?? "enforce") === "off") return [];
    const names = (this.rule.key ?? []).map((name) => JSON.stringify(name)).join(", ");
    const allowed = `the entries of the key of rule ${this.rule.name}: ${names}`;
    throw new InvalidOptionError("entries", new InWords("entries without them"), allowed);
  }

  /** The position of a request's key in the rollout; undefined without a key. */
  placeOf(request: PolicyRequest): number | undefined {
    const identity = this.#key.write(request.entries);
    return identity === undefined ? undefined : rolloutPlace(this.rule.name, identity);
  }

  /** What keeps the rule from applying. */
  unmet({ entries }: PolicyRequest): readonly UnmetEntry[] {
    const { match = {}, key = [], onMissing } = this.rule;
    const unmet: UnmetEntry[] = [];
    for (const [entry, matcher] of this.matchers) {
      const value = entryOf(entries, entry);
      if (value !== undefined && matcher.matches(value)) continue;
      const { is, not } = conditionOf(match[entry] as EntryTexts);
      const allowed = is === undefined ? undefined : listOf(is);
      const refused = not === undefined ? undefined : listOf(not);
      unmet.push({ entry, allowed, refused, isAbsent: value === undefined });
    }
    const others = this.#only === undefined ? [] : this.#others({ entries }, this.#only);
    unmet.push(...others.map((entry) => ({ ...UNKNOWN, entry, allowed: [] })));
    if (onMissing === "deny") return unmet;
    const absent = key.filter((entry) => entryOf(entries, entry) === undefined);
    return [...unmet, ...absent.map((entry) => ({ ...UNKNOWN, entry, isAbsent: true }))];
  }

  #others({ entries }: PolicyRequest, only: ReadonlySet<string>): readonly string[] {
    return Object.keys(entries).filter((entry) => !only.has(entry));
  }

  #isReached(identity: string | undefined): boolean {
    const percent = this.#percent;
    if (percent >= 100 || identity === undefined) return percent > 0;
    return rolloutPlace(this.rule.name, identity) < percent;
  }

  #costOf(request: PolicyRequest): number {
    const { cost = request.cost ?? 1 } = this.rule;
    if (typeof cost === "number") return cost;
    return unitsOf(entryOf(request.entries, cost.from)) ?? cost.default ?? 1;
  }

  #limitsOf(plan: string | undefined, override: CompiledOverride | undefined): Limits {
    const planChange = plan === undefined ? undefined : this.#plans.get(plan);
    const known = override?.change === undefined ? this.#limits : override.limits;
    const place = planChange === undefined ? undefined : plan;
    let limits = known.get(place);
    if (limits === undefined) {
      limits = this.#merged(planChange, override?.change);
      known.set(place, limits);
    }
    return limits;
  }

  #merged(plan: PolicyChange | undefined, override: PolicyChange | undefined): Limits {
    const { name, policy, candidate } = this.rule;
    const parse = (base: PolicyRule["policy"], named: string) =>
      parsePolicy({ ...putOver(base, plan, override), name: named });
    return {
      policy: parse(policy, name),
      candidate: candidate && parse(candidate.policy, name + CANDIDATE_SUFFIX),
    };
  }
}

/** As people write a number; and as JavaScript prints one, however small or large. */
const NUMBER = /^\d+(?:\.\d+)?(?:e[+-]\d+)?$/;

/** Units out of an entry, rounded up to a thousandth and at most what any limit can be; undefined if it is no number. */
function unitsOf(text: string | undefined): number | undefined {
  if (text === undefined || !NUMBER.test(text)) return undefined;
  // Not -0 for 0.
  return Math.min(Math.max(Math.ceil(Number(text) * UNIT - 1e-6), 0) / UNIT, MAX_UNITS);
}

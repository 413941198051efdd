/** The policies of a call by their roles: those that decide it, those on trial beside them, and what decisions name. */
import type { Rule } from "../algorithms/rule.js";
import type { Keyspace } from "../stores/store.js";
import type { PolicyCounts } from "./counts.js";

/** A policy as a limiter uses it: the name that decisions show, the rule, and the prefix of its keys. */
export interface BoundPolicy {
  readonly name: string;
  readonly rule: Rule;
  readonly keyspace: Keyspace;
  /** Those of its name. */
  readonly counts: PolicyCounts;
}

/** The policies that decide a call, in order. */
export interface BoundPolicies extends ReadonlyArray<BoundPolicy> {
  /** Undefined if every policy has a vote and there is nothing else to say, so that such calls do not pay for it. */
  readonly terms?: PolicyTerms;
}

/** What else there is to a set of policies. */
export interface PolicyTerms {
  /** Every policy, in the order in which it was given. */
  readonly all: readonly BoundPolicy[];
  /** Each is asked and charged in a separate call, and has no vote. */
  readonly shadows: readonly BoundPolicy[];
  /** false if no policy has one: then the first of them decides, as in a limiter with `enforce: false`. */
  readonly hasVote: boolean;
  readonly note: PolicyNote;
}

/** What decisions say about the origin of their policies. */
export interface DecisionLabel {
  /** The rule that the policies belong to. */
  readonly rule?: string;
  /** The version of the document that holds the rule. */
  readonly version?: string | number;
  /** The override that replaced the rule's own policy. */
  readonly override?: string;
}

export interface PolicyNote extends DecisionLabel {
  /** "deny": everything is denied; "exempt": everything passes. Either is answered without the store, and charges nothing. */
  readonly answer?: "deny" | "exempt" | undefined;
  /** When that ends, in ms since the epoch; undefined = never. */
  readonly untilMs?: number | undefined;
}

const NOBODY: BoundPolicies = Object.freeze([]);
const NO_NOTE: PolicyNote = Object.freeze({});
const notes = new WeakMap<object, PolicyNote>();

/**
 * The same policies, with a note that decisions show: for policy functions that choose by rules. The list is frozen; return
 * the same one for the same rule. A single policy gets a list too.
 */
export function noted<P extends object>(policies: readonly P[], note: PolicyNote): readonly P[] {
  const list = Object.freeze([...policies]);
  notes.set(list, Object.freeze({ ...note }));
  return list;
}

/** What was noted of a list of policies. */
export function notedOf(policies: unknown): PolicyNote | undefined {
  return typeof policies === "object" && policies !== null ? notes.get(policies) : undefined;
}

/** Sets apart those that have no vote. */
export function boundTogether(all: readonly BoundPolicy[], note?: PolicyNote): BoundPolicies {
  const hasShadows = all.some(isShadow);
  if (!hasShadows && note === undefined) return all;
  const voters = all.filter((each) => !isShadow(each));
  const hasVote = voters.length > 0;
  const terms: PolicyTerms = {
    all,
    shadows: hasVote ? all.filter(isShadow) : all.slice(1),
    hasVote,
    note: note ?? NO_NOTE,
  };
  return Object.assign(hasVote ? voters : all.slice(0, 1), { terms });
}

function isShadow({ rule }: BoundPolicy): boolean {
  return rule.policy.enforce === false;
}

/** Every policy, in the order in which it was given. */
export function allOf(bound: BoundPolicies): readonly BoundPolicy[] {
  return bound.terms?.all ?? bound;
}

/** The policies that have a vote: those that fields and pages may state. */
export function votersOf(bound: BoundPolicies): BoundPolicies {
  return bound.terms?.hasVote === false ? NOBODY : bound;
}

/** Whether no shortcut may answer: a policy on trial is asked about every call. */
export function isOnTrial({ terms }: BoundPolicies): boolean {
  return terms !== undefined && (!terms.hasVote || terms.shadows.length > 0);
}

/**
 * Whether both lists decide alike and on the same state. Compares fingerprints, since a policy function may make its
 * policies again for each call.
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

/** The only policy is replaced whatever its name; of several the one of that name. */
export function mayReplace(
  all: readonly BoundPolicy[],
  { name }: Pick<BoundPolicy, "name">,
): boolean {
  return all.length === 1 || all.some((each) => each.name === name);
}

/** A policy made ready to decide with, once per policy value. */
import { UNIT } from "../core/amount.js";
import { InvalidOptionError } from "../core/errors.js";
import { type Compiled, UNLIMITED } from "./kernel.js";
import { algorithmIds, compilePolicy, parsePolicy, type Policy } from "./registry.js";

/** A policy, checked and ready to decide with. */
export interface Rule extends Compiled {
  /** The policy that it is made of. */
  readonly policy: Policy;
  /** Whether its windows follow the wall clock, so that its state must too. */
  readonly byWallClock: boolean;
  /** Units a fresh key could take at once; Infinity if there is no limit. */
  readonly limit: number;
  /** Equal for policies that decide alike, whether or not they have a vote. */
  readonly fingerprint: string;
}

/**
 * The most policies and identities that decide together: a script reads all their states at once, of which Lua takes some
 * 8,000, and the server serves no other client until it has decided.
 */
export const MAX_DEBITS = 1000;

const rules = new WeakMap<object, Rule>();

/** The rule of a policy value; `path` names it in errors. */
export function ruleOf(value: unknown, path = "policy"): Rule {
  const known = typeof value === "object" && value !== null ? rules.get(value) : undefined;
  if (known !== undefined) return known;
  const policy = parsePolicy(value, path);
  const compiled = compilePolicy(policy);
  const { capacity } = compiled.params;
  const rule: Rule = {
    ...compiled,
    policy,
    byWallClock: compiled.byWallClock === true,
    limit: capacity === UNLIMITED ? Number.POSITIVE_INFINITY : capacity / UNIT,
    fingerprint: JSON.stringify(
      policy.enforce === false ? { ...policy, enforce: undefined } : policy,
    ),
  };
  // A value that may still change is checked again next time.
  if (Object.isFrozen(value)) rules.set(value as object, rule);
  return rule;
}

/** One rule, or several with distinct names. */
export function rulesOf(value: unknown, path = "policy"): readonly Rule[] {
  if (!Array.isArray(value)) return [ruleOf(value, path)];
  if (value.length === 0) throw new InvalidOptionError(path, value, "at least one policy");
  if (value.length > MAX_DEBITS) {
    throw new InvalidOptionError(path, value.length, `at most ${MAX_DEBITS} policies`);
  }
  const list = value.map((policy, i) => ruleOf(policy, `${path}[${i}]`));
  if (list.length === 1) return list;
  const names = new Set<string>();
  list.forEach(({ policy: { name } }, i) => {
    if (algorithmIds.includes(name) || names.has(name)) {
      const why = "a name that no other policy of the limiter has, and not an algorithm's name";
      throw new InvalidOptionError(`${path}[${i}].name`, name, why);
    }
    names.add(name);
  });
  return list;
}

/** The error for a call that met LOG_FULL on one of these debits; its kernel words it. */
export function logFullError(debits: readonly { readonly rule: Rule }[]): Error {
  const full = debits.find(({ rule }) => rule.kernel.fullError !== undefined);
  return full?.rule.kernel.fullError?.() ?? new Error("a log is full, but no policy keeps one");
}

/** What names a policy in keys. Another kernel is another key: a name that is not the algorithm's own carries its tag. */
export function nameInKeys(name: string, { policy, kernel }: Rule): string {
  return name === policy.algorithm ? name : `${name}~${kernel.tag}`;
}

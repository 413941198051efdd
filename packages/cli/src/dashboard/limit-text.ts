/** Limits in words, short: "100 per 1 min, burst 200". */
import { parsePolicy, type Policy } from "sluice";
import { describeAlgorithms, describePolicy } from "sluice/describe";
import type { PolicyWithoutName } from "sluice/policies";
import type { OverrideField } from "./wire.js";

const texts = new WeakMap<object, string>();

/** Of a policy in a document, which has no name; said once for each. */
export function limitText(policy: PolicyWithoutName): string {
  const known = texts.get(policy);
  if (known !== undefined) return known;
  const text = policyText(parsePolicy({ ...policy, name: "rule" }));
  texts.set(policy, text);
  return text;
}

/** What an override may change of a policy: its options that are numbers or times, and what they are without it. */
export function fieldsOf(policy: PolicyWithoutName): readonly OverrideField[] {
  const { fields = [] } = ALGORITHMS.get(policy.algorithm) ?? {};
  const written = { ...policy } as Readonly<Record<string, string | number | undefined>>;
  return fields
    .filter(({ kind }) => kind !== "text")
    .map(({ field: name, kind, otherwise }) => {
      const value = written[name];
      const unit = kind === "duration" && typeof value === "number" ? " ms" : "";
      const own = value === undefined ? undefined : `${value}${unit}`;
      return { name, own, otherwise };
    });
}

const ALGORITHMS = new Map(describeAlgorithms().map((each) => [each.id, each]));

/** Of a policy with its name. */
export function policyText(policy: Policy): string {
  const text = describePolicy(policy);
  return text.slice(text.indexOf(": ") + 2);
}

/** Of an override, which has no more than what it changes: "limit 100, burst 200". */
export function changeText(change: object): string {
  return Object.entries(change)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

/** Of what a report says: no more than a number and a time. */
export function reportedText(limit: number | undefined, windowMs: number | undefined): string {
  if (limit === undefined) return "several limits";
  return windowMs === undefined ? String(limit) : `${limit} in ${windowMs / 1000} s`;
}

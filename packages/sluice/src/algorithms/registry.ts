/** Finds the algorithm of a policy. */
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import type { Algorithm, PolicyBase } from "./algorithm.js";
import type { Compiled } from "./kernel.js";
import { algorithms } from "./list.js";

/** A policy: a frozen, plain value that survives JSON. Made by tokenBucket() and its siblings. */
export type Policy = ReturnType<(typeof algorithms)[number]["parse"]>;

const byId = new Map<string, Algorithm<PolicyBase>>(
  algorithms.map((algorithm) => [algorithm.id, algorithm as unknown as Algorithm<PolicyBase>]),
);

/** The ids of all algorithms. */
export const algorithmIds: readonly string[] = Object.freeze([...byId.keys()]);

function algorithmOf(value: unknown, path: string): Algorithm<PolicyBase> {
  const id: unknown =
    typeof value === "object" && value !== null ? Reflect.get(value, "algorithm") : undefined;
  const algorithm = typeof id === "string" ? byId.get(id) : undefined;
  if (algorithm !== undefined) return algorithm;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidOptionError(
      path.slice(0, -1),
      withoutText(value),
      "a policy such as tokenBucket({ ... }) returns",
    );
  }
  throw new InvalidOptionError(
    `${path}algorithm`,
    id,
    algorithmIds.map((known) => `"${known}"`).join(" or "),
  );
}

/**
 * Checks a plain value, from JSON for instance, into a policy. Durations may be text.
 * @throws InvalidOptionError naming the option below `path`.
 * @example
 * import { parsePolicy } from "sluice";
 * const policy = parsePolicy(JSON.parse('{"algorithm":"gcra","limit":5,"period":"1s"}'));
 * console.log(policy.name); // gcra
 */
export function parsePolicy(value: unknown, path = "policy"): Policy {
  const prefix = `${path}.`;
  return algorithmOf(value, prefix).parse(value, prefix) as Policy;
}

/** Makes a policy ready to decide with. */
export function compilePolicy(policy: Policy): Compiled {
  return algorithmOf(policy, "policy.").compile(policy);
}

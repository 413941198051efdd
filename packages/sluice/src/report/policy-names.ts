/** What the policies of a limiter are called in a report: several limiters of one namespace may have many names together. */
import { MOST_NAMES, OTHER_POLICIES } from "../limiter/counts.js";

export class PolicyNames {
  readonly #known = new Map<string, Set<string>>();

  /** The name itself for the first hundred of a limiter, "other" for all that come later; the same each time. */
  of(limiter: string, policy: string): string {
    const names = this.#known.get(limiter) ?? new Set<string>();
    this.#known.set(limiter, names);
    if (names.has(policy)) return policy;
    if (policy === OTHER_POLICIES || names.size >= MOST_NAMES) return OTHER_POLICIES;
    names.add(policy);
    return policy;
  }
}

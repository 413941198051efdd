/** What changes in a limiter while it runs: the policies that it decides by, and the overrides of single keys. */
import type { Policy } from "../algorithms/registry.js";

/**
 * The policies that a limiter decides by have changed: a policy function returned one with other options, or `setPolicy`
 * was called.
 */
export interface PoliciesChanged {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** The names of the policies that are new or have new options. */
  readonly policies: readonly string[];
  /** Of `setPolicy`: what decided before; undefined if a function, or each call, had the policies. */
  readonly before?: readonly Policy[] | undefined;
  /** Of `setPolicy`: what decides from now on; undefined if a function has the policies. */
  readonly after?: readonly Policy[] | undefined;
  /** Of `setPolicy`: who changed it, as the caller said. */
  readonly by?: string | undefined;
}

/** What holds for a key: another policy, or "deny" for everything, or "exempt" from every limit. */
export type Override = Policy | "deny" | "exempt";

/** An override, and what was said when it was set. */
export interface OverrideTerms {
  /** A policy, "deny" or "exempt". */
  readonly override: Override;
  /** When it ends, by the store's clock; undefined = never. */
  readonly until: Date | undefined;
  /** Why, as it was said. */
  readonly comment: string | undefined;
  /** Who set it, as they said. */
  readonly by: string | undefined;
}

/** What holds for a key has changed, or this process has heard of it. */
export interface OverrideChanged {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** Of the key, as the store sees it: the hash, if keys are hashed. */
  readonly id: string;
  /** "set": there was none before; "changed": there was; "removed": there is none any more; "ended": its time is over. */
  readonly change: "set" | "changed" | "removed" | "ended";
  /** What held before; undefined if nothing did. */
  readonly before: OverrideTerms | undefined;
  /** What holds from now on; undefined if nothing does. */
  readonly after: OverrideTerms | undefined;
  /** Who set, changed or removed it, as they said. */
  readonly by: string | undefined;
  /** Why, as they said. */
  readonly comment: string | undefined;
  /** When this process knew it, by the store's clock: µs since the epoch. */
  readonly atUs: number;
}

/** What changes by itself in a limiter: the policies that it decides by. */
import type { Policy } from "../algorithms/registry.js";

/**
 * The policies that a limiter decides by have changed: a policy function returned one with other options, or `setPolicy`
 * was called.
 */
export interface PoliciesChanged {
  readonly limiter: string;
  /** The names of the policies that are new or have new options. */
  readonly policies: readonly string[];
  /** Of `setPolicy`: what decided before; undefined where a function, or each call, had the policies. */
  readonly before?: readonly Policy[] | undefined;
  /** Of `setPolicy`: what decides from now on; undefined where a function has the policies. */
  readonly after?: readonly Policy[] | undefined;
  /** Of `setPolicy`: who changed it, as the caller said. */
  readonly by?: string | undefined;
}

/**
 * What an algorithm has beside what a limiter needs of it: for the audit, the command line and the tests. Each
 * algorithm's are in its folder's tools.ts, apart from policy.ts, so that no server loads them.
 */
import type { Random } from "../core/random.js";
import type { Algorithm, PolicyBase } from "./algorithm.js";
import type { Bound } from "./bound.js";
import type { AlgorithmCase } from "./case-table.js";
import type { PolicyField } from "./fields.js";
import type { Wording } from "./wording.js";

export interface AlgorithmTools<P extends PolicyBase = PolicyBase> {
  readonly algorithm: Algorithm<P>;
  /** What the policy promises, for the audit to prove. */
  bound(policy: P): Bound;
  /**
   * Whether a key that has used more never has more left later, so that a log which lacks some calls can still refute. Not
   * if windows or refills begin when a key is first used: they begin at other times then. Default: no.
   */
  isMonotone?(policy: P): boolean;
  /** The policy's terms in a line: "10 per 1 s, burst 10". */
  describe(policy: P, wording: Wording): string;
  /** Its options on the command line, in the order of the help. */
  readonly fields: readonly PolicyField[];
  /** How long the limit takes to come back, in ms. */
  spanMs(policy: P): number;
  /** Any policy, extremes among them, for the random traces that stores are compared on. */
  randomPolicy(random: Random, name: string): P;
  /** Worked examples by what they are about; every store must give their answers. */
  readonly cases: Readonly<Record<string, readonly AlgorithmCase[]>>;
}

/** What a PolicySet is at, for people and probes. */
import type { PoliciesMode } from "./document.js";
import type { ReloadOutcome } from "./source-follower.js";

/** Which document a PolicySet has in force, and how it came by it. */
export interface PolicySetStatus {
  /** Of the document in force: its own, or a hash of it. */
  readonly version: number | string;
  /** The switch over all rules, as it is in force: the weaker of the document's and this process's. */
  readonly mode: PoliciesMode;
  /** Why the document in force may not be what the source says; undefined if it is. */
  readonly stale: string | undefined;
  /** For how long that has been so, in ms; 0 if it is not. */
  readonly staleMs: number;
  /** Documents that come into force later, the next one first; `atUs` in µs since the epoch, by the store's clock. */
  readonly scheduled: readonly { readonly version: number | string; readonly atUs: number }[];
  /** Changes and failures of the source, by outcome. */
  readonly reloads: Readonly<Record<ReloadOutcome, number>>;
}

export const NO_RELOADS: Readonly<Record<ReloadOutcome, number>> = Object.freeze({
  applied: 0,
  scheduled: 0,
  recovered: 0,
  invalid: 0,
  older: 0,
  lost: 0,
  failed: 0,
});

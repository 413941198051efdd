/**
 * What policies promise of what they admit, as data: an algorithm says which promise is its own, and the audit
 * proves or refutes it from a log. Amounts are units, lengths of time ms, and times µs since the epoch.
 */
import type { Wording } from "./wording.js";

export type Bound = RateBound | WindowsBound | AnyWindowBound | NoBound;

/** Whatever was admitted, it kept its promise: it made none. */
export interface NoBound {
  readonly kind: "none";
}

/**
 * In every half-open interval of length D at most burst + limit·D/period, or burst + limit·⌈D/period⌉ if all of the limit
 * comes back at once.
 */
export interface RateBound {
  readonly kind: "rate";
  readonly limit: number;
  readonly period: number;
  readonly burst: number;
  readonly refill: "continuous" | "interval";
}

/** In each window at most `limit`. */
export interface WindowsBound {
  readonly kind: "windows";
  readonly limit: number;
  /** What the windows are: "window of 1 s". */
  readonly name: (wording: Wording) => string;
  /** The window that holds an admission. Asked in order of time, of each that the window before does not hold. */
  readonly windowOf: (atUs: number) => Window;
}

/** In every half-open interval of length `window` at most `limit`, or fewer than that. */
export interface AnyWindowBound {
  readonly kind: "any-window";
  readonly limit: number;
  readonly window: number;
  readonly fewer: boolean;
}

/** From a time up to another one, which is outside. */
export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

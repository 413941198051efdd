/** How a permit was granted, and how long this process can trust that, by its own two clocks. */
import { type Clock, monotonicUs } from "../core/clock.js";
import type { CallerKey } from "./caller.js";

export interface PermitGrant {
  readonly key: CallerKey;
  readonly id: string;
  readonly weight: number;
  /** Its position in line; the fence itself if there was no line; 0 if this process never learned it. */
  readonly ticket: number;
  readonly fence: number;
  readonly untilUs: number;
  /** The store's clock when it answered. */
  readonly atUs: number;
  /** The grant can be trusted from then on, for `trustedMs`. */
  readonly sent: Moment;
  readonly trustedMs: number;
  /** Whether the permit is only a claim so far, which ends at `untilUs`. */
  readonly isClaim: boolean;
}

/** When a command was sent, by both clocks of this process. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallUs: number;
}

/**
 * How much of a lease its holder trusts: the rest covers clocks that run at different speeds, or two would hold the same
 * permit.
 */
export const TRUSTED_SHARE = 0.9;

export function momentOf(clock: Clock): Moment {
  return { monotonicMs: monotonicUs(clock) / 1e3, wallUs: clock.nowUs() };
}

/**
 * The time since then, by the clock that advanced further: the monotonic one stops while the machine sleeps, and the wall
 * clock can be set back.
 */
export function msSince(then: Moment, clock: Clock): number {
  return msBetween(then, momentOf(clock));
}

/** The same, from the one moment to the other. */
export function msBetween(then: Moment, now: Moment): number {
  return Math.max(now.monotonicMs - then.monotonicMs, (now.wallUs - then.wallUs) / 1e3);
}

/** A request's charges: which limiters it asks, by which keys, and what it costs. */
import { toThousandths } from "../core/amount.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { maxWaitMs } from "../core/max-wait.js";
import { checkBoolean, checkFunction, checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { addressKey } from "./address.js";
import type { HttpCall, HttpOutcome } from "./call.js";
import { type Chargeable, chargeableOf } from "./chargeable.js";
import { keyOf } from "./keys.js";

/** One limit that a request is counted against. */
export interface Charge {
  readonly limiter: RateLimiter | Semaphore;
  /** Who pays. Any text will do; undefined is an error, never a bucket that all share. */
  readonly key: string | undefined;
  /** Units, or the weight of a place in a semaphore; default 1. */
  readonly cost?: number | undefined;
  /**
   * Says what the request cost after all, once it has ended: the rest is refunded, what is missing is taken. Called once,
   * and only where the cost was taken. Not with a Semaphore.
   */
  readonly settle?: ((outcome: HttpOutcome) => number | Promise<number>) | undefined;
  /** Waits in line for so long in place of a denial; default 0. */
  readonly maxWait?: Duration | undefined;
  /** false: nothing is said of it in fields, since the key is somebody else's. Default true. */
  readonly show?: boolean | undefined;
  /**
   * Puts the key beside others with the same text, such as "org:7": on a Cluster the charges of a request are then decided
   * together. It is part of the key. Any text will do; default none.
   */
  readonly slot?: string | undefined;
}

/** What a charge function may leave out of its list, so that conditions read well. */
export type Falsy = false | null | undefined | 0 | "";

/** What a request is charged: one, several, or nothing. */
export type Charges = Charge | readonly (Charge | Falsy)[] | Falsy;

/** Says what a request is charged. `raw` is the framework's own request. */
export type ChargeFunction<Raw> = (raw: Raw, call: HttpCall) => Charges | Promise<Charges>;

const CHARGE_OPTIONS: readonly (keyof Charge)[] = [
  "limiter",
  "key",
  "cost",
  "settle",
  "maxWait",
  "show",
  "slot",
];

/** A charge that was checked. */
export interface CheckedCharge {
  readonly to: Chargeable;
  /** undefined where what came from outside is no text. */
  readonly key: string | undefined;
  readonly slot: string | undefined;
  readonly cost: number;
  /** Milliseconds; 0 where it does not wait. */
  readonly maxWaitMs: number;
  readonly settle: Charge["settle"];
  readonly show: boolean;
}

/** The charges that are left when nothing is left out. */
export function listed(charges: Charges): readonly Charge[] {
  if (!charges) return [];
  return Array.isArray(charges)
    ? (charges as readonly (Charge | Falsy)[]).filter((charge) => isGiven(charge))
    : [charges as Charge];
}

function isGiven(charge: Charge | Falsy): charge is Charge {
  return Boolean(charge);
}

/** @throws InvalidOptionError */
export function checkCharge(charge: Charge, option: string): CheckedCharge {
  checkOptions(option, charge, CHARGE_OPTIONS);
  const { limiter, key, cost = 1, settle, maxWait, show = true, slot } = charge;
  const to = chargeableOf(limiter);
  if (to === undefined) {
    const allowed = "a RateLimiter or a Semaphore";
    throw new InvalidOptionError(`${option}.limiter`, withoutText(limiter), allowed);
  }
  if (key === undefined) {
    const hint = "where a request has no such name, charge its address, or leave the charge out";
    const allowed = "a text: a key that is missing must not become one that all share";
    throw new InvalidOptionError(`${option}.key`, key, allowed, { hint });
  }
  if (cost !== 1) toThousandths(`${option}.cost`, cost);
  if (settle !== undefined) {
    checkFunction(`${option}.settle`, settle);
    if (to.kind === "semaphore") {
      const allowed = "no settle with a Semaphore: its place is released when the request ends";
      throw new InvalidOptionError(`${option}.settle`, withoutText(settle), allowed);
    }
  }
  checkBoolean(`${option}.show`, show);
  const waitMs = maxWait === undefined ? 0 : maxWaitMs(maxWait);
  // Only what comes from outside may have the wrong type: whoever reads a JSON body gets what the client sent.
  const isText = typeof key === "string" && (slot === undefined || typeof slot === "string");
  return {
    to,
    key: isText ? keyOf(key, to.isPlain) : undefined,
    slot: isText && slot !== undefined ? keyOf(slot, to.isPlain) : undefined,
    cost,
    maxWaitMs: waitMs,
    settle,
    show,
  };
}

/** Charge functions for the most usual keys. */
export const by = {
  /**
   * Charges the client's address: of IPv6 its /64, which is what one customer has.
   *
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { by } from "sluice/http";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) });
   * const charge = by.address(limiter);
   * const call = { method: "GET", address: "2001:db8::1:2:3:4", header: () => undefined };
   * console.log(charge(undefined, call).key); // 2001:db8::/64
   */
  address:
    (limiter: RateLimiter | Semaphore) =>
    (_raw: unknown, { address }: HttpCall): Charge => ({
      limiter,
      key: address === undefined ? undefined : addressKey(address),
    }),

  /** Charges the value of a request field, such as an API key; a request without one is charged by its address. */
  header: (limiter: RateLimiter | Semaphore, name: string) => {
    const lowerCase = name.toLowerCase();
    return (_raw: unknown, call: HttpCall): Charge => {
      const value = call.header(lowerCase);
      if (value !== undefined) return { limiter, key: `${lowerCase} ${value}` };
      const { address } = call;
      return { limiter, key: address === undefined ? undefined : addressKey(address) };
    };
  },
};

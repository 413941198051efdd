/** A request's charges: which limiters it asks, by which keys, and what it costs. */
import { toThousandths } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { maxWaitMs } from "../core/max-wait.js";
import { checkBoolean, checkCount, checkFunction, checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { MAX_SEMAPHORE_LIMIT } from "../semaphore/options.js";
import type { Permit } from "../semaphore/permit.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { addressKey, checkFieldName } from "./address.js";
import type { HttpCall, HttpOutcome } from "./call.js";
import { checkChargeable, type Chargeable, chargeableOf } from "./chargeable.js";
import type { DenialReason } from "./denial.js";
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
const KNOWN: ReadonlySet<string> = new Set(CHARGE_OPTIONS);

/** A charge that was checked, and what came of it. */
export interface AskedCharge {
  readonly to: Chargeable;
  readonly key: string;
  readonly slot: string | undefined;
  readonly cost: number;
  /** Milliseconds; 0 where it does not wait. */
  readonly maxWaitMs: number;
  readonly settle: Charge["settle"];
  readonly show: boolean;
  /** Of a limiter that was asked. */
  decision: Decision | undefined;
  /** Whether it took units, and they were not given back yet. */
  hasTaken: boolean;
  /** Of a semaphore that had a place. */
  permit: Permit | undefined;
  /** Why it would not let the request pass. */
  refused: ChargeRefused | undefined;
}

/** Why a request is refused. */
export interface ChargeRefused {
  readonly reason: DenialReason;
  /** Whole milliseconds; Infinity for ever. */
  readonly retryAfterMs: number;
}

/**
 * The charges that are left when nothing is left out; undefined where a key that came from outside is no text.
 *
 * @throws InvalidOptionError
 */
export function askedOf(charges: Charges): readonly AskedCharge[] | undefined {
  if (!Array.isArray(charges)) {
    const only = checkCharge(charges as Charge, "charge");
    return only === undefined ? undefined : [only];
  }
  const asked: AskedCharge[] = [];
  const given = charges as readonly (Charge | Falsy)[];
  for (let i = 0; i < given.length; i++) {
    const charge = given[i];
    if (!charge) continue;
    const checked = checkCharge(charge, `charge[${i}]`);
    if (checked === undefined) return undefined;
    asked.push(checked);
  }
  return asked;
}

/** Whether a charge has only what one may have. The check that can say what is wrong takes longer than all else here. */
function isKnown(charge: Charge): boolean {
  if (typeof charge !== "object") return false;
  // Not Object.keys: that would make a list for each request.
  for (const name in charge) {
    if (!KNOWN.has(name)) return false;
  }
  return true;
}

/** @throws InvalidOptionError */
function checkCharge(charge: Charge, option: string): AskedCharge | undefined {
  if (!isKnown(charge)) checkOptions(option, charge, CHARGE_OPTIONS);
  const { limiter, key, cost = 1, settle, maxWait, show = true, slot } = charge;
  const to = chargeableOf(limiter);
  if (to === undefined) {
    checkOptions(option, charge, CHARGE_OPTIONS);
    const allowed = "a RateLimiter or a Semaphore";
    throw new InvalidOptionError(`${option}.limiter`, withoutText(limiter), allowed);
  }
  if (key === undefined) {
    const hint = "where a request has no such name, charge its address, or leave the charge out";
    const allowed = "a text: a key that is missing must not become one that all share";
    throw new InvalidOptionError(`${option}.key`, key, allowed, { hint });
  }
  if (cost !== 1) checkCost(`${option}.cost`, cost, to);
  if (settle !== undefined) checkSettle(`${option}.settle`, settle, to);
  if (typeof show !== "boolean") checkBoolean(`${option}.show`, show);
  const waitMs = maxWait === undefined ? 0 : maxWaitMs(maxWait, `${option}.maxWait`);
  // Only what comes from outside may have the wrong type: whoever reads a JSON body gets what the client sent.
  if (typeof key !== "string" || (slot !== undefined && typeof slot !== "string")) return undefined;
  return {
    to,
    key: keyOf(key, to.isPlain),
    slot: slot === undefined ? undefined : keyOf(slot, to.isPlain),
    cost,
    maxWaitMs: waitMs,
    settle,
    show,
    decision: undefined,
    hasTaken: false,
    permit: undefined,
    refused: undefined,
  };
}

/** Units of a limiter; of a semaphore places. */
function checkCost(option: string, cost: unknown, to: Chargeable): void {
  if (to.kind === "limiter") toThousandths(option, cost);
  else checkCount(option, cost, 1, MAX_SEMAPHORE_LIMIT);
}

function checkSettle(option: string, settle: unknown, to: Chargeable): void {
  checkFunction(option, settle);
  if (to.kind === "limiter") return;
  const allowed = "no settle with a Semaphore: its place is released when the request ends";
  throw new InvalidOptionError(option, withoutText(settle), allowed);
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
  address: (limiter: RateLimiter | Semaphore) => {
    checkChargeable("limiter", limiter);
    return (_raw: unknown, call: HttpCall): Charge => ({ limiter, key: addressKeyOf(call) });
  },

  /**
   * Charges the value of a request field, such as an API key; a request without one is charged by its address. The value
   * is to be checked before: whoever may send any gets a new limit with each.
   */
  header: (limiter: RateLimiter | Semaphore, name: string) => {
    checkChargeable("limiter", limiter);
    const lowerCase = checkFieldName("name", name);
    return (_raw: unknown, call: HttpCall): Charge => {
      const value = call.header(lowerCase);
      return { limiter, key: value ? `${lowerCase} ${value}` : addressKeyOf(call) };
    };
  },
};

/** An empty address is none: it would be one that all share. */
function addressKeyOf({ address }: HttpCall): string | undefined {
  return address ? addressKey(address) : undefined;
}

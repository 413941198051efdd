/** A request's charges: which limiters it asks, by which keys, and what it costs. */
import type { Policy } from "../algorithms/registry.js";
import { toThousandths } from "../core/amount.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { maxWaitMs } from "../core/max-wait.js";
import {
  unchecked,
  checkBoolean,
  checkCount,
  checkFunction,
  optionReader,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { hear } from "../policies/met-rules.js";
import type { RequestEntries } from "../policies/rule-key.js";
import type { TakenByRules } from "../policies/rules-decision.js";
import type { PolicySet } from "../policies/policy-set.js";
import { MAX_SEMAPHORE_LIMIT } from "../semaphore/options.js";
import type { Permit } from "../semaphore/permit.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { addressKey, checkFieldName } from "./address.js";
import type { HttpCall, HttpOutcome } from "./call.js";
import {
  chargeableOf,
  type ChargedLimiter,
  type ChargedRules,
  type ChargedSemaphore,
  checkChargeable,
  type Limit,
} from "./chargeable.js";
import type { DenialReason } from "./denial.js";
import { keyOf } from "./keys.js";

/** One limit that a request is counted against. */
export interface Charge {
  /** What is charged. */
  readonly limiter: Limit;
  /** Who pays. Any text will do; undefined is an error, never a bucket that all share. Not with a PolicySet. */
  readonly key?: string | undefined;
  /** Of a PolicySet alone: what the request says of itself, such as `{ user: "ann", path: "/v1" }`. */
  readonly entries?: RequestEntries | undefined;
  /** Of a PolicySet alone: the plan whose limits apply. */
  readonly plan?: string | undefined;
  /** Units, 0 to 1e9 in whole thousandths, or the weight of a semaphore's permit, 1 to 1e9; default 1. */
  readonly cost?: number | undefined;
  /**
   * Says what the request cost after all, once it has ended: the rest is refunded, what is missing is taken. Called once,
   * and only if the cost was taken. Not with a Semaphore.
   */
  readonly settle?: ((outcome: HttpOutcome) => number | Promise<number>) | undefined;
  /** How long to wait in line instead of being denied; default 0. */
  readonly maxWait?: Duration | undefined;
  /** false: nothing is said of it in fields, since the key is another client's. Default true. */
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

/** What each may be depends on the limiter. */
const CHARGE = optionReader<Charge>()(
  unchecked("limiter", "key", "entries", "plan", "cost", "settle", "maxWait", "show", "slot"),
);
const KNOWN: ReadonlySet<string> = new Set(Object.keys(CHARGE.checks));

/** A charge that was checked, and its outcome. */
export interface AskedCharge {
  readonly to: ChargedLimiter | ChargedSemaphore;
  /** What decides, if the limiter has no policies; the first one may be stated. */
  readonly policies: readonly Policy[] | undefined;
  /** Of a rule: the request that met it. */
  readonly met: TakenByRules | undefined;
  readonly key: string;
  readonly slot: string | undefined;
  readonly cost: number;
  /** Milliseconds; 0 if it does not wait. */
  readonly maxWaitMs: number;
  readonly settle: Charge["settle"];
  readonly show: boolean;
  /** Of a limiter that was asked. */
  decision: Decision | undefined;
  /** Whether it took units, and they were not given back yet. */
  hasTaken: boolean;
  /** The permit of a semaphore that had one. */
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
 * The charges that are left when nothing is left out; undefined if a key that came from outside is not text.
 *
 * @throws InvalidOptionError
 */
export function askedOf(charges: Charges): readonly AskedCharge[] | undefined {
  const asked: AskedCharge[] = [];
  if (!Array.isArray(charges)) return add(charges as Charge, "charge", asked) ? asked : undefined;
  const given = charges as readonly (Charge | Falsy)[];
  for (let i = 0; i < given.length; i++) {
    const charge = given[i];
    if (charge && !add(charge, `charge[${i}]`, asked)) return undefined;
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

/**
 * Adds what a charge comes to; false if a key that came from outside is not text.
 *
 * @throws InvalidOptionError
 */
function add(charge: Charge, option: string, asked: AskedCharge[]): boolean {
  if (!isKnown(charge)) CHARGE.known(charge, option);
  const { limiter, key, cost = 1, settle, maxWait, show = true, slot } = charge;
  const to = chargeableOf(limiter);
  if (to === undefined) {
    CHARGE.known(charge, option);
    const allowed = "a RateLimiter, a Semaphore or a PolicySet";
    throw new InvalidOptionError(`${option}.limiter`, withoutText(limiter), allowed);
  }
  if (typeof show !== "boolean") checkBoolean(`${option}.show`, show);
  if (to.kind === "rules") return addRules(charge, option, to, asked);
  refuseAll(option, charge, ["entries", "plan"], "a PolicySet");
  if (key === undefined) {
    const hint = "if a request has no key, charge its address, or return no charge";
    const allowed = "a text, so that requests without a key do not share one limit";
    throw new InvalidOptionError(`${option}.key`, key, allowed, { hint });
  }
  if (cost !== 1) checkCost(`${option}.cost`, cost, to);
  if (settle !== undefined) checkSettle(`${option}.settle`, settle, to);
  const waitMs = maxWait === undefined ? 0 : maxWaitMs(maxWait, `${option}.maxWait`);
  // Only a key from outside may have the wrong type: a field of a JSON body is whatever the client sent.
  if (typeof key !== "string" || (slot !== undefined && typeof slot !== "string")) return false;
  asked.push({
    to,
    key: keyOf(key, to.isPlain),
    slot: slot === undefined ? undefined : keyOf(slot, to.isPlain),
    cost,
    maxWaitMs: waitMs,
    settle,
    show,
    ...UNASKED,
  });
  return true;
}

/** A charge of each rule that the request meets. `settle` is called once for all of them. */
function addRules(
  charge: Charge,
  option: string,
  { meet }: ChargedRules,
  asked: AskedCharge[],
): boolean {
  const { entries, plan, cost, settle, show = true, slot } = charge;
  refuseAll(option, charge, ["key", "maxWait"], "a RateLimiter or a Semaphore");
  if (entries === undefined) {
    const allowed = "what the request says of itself, such as { user, path }";
    throw new InvalidOptionError(`${option}.entries`, entries, allowed);
  }
  if (settle !== undefined) checkFunction(`${option}.settle`, settle);
  if (slot !== undefined && typeof slot !== "string") return false;
  const once = settle && calledOnce(settle);
  const taken = meet({ entries, plan, cost, slot });
  if (taken.charges.length === 0) hear("consume", [taken], []);
  for (const met of taken.charges) {
    const to = chargeableOf(met.limiter) as ChargedLimiter;
    asked.push({
      ...UNASKED,
      met: taken,
      to,
      key: met.key,
      slot: slot === undefined ? undefined : keyOf(slot, to.isPlain),
      cost: met.cost,
      maxWaitMs: 0,
      settle: met.isCostOfRequest ? once : undefined,
      show: show && met.enforce,
      policies: met.policies,
    });
  }
  return true;
}

const UNASKED = {
  policies: undefined,
  met: undefined,
  decision: undefined,
  hasTaken: false,
  permit: undefined,
  refused: undefined,
} as const;

function calledOnce(settle: NonNullable<Charge["settle"]>): NonNullable<Charge["settle"]> {
  let settled: ReturnType<typeof settle> | undefined;
  return (outcome) => {
    settled ??= settle(outcome);
    return settled;
  };
}

/** @throws InvalidOptionError */
function refuseAll(
  option: string,
  charge: Charge,
  names: readonly (keyof Charge)[],
  whose: string,
): void {
  for (const name of names) {
    const value: unknown = charge[name];
    if (value === undefined) continue;
    throw new InvalidOptionError(
      `${option}.${name}`,
      withoutText(value),
      `none: it is for ${whose}`,
    );
  }
}

/** Units of a limiter; of a semaphore the weight. */
function checkCost(option: string, cost: unknown, to: AskedCharge["to"]): void {
  if (to.kind === "limiter") toThousandths(option, cost);
  else checkCount(option, cost, 1, MAX_SEMAPHORE_LIMIT);
}

function checkSettle(option: string, settle: unknown, to: AskedCharge["to"]): void {
  checkFunction(option, settle);
  if (to.kind === "limiter") return;
  const allowed = "no settle with a Semaphore: its permit is released when the request ends";
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
  address: (limiter: Limit) => {
    const { kind } = checkChargeable("limiter", limiter);
    if (kind === "rules") return by.entries(limiter as PolicySet);
    return (_raw: unknown, call: HttpCall): Charge => ({ limiter, key: addressKeyOf(call) });
  },

  /**
   * Charges the rules that a request meets by its `method`, `path` and `address`, and by what `entries` adds to them or
   * replaces: a user, an organization, the value of a field.
   *
   * @example
   * import { by } from "sluice/http";
   * import { PolicySet } from "sluice/policies";
   * const policy = { algorithm: "gcra" as const, limit: 5, period: "1m" };
   * const rules = new PolicySet({
   *   source: { rules: [{ name: "login", match: { path: "/login" }, key: ["address"], policy }] },
   * });
   * const charge = by.entries(rules, (_request, call) => ({ client: call.header("x-client") ?? "none" }));
   * const call = { method: "POST", path: "/login", address: "192.0.2.7", header: () => undefined };
   * console.log(charge(undefined, call).entries?.["address"]); // 192.0.2.7
   */
  entries: <Raw>(rules: PolicySet, entries?: (raw: Raw, call: HttpCall) => RequestEntries) => {
    if (checkChargeable("rules", rules).kind !== "rules") {
      throw new InvalidOptionError("rules", withoutText(rules), "a PolicySet");
    }
    if (entries !== undefined) checkFunction("entries", entries);
    return (raw: Raw, call: HttpCall): Charge => {
      return { limiter: rules, entries: { ...entriesOf(call), ...entries?.(raw, call) } };
    };
  },

  /**
   * Charges the value of a request field, such as an API key; a request without one is charged by its address. Check the
   * value first: a client that may send any value gets a new limit with each one.
   */
  header: (limiter: RateLimiter | Semaphore, name: string) => {
    if (checkChargeable("limiter", limiter).kind === "rules") {
      const hint = "use by.entries";
      throw new InvalidOptionError("limiter", withoutText(limiter), "a limiter", { hint });
    }
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

function entriesOf(call: HttpCall): RequestEntries {
  const { method, path } = call;
  const address = addressKeyOf(call);
  return {
    method,
    ...(path !== undefined && { path }),
    ...(address !== undefined && { address }),
  };
}

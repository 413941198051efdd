/** What a request passes before it is served: its charges are taken, or it is refused. */
import { byDefault, checkFunction, aCount, optional, optionReader } from "../core/options.js";
import { isPromiseLike } from "../core/promises.js";
import { type FieldForm, type FormWriter, writerOf } from "../headers/field-writers.js";
import type { HttpCall } from "./call.js";
import {
  type AskedCharge,
  askedOf,
  by,
  type ChargeFunction,
  type ChargeRefused,
  type Charges,
} from "./charge.js";
import { chargeableOf, type Limit } from "./chargeable.js";
import { giveBack, takeCharges } from "./charging.js";
import { Checks } from "./checks.js";
import { type Denial, denialOf } from "./denial.js";
import { hasEntered } from "./entered.js";
import { hearTaken } from "./heard.js";
import { checkNames } from "./names.js";
import { NO_STORE, type Pass, passOf } from "./pass.js";
import { WaitingRoom } from "./waiting-room.js";

/** What every adapter is given; `Raw` is its framework's own request, and `Answer` what else it takes to answer one. */
export interface HttpOptions<Raw, Answer extends readonly unknown[] = []> {
  /** What a request is charged; whatever it leaves out is free. */
  readonly charge: ChargeFunction<Raw>;
  /** How limits are stated in answers; default "draft-11". false: only `Retry-After`, on denials. */
  readonly fields?: FieldForm | undefined;
  /** The answer to a request that is refused, in the framework's own way; default: a problem body. */
  readonly onDenied?: ((raw: Raw, denial: Denial, ...answer: Answer) => unknown) | undefined;
  /** The client's address, if the framework's own is the wrong one: see `clientAddress`. */
  readonly address?: ((raw: Raw, call: HttpCall) => string | undefined) | undefined;
  /** The most requests that wait in line at the same time; more are refused at once. Default 1,000. */
  readonly maxWaiting?: number | undefined;
}

/** The options that adapters share. */
export const HTTP_OPTIONS = optionReader<HttpOptions<never, never>>()({
  charge: checkFunction,
  fields: byDefault("draft-11", writerOf),
  onDenied: optional(checkFunction),
  address: optional(checkFunction),
  maxWaiting: byDefault(1000, aCount(0, 1e6)),
});

/** Decides on requests: what adapters ask. */
export interface Gate<Raw> {
  /**
   * Takes what a request is charged, all or nothing. At once for one rate, or the rules of one set, of a store in this process.
   *
   * @param raw the framework's request, a different object for each: one that comes again is charged once, with a warning
   * @throws InvalidOptionError, and what the charge function throws; nothing is charged then
   */
  enter(raw: Raw, call: HttpCall): Pass | Promise<Pass>;
}

/** For a request whose body or field has no text for its caller's name. */
const WITHOUT_KEY: Pass = Object.freeze({
  fields: NO_STORE,
  denial: denialOf({
    reason: "key",
    retryAfterMs: Number.POSITIVE_INFINITY,
    decisions: [],
    violated: [],
  }),
  settle: undefined,
});

const FREE: Pass = Object.freeze({
  fields: Object.freeze([]),
  denial: undefined,
  settle: undefined,
});

/** Requests wait in memory: beyond this number a process only hoards them. */

/**
 * A gate of one's own, for a framework without an adapter: describe the call, write the fields, answer a denial, and
 * report the outcome.
 *
 * @param options what a request is charged and how denials are answered; a limiter or semaphore alone charges addresses, a PolicySet its rules
 * @throws InvalidOptionError
 * @example
 * import { fixedWindow, RateLimiter } from "sluice";
 * import { createGate } from "sluice/http";
 * const limiter = new RateLimiter({ policy: fixedWindow({ limit: 1, window: "1h" }) });
 * const gate = createGate<{ user: string }>({ charge: ({ user }) => ({ limiter, key: user }) });
 * const call = { method: "GET", address: "192.0.2.7", header: () => undefined };
 * console.log((await gate.enter({ user: "ann" }, call)).denial); // undefined
 * console.log((await gate.enter({ user: "ann" }, call)).denial?.status); // 429
 */
export function createGate<Raw, Answer extends readonly unknown[] = []>(
  options: Limit | HttpOptions<Raw, Answer>,
): Gate<Raw> {
  return new HttpGate(optionsOf(options));
}

/** A limiter alone is charged by the client's address; of rules those that the request meets. */
export function optionsOf<Raw, Answer extends readonly unknown[]>(
  options: Limit | HttpOptions<Raw, Answer>,
): HttpOptions<Raw, Answer> {
  if (chargeableOf(options) === undefined) return options as HttpOptions<Raw, Answer>;
  return { charge: by.address(options as Limit) };
}

class HttpGate<Raw> implements Gate<Raw> {
  readonly #charge: ChargeFunction<Raw>;
  readonly #address: HttpOptions<Raw>["address"];
  readonly #write: FormWriter | undefined;
  readonly #waiting: WaitingRoom;
  readonly #checks = new Checks();

  constructor(options: HttpOptions<Raw, never>) {
    const { fields, maxWaiting } = HTTP_OPTIONS.read(options);
    this.#charge = options.charge;
    this.#address = options.address;
    this.#write = fields;
    this.#waiting = new WaitingRoom(maxWaiting);
  }

  enter(raw: Raw, described: HttpCall): Pass | Promise<Pass> {
    // A preflight is the browser's own request, so it is not charged.
    if (isPreflight(described)) return FREE;
    if (hasEntered(raw, this)) {
      this.#checks.say("CHARGED_TWICE");
      return FREE;
    }
    const call = this.#address === undefined ? described : addressed(raw, described, this.#address);
    const charges = this.#charge(raw, call);
    return isPromiseLike(charges)
      ? Promise.resolve(charges).then((known) => this.#take(call, known))
      : this.#take(call, charges);
  }

  #take(call: HttpCall, charges: Charges): Pass | Promise<Pass> {
    if (!charges) return FREE;
    const asked = askedOf(charges);
    if (asked === undefined) return WITHOUT_KEY;
    if (asked.length === 0) return FREE;
    if (this.#checks.areDue) this.#checks.look(call, asked);
    if (asked.length > 1) checkNames(asked);
    const refused = takeCharges(asked, this.#waiting, call);
    return refused instanceof Promise
      ? refused.then((known) => this.#pass(asked, known))
      : this.#pass(asked, refused);
  }

  /** What cannot be stated is not charged: a writer of fields is the user's own, and may throw. */
  #pass(asked: readonly AskedCharge[], refused: ChargeRefused | undefined): Pass | Promise<Pass> {
    try {
      hearTaken(asked, refused !== undefined);
      const pass = passOf(asked, refused, this.#write);
      return pass instanceof Promise ? pass.catch((error: unknown) => untaken(asked, error)) : pass;
    } catch (error) {
      return untaken(asked, error);
    }
  }
}

async function untaken(asked: readonly AskedCharge[], error: unknown): Promise<never> {
  await giveBack(asked);
  throw error;
}

function isPreflight(call: HttpCall): boolean {
  return call.method === "OPTIONS" && call.header("access-control-request-method") !== undefined;
}

/** The same call, of the address that the user's own function says. */
function addressed<Raw>(
  raw: Raw,
  call: HttpCall,
  addressOf: NonNullable<HttpOptions<Raw>["address"]>,
): HttpCall {
  return {
    method: call.method,
    path: call.path,
    address: addressOf(raw, call),
    header: (name) => call.header(name),
    ...(call.gone !== undefined && { gone: call.gone.bind(call) }),
  };
}

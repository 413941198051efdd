/** sluice/hono: limits as middleware of Hono, on every runtime that it has. */
import type { Context, Env, MiddlewareHandler } from "hono";
import { InvalidOptionError } from "../core/errors.js";
import { optionReader } from "../core/options.js";
import type { Field, Fields } from "../headers/field-writers.js";
import {
  type AnswerFields,
  exposeFields,
  isList,
  PROBLEM_TYPE,
  writeFields,
} from "../http/answer.js";
import { type HttpCall, pathOf } from "../http/call.js";
import { by } from "../http/charge.js";
import { chargeableOf, type Limit } from "../http/chargeable.js";
import { defaultBody, type Denial } from "../http/denial.js";
import { createGate, HTTP_OPTIONS, type HttpOptions } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import { type BodyEnd, releaseWithBody } from "../outgoing/body.js";

export type * from "../http/index.js";

/** Options of Hono's `rateLimit`. */
export interface HonoLimitOptions<E extends Env = Env>
  extends Omit<HttpOptions<Context<E>>, "onDenied"> {
  /** Makes the answer to a request that is refused; default: a problem body. */
  readonly onDenied?: ((c: Context<E>, denial: Denial) => Response | Promise<Response>) | undefined;
}

/** Beside a limiter alone, which is charged by the client's address. */
export interface HonoAddressOptions<E extends Env = Env>
  extends Omit<HonoLimitOptions<E>, "charge" | "address"> {
  /** The client's address: each runtime has its own `getConnInfo` for it. */
  readonly address: NonNullable<HonoLimitOptions<E>["address"]>;
}

/**
 * Middleware that lets requests pass as far as their limits allow, and answers the others with 429.
 *
 * Hono does not know whom a request comes from: say so by `address`. If a store cannot be asked, and `onStoreFailure` does
 * not let the request pass, that is a denial with 503. Errors of the charge function go to `app.onError`.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/hono";
 * import { getConnInfo } from "@hono/node-server/conninfo";
 * import { Hono } from "hono";
 * const app = new Hono();
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) });
 * app.use(rateLimit(limiter, { address: (c) => getConnInfo(c).remote.address }));
 * console.log(app.routes.length); // 1
 */
export function rateLimit<E extends Env = Env>(
  limiter: Limit,
  options: HonoAddressOptions<E>,
): MiddlewareHandler<E>;
export function rateLimit<E extends Env = Env>(options: HonoLimitOptions<E>): MiddlewareHandler<E>;
export function rateLimit<E extends Env>(
  first: Limit | HonoLimitOptions<E>,
  second?: HonoAddressOptions<E>,
): MiddlewareHandler<E> {
  const options = optionsFrom(first, second);
  const gate = createGate(options);
  const { onDenied } = options;
  return async (c, next) => {
    const entered = gate.enter(c, new HonoCall(c));
    const { fields, denial, settle } = entered instanceof Promise ? await entered : entered;
    // Nothing is read of the answer before there is one: Hono's server for Node is faster then.
    for (const [name, value] of fields) c.header(name, value, { append: isList(name) });
    if (denial === undefined) await (settle === undefined ? next() : served(c, next, settle));
    else if (onDenied !== undefined) c.res = await onDenied(c, denial);
    else {
      c.res = problemResponse(c, denial);
      // Hono made it, with all that was set before.
      exposeFields(fields, fieldsOf(c));
      return;
    }
    keepFields(c, fields);
    if (settle !== undefined) settleWithBody(c, settle);
  };
}

const { charge: _, ...addressed } = HTTP_OPTIONS.checks;
const ADDRESS_OPTIONS = optionReader<HonoAddressOptions<never>>()(addressed);

function optionsFrom<E extends Env>(
  first: Limit | HonoLimitOptions<E>,
  second: HonoAddressOptions<E> | undefined,
): HonoLimitOptions<E> {
  if (chargeableOf(first) === undefined) return first as HonoLimitOptions<E>;
  const { address } = ADDRESS_OPTIONS.known(second ?? {});
  if (address === undefined) {
    const allowed = "a function of the context, such as (c) => getConnInfo(c).remote.address";
    throw new InvalidOptionError("address", address, allowed);
  }
  return { ...second, charge: by.address(first as Limit) };
}

type Settle = NonNullable<Pass["settle"]>;

/** What is thrown and is no Error comes through here: Hono answers the others before, and says so in `c.error`. */
async function served(c: Context, next: () => Promise<void>, settle: Settle): Promise<void> {
  try {
    await next();
  } catch (error) {
    void settle({ status: 500, aborted: c.req.raw.signal.aborted, error });
    throw error;
  }
}

function problemResponse(c: Context, denial: Denial): Response {
  return c.body(defaultBody(denial), denial.status, { "Content-Type": PROBLEM_TYPE });
}

/** A handler that makes its Response itself, or passes on one of fetch, loses what was set before. */
function keepFields(c: Context, fields: Fields): void {
  if (fields.length === 0) return;
  const answer = fieldsOf(c);
  // All of it is lost or nothing, and each look into Headers costs as much as a decision.
  const sign = fields.find(([name]) => name === "RateLimit");
  const lost =
    sign !== undefined && isSaid(c, sign) ? [] : fields.filter((field) => !isSaid(c, field));
  if (lost.length > 0) writeFields(lost, answer);
  exposeFields(fields, answer);
}

function isSaid(c: Context, [name, value]: Field): boolean {
  const said = c.res.headers.get(name);
  return said !== null && (!isList(name) || said.includes(value));
}

function fieldsOf(c: Context): AnswerFields {
  return {
    get: (name) => c.res.headers.get(name),
    set: (name, value) => {
      c.header(name, value);
    },
  };
}

/** An answer has ended when its body has. */
function settleWithBody(c: Context, settle: Settle): void {
  const { res, error } = c;
  const { status } = res;
  const ended = (how: BodyEnd): void => {
    const aborted = how === "cancelled" || c.req.raw.signal.aborted;
    void settle({ status, aborted, ...(error !== undefined && { error }) });
  };
  // Hono drops the body of an answer to HEAD: it would never be read to its end.
  if (c.req.method === "HEAD" || res.bodyUsed) {
    ended("read");
    return;
  }
  const held = releaseWithBody(res, ended);
  // Hono merges fields of the old answer into a new one, unless there is no old answer.
  c.res = undefined;
  c.res = held;
}

class HonoCall implements HttpCall {
  readonly #c: Context;
  readonly address = undefined;

  constructor(c: Context) {
    this.#c = c;
  }

  get method(): string {
    return this.#c.req.method;
  }

  get path(): string | undefined {
    return pathOf(this.#c.req.url);
  }

  header(name: string): string | undefined {
    return this.#c.req.header(name);
  }

  gone(): AbortSignal {
    return this.#c.req.raw.signal;
  }
}

/** sluice/koa: limits as middleware of Koa. */
import type { DefaultContext, DefaultState, Middleware, ParameterizedContext } from "koa";
import type { Limit } from "../http/chargeable.js";
import { PROBLEM_TYPE, writeFields } from "../http/answer.js";
import { defaultBody, type Denial } from "../http/denial.js";
import { createGate, type Gate, type HttpOptions, optionsOf } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import { asError, fieldsOfNode, NodeCall, onOutcome } from "./node-call.js";

export type * from "../http/index.js";

/** `onDenied` answers by the context, whose status is already that of the denial. */
export type KoaLimitOptions<State = DefaultState, Context = DefaultContext> = HttpOptions<
  ParameterizedContext<State, Context>
>;

/**
 * Middleware that lets requests pass as far as their limits allow, and answers the others with 429.
 *
 * Clients are distinguished by `ctx.ip`: behind proxies set `app.proxy` and `app.maxIpsCount`. If a store cannot be asked,
 * and `onStoreFailure` does not let the request pass, that is a denial with 503. Errors of the charge function are thrown,
 * as are those of what comes behind.
 *
 * @param options what a request is charged and how denials are answered; a limiter or semaphore alone charges addresses
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/koa";
 * import Koa from "koa";
 * const app = new Koa();
 * app.use(rateLimit(new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) })));
 * console.log(app.middleware.length); // 1
 */
export function rateLimit<State = DefaultState, Context = DefaultContext>(
  options: Limit | KoaLimitOptions<State, Context>,
): Middleware<State, Context> {
  const gate = createGate(options);
  const { onDenied = sendProblem } = optionsOf(options);
  return async (ctx, next) => {
    const { fields, denial, settle } = await enter(gate, ctx);
    // A timeout of the application may have answered while the store was asked.
    const isAnswered = ctx.headerSent;
    if (!isAnswered) writeFields(fields, fieldsOfNode(ctx.res));
    let thrown: { readonly error?: unknown } = {};
    if (settle !== undefined) {
      onOutcome(ctx.res, (outcome) => settle({ ...outcome, ...thrown }));
    }
    if (denial !== undefined) {
      if (isAnswered) return;
      ctx.status = denial.status;
      await onDenied(ctx, denial);
      return;
    }
    try {
      await next();
    } catch (error) {
      thrown = { error };
      keepFields(ctx, [...fields.map(([name]) => name), "Access-Control-Expose-Headers"]);
      throw error;
    }
  };
}

/** Koa never answers a request of which nothing was thrown. */
async function enter<Raw extends ParameterizedContext>(gate: Gate<Raw>, ctx: Raw): Promise<Pass> {
  try {
    return await gate.enter(ctx, new KoaCall(ctx));
  } catch (error) {
    throw asError(error);
  }
}

function sendProblem(ctx: ParameterizedContext, denial: Denial): void {
  // Koa would add a charset to a type that is set by ctx.type.
  ctx.set("Content-Type", PROBLEM_TYPE);
  ctx.body = Buffer.from(defaultBody(denial));
}

/**
 * Koa answers an error without the fields that were set before, but with those of the error's `headers`. They are added
 * when it reads them and not before: several requests may be thrown the same error, and none may say another's limits.
 */
function keepFields(ctx: ParameterizedContext, names: readonly string[]): void {
  const answer = fieldsOfNode(ctx.res);
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = answer.get(name);
    if (value) kept[name] = value;
  }
  const answerError = ctx.onerror.bind(ctx);
  const onerror = (error: (Error & { headers?: ErrorHeaders }) | null): void => {
    // It is called without one when the answer is sent; and if what was thrown is no Error, Koa makes one.
    if (!(error instanceof Error) || !Object.isExtensible(error)) {
      answerError(error as Error);
      return;
    }
    const { headers } = error;
    error.headers = { ...headers, ...kept };
    try {
      answerError(error);
    } finally {
      error.headers = headers;
    }
  };
  Object.assign(ctx, { onerror });
}

type ErrorHeaders = Readonly<Record<string, string>> | undefined;

class KoaCall extends NodeCall {
  readonly #ctx: ParameterizedContext;

  constructor(ctx: ParameterizedContext) {
    super(ctx.req, ctx.res);
    this.#ctx = ctx;
  }

  override get address(): string | undefined {
    // Empty if the connection is gone, and an empty address would be shared by all such clients.
    return this.#ctx.ip || undefined;
  }

  override trust(): "everybody" | "nobody" | "some" {
    const { proxy, maxIpsCount } = this.#ctx.app;
    if (!proxy) return "nobody";
    return maxIpsCount > 0 ? "some" : "everybody";
  }

  override get trustSetting(): string {
    return "app.proxy = true and app.maxIpsCount = 1 for one of yours";
  }
}

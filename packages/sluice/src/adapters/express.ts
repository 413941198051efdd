/** sluice/express: limits as middleware of Express 4 and 5. */
import type { NextFunction, Request, Response } from "express";
import type { Limit } from "../http/chargeable.js";
import type { HttpOptions } from "../http/gate.js";
import { EXPRESS_TRUST, NodeCall, nodePassage } from "./node-call.js";

export type * from "../http/index.js";

/** As of every adapter; `onDenied(request, denial, response)`, and what it throws goes to the error handlers. */
export type ExpressOptions<Req extends Request = Request> = HttpOptions<Req, [response: Response]>;

/**
 * Middleware that lets requests pass as far as their limits allow, and answers the others with 429.
 *
 * Clients are distinguished by `req.ip`: set `trust proxy` to the number of proxies in front of this server. If a store
 * cannot be asked, and `onStoreFailure` does not let the request pass, that is a denial with 503. Errors of the charge
 * function go to the error handlers; what routes throw is not touched.
 *
 * @param options what a request is charged and how denials are answered; a limiter or semaphore alone charges addresses
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/express";
 * import express from "express";
 * const app = express();
 * app.use(rateLimit(new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) })));
 */
export function rateLimit<Req extends Request = Request>(
  options: Limit | ExpressOptions<Req>,
): (request: Req, response: Response, next: NextFunction) => void {
  const pass = nodePassage(options, (request: Req, response: Response) => {
    return new ExpressCall(request, response);
  });
  return (request, response, next) => {
    pass(request, response, next, next);
  };
}

class ExpressCall extends NodeCall {
  readonly #request: Request;

  constructor(request: Request, response: Response) {
    super(request, response);
    this.#request = request;
  }

  override get address(): string | undefined {
    return this.#request.ip;
  }

  override trust(): "everybody" | "nobody" | "some" {
    const proxies: unknown = this.#request.app.get("trust proxy");
    if (proxies === true) return "everybody";
    return proxies === false || proxies === 0 || proxies === undefined ? "nobody" : "some";
  }

  override get trustSetting(): string {
    return EXPRESS_TRUST;
  }
}

/** sluice/node: limits before the handlers of node:http and node:http2. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Limit } from "../http/chargeable.js";
import type { HttpOptions } from "../http/gate.js";
import { NodeCall, nodePassage, type NodeRequest, type NodeResponse } from "./node-call.js";

export type * from "../http/index.js";
export type { NodeRequest, NodeResponse } from "./node-call.js";

/** As of every adapter; `onDenied(request, denial, response)`. */
export type NodeOptions<
  Req extends NodeRequest = IncomingMessage,
  Res extends NodeResponse = ServerResponse,
> = HttpOptions<Req, [response: Res]>;

/** Answers requests, as `createServer` takes it. */
export type NodeHandler<Req, Res> = (request: Req, response: Res) => unknown;

/**
 * Puts limits before the handler of a server: it sees the requests that they let pass, the others are answered with 429.
 *
 * Clients are distinguished by the address of their connection; behind proxies say so by `address: clientAddress(...)`. If
 * a store cannot be asked, and `onStoreFailure` does not let the request pass, that is a denial with 503. If the charge
 * function throws, the answer is 500 and the error is a warning of the process. What the handler throws is not touched. For
 * HTTP/2: `rateLimit<Http2ServerRequest, Http2ServerResponse>(...)`.
 *
 * @param options what a request is charged and how denials are answered; a limiter or semaphore alone charges addresses
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/node";
 * import { createServer } from "node:http";
 * const limited = rateLimit(new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) }));
 * const server = createServer(limited((_request, response) => response.end("hello")));
 * console.log(server.listening); // false
 */
export function rateLimit<
  Req extends NodeRequest = IncomingMessage,
  Res extends NodeResponse = ServerResponse,
>(
  options: Limit | NodeOptions<Req, Res>,
): (handler: NodeHandler<Req, Res>) => NodeHandler<Req, Res> {
  const pass = nodePassage(options, (request: Req, response: Res) => {
    return new NodeCall(request, response);
  });
  return (handler) => (request, response) =>
    pass(
      request,
      response,
      () => handler(request, response),
      (error) => {
        sayFailed(error, response);
      },
    );
}

/** Node has no error handler: an error that is thrown here would end the process. */
function sayFailed(error: Error, response: NodeResponse): void {
  process.emitWarning(error);
  if (response.headersSent) return;
  response.statusCode = 500;
  response.setHeader("Content-Type", "text/plain");
  response.end("Internal Server Error");
}

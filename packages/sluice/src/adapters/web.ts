/** sluice/web: limits for whatever turns a Request into a Response. Needs no Node. */
import type { Limit } from "../http/chargeable.js";
import { type AnswerFields, PROBLEM_TYPE, writeFields } from "../http/answer.js";
import { type HttpCall, type HttpOutcome, pathOf } from "../http/call.js";
import { defaultBody, type Denial } from "../http/denial.js";
import { createGate, type HttpOptions, optionsOf } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import type { Fields } from "../headers/field-writers.js";
import { releaseWithBody } from "../outgoing/body.js";

export type * from "../http/index.js";

/** As of every adapter; `onDenied` makes the answer, and the fields are written into it. */
export interface WebOptions<Req extends Request = Request> extends HttpOptions<Req> {
  /** Answers a denied request instead of the default problem document. */
  readonly onDenied?: ((request: Req, denial: Denial) => Response | Promise<Response>) | undefined;
}

/** What a Request does not tell, but the runtime does. */
export interface WebConnection {
  /** The address of the connection: `server.requestIP(request)` in Bun, `info.remoteAddr` in Deno. */
  readonly address?: string | undefined;
  /** Keeps the runtime awake until something is done, if it would sleep after the answer: `ctx.waitUntil`. */
  readonly waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/** Limits, in the two forms in which servers take them. */
export interface WebRateLimit<Req extends Request> {
  /** The handler, behind the limits; further arguments are passed on. Its errors are thrown on. */
  readonly limited: <R extends Req, Rest extends unknown[], Res extends Response | undefined>(
    handler: (request: R, ...rest: Rest) => Res | Promise<Res>,
  ) => (request: R, ...rest: Rest) => Promise<Res | Response>;
  /** The answer of `next`, if the limits let the request pass. Its errors are thrown on. */
  readonly limit: <Res extends Response | undefined>(
    request: Req,
    next: () => Res | Promise<Res>,
    connection?: WebConnection,
  ) => Promise<Res | Response>;
}

/**
 * Limits for handlers of Next, Bun, Deno, Workers, SvelteKit, Astro and React Router.
 *
 * A Request has no address: name it by `limit(request, next, { address })`, or by the option `address` if your own proxy
 * writes it into a field. Without one, charging it is an error. A charge is settled, and a Semaphore's permit is released,
 * when the body of the answer has been read or cancelled.
 *
 * @param options what a request is charged and how denials are answered; a limiter or semaphore alone charges addresses
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/web";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
 * const { limit } = rateLimit(limiter);
 * const request = new Request("https://example.org/");
 * const serve = () => limit(request.clone(), () => new Response("hello"), { address: "192.0.2.7" });
 * console.log((await serve()).status); // 200
 * const refused = await serve();
 * console.log(refused.status, refused.headers.get("Retry-After")); // 429 3600
 */
export function rateLimit<Req extends Request = Request>(
  options: Limit | WebOptions<Req>,
): WebRateLimit<Req> {
  const gate = createGate<Req>(options);
  const { onDenied = problemResponse } = optionsOf(options) as WebOptions<Req>;
  const limit: WebRateLimit<Req>["limit"] = async (request, next, connection = {}) => {
    const pass = await gate.enter(request, new WebCall(request, connection.address));
    if (pass.denial !== undefined) {
      return withFields(request, await onDenied(request, pass.denial), pass.fields);
    }
    return answer(request, next, pass, connection);
  };
  return {
    limit,
    limited:
      (handler) =>
      (request, ...rest) =>
        limit(request, () => handler(request, ...rest)),
  };
}

class WebCall implements HttpCall {
  readonly address: string | undefined;
  readonly #request: Request;

  constructor(request: Request, address: string | undefined) {
    this.#request = request;
    this.address = address;
  }

  get method(): string {
    return this.#request.method;
  }

  get path(): string | undefined {
    return pathOf(this.#request.url);
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined;
  }

  gone(): AbortSignal {
    return this.#request.signal;
  }
}

async function answer<Res extends Response | undefined>(
  request: Request,
  next: () => Res | Promise<Res>,
  { fields, settle }: Pass,
  { waitUntil }: WebConnection,
): Promise<Res | Response> {
  const report = (outcome: HttpOutcome): void => {
    const settled = settle?.(outcome);
    if (settled !== undefined) waitUntil?.(settled);
  };
  let response: Res;
  try {
    response = await next();
  } catch (error) {
    // Some frameworks throw answers: a redirect, or an error that is one.
    const isAnswer = error instanceof Response;
    report({ status: statusOfError(error), aborted: isGone(request, settle), error });
    throw isAnswer ? withFields(request, error, fields) : error;
  }
  // Of a connection that has become something else: Bun has no answer then, and Deno knows its own again.
  if (response === undefined || response.status === 101) {
    report({ status: 101, aborted: false });
    return response;
  }
  const whole = settle === undefined ? response : held(request, response, report);
  return withFields(request, whole, fields);
}

/** Read only if it matters: a runtime may create the signal at the first read. */
function isGone(request: Request, settle: Pass["settle"]): boolean {
  return settle !== undefined && request.signal.aborted;
}

/** The answer, whose end is reported: that of its body, or the client's leave. */
function held(
  request: Request,
  response: Response,
  report: (outcome: HttpOutcome) => void,
): Response {
  const { status } = response;
  // A body after HEAD is never read, nor is one whose client has left.
  if (request.signal.aborted || request.method === "HEAD" || response.body === null) {
    report({ status, aborted: request.signal.aborted });
    return response;
  }
  const left = (): void => {
    report({ status, aborted: true });
  };
  try {
    const whole = releaseWithBody(response, (how, error) => {
      // This keeps a reference to the request: if it is collected, some runtimes forget to abort its signal.
      request.signal.removeEventListener("abort", left);
      const aborted = how === "cancelled" || how === "dropped";
      report({ status, aborted, ...(how === "failed" && { error }) });
    });
    request.signal.addEventListener("abort", left, { once: true });
    return whole;
  } catch (error) {
    // The body has been read already: no runtime can send it.
    report({ status: 500, aborted: false, error });
    throw error;
  }
}

/** Answers of `fetch`, and redirects, have fields that cannot be changed: then a copy has them. */
function withFields(request: Request, response: Response, fields: Fields): Response {
  try {
    writeFields(fields, exposing(request, response));
    return response;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    if (response.type === "error") return response;
    const copy = new Response(response.body, response);
    writeFields(fields, exposing(request, copy));
    return copy;
  }
}

/** CORS middleware mostly wraps this one, so its fields are not set yet at this point. */
function exposing(request: Request, { headers }: Response): AnswerFields {
  return {
    get: (name) =>
      headers.get(name) ??
      (name === "Access-Control-Allow-Origin" ? request.headers.get("Origin") : null),
    set: (name, value) => {
      headers.set(name, value);
    },
  };
}

/** What a framework will make of it: errors of HTTP libraries say so themselves. */
function statusOfError(error: unknown): number {
  if (typeof error !== "object" || error === null) return 500;
  const { status } = error as { readonly status?: unknown };
  return typeof status === "number" && Number.isInteger(status) ? status : 500;
}

function problemResponse(_request: Request, denial: Denial): Response {
  const headers = { "Content-Type": PROBLEM_TYPE };
  return new Response(defaultBody(denial), { status: denial.status, headers });
}

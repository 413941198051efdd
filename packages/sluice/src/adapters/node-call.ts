/** What frameworks on node:http and node:http2 have in common: their requests, their answers, and how those end. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Limit } from "../http/chargeable.js";
import { type AnswerFields, PROBLEM_TYPE, writeFields } from "../http/answer.js";
import { type HttpCall, type HttpOutcome, pathOf } from "../http/call.js";
import { defaultBody, type Denial } from "../http/denial.js";
import { createGate, type HttpOptions, optionsOf } from "../http/gate.js";
import type { Pass } from "../http/pass.js";

/** A request of node:http or node:http2. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
/** A response of node:http or node:http2. */
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** The setting of Express; here, because Nest runs on it too. */
export const EXPRESS_TRUST = 'app.set("trust proxy", 1) for one of yours';

/** A request to a server of Node's, for the gate. Its expensive properties are computed when they are read. */
export class NodeCall implements HttpCall {
  readonly #request: NodeRequest;
  readonly #response: NodeResponse;

  constructor(request: NodeRequest, response: NodeResponse) {
    this.#request = request;
    this.#response = response;
  }

  get method(): string {
    return this.#request.method ?? "GET";
  }

  /** Routers that are mounted take a part of it away, and keep the whole beside. */
  get path(): string | undefined {
    const request = this.#request as NodeRequest & { readonly originalUrl?: string | undefined };
    return pathOf(request.originalUrl ?? request.url);
  }

  /** The address of the connection: Node trusts no forwarded one. */
  get address(): string | undefined {
    return this.#request.socket.remoteAddress;
  }

  header(name: string): string | undefined {
    return joined(this.#request.headers[name]);
  }

  trust(): "everybody" | "nobody" | "some" {
    return "nobody";
  }

  get trustSetting(): string | undefined {
    return undefined;
  }

  gone(): AbortSignal {
    const response = this.#response;
    if (isClosed(response)) return AbortSignal.abort();
    const controller = new AbortController();
    whenOver(response, () => {
      controller.abort();
    });
    return controller.signal;
  }
}

/** Handles a request: `go` is called if it may go on, `fail` if that cannot be found out. */
export type NodePassage<Req, Res> = (
  request: Req,
  response: Res,
  go: () => unknown,
  fail: (error: Error) => unknown,
) => unknown;

/**
 * A gate for requests that are answered by Node's own means, each described by `callOf`.
 *
 * @throws InvalidOptionError
 */
export function nodePassage<Req extends NodeRequest, Res extends NodeResponse>(
  options: Limit | HttpOptions<Req, [response: Res]>,
  callOf: (request: Req, response: Res) => HttpCall,
): NodePassage<Req, Res> {
  const gate = createGate(options);
  const { onDenied = sendProblem } = optionsOf(options);
  const answer = (pass: Pass, request: Req, response: Res): boolean | Promise<boolean> => {
    // A timeout of the application may have answered while the store was asked.
    const isAnswered = response.headersSent;
    if (!isAnswered) writeFields(pass.fields, fieldsOfNode(response));
    if (pass.settle !== undefined) onOutcome(response, pass.settle);
    if (pass.denial === undefined) return true;
    const refused = isAnswered ? undefined : onDenied(request, pass.denial, response);
    return refused instanceof Promise ? refused.then(() => false) : false;
  };
  const ask = (request: Req, response: Res): boolean | Promise<boolean> => {
    const pass = gate.enter(request, callOf(request, response));
    return pass instanceof Promise
      ? pass.then((known) => answer(known, request, response))
      : answer(pass, request, response);
  };
  return (request, response, go, fail) => passing(ask, request, response, go, fail);
}

/** Calls `go` if `ask` says, at once or later, that the request may go on, and `fail` if it throws. */
export function passing<Req, Res>(
  ask: (request: Req, response: Res) => boolean | Promise<boolean>,
  request: Req,
  response: Res,
  go: () => unknown,
  fail: (error: Error) => unknown,
): unknown {
  let isOn: boolean | Promise<boolean>;
  try {
    isOn = ask(request, response);
  } catch (error) {
    return fail(asError(error));
  }
  // What comes behind is not ours: none of its errors may come back here.
  if (isOn instanceof Promise) {
    return isOn.then(
      (known) => (known ? go() : undefined),
      (error: unknown) => fail(asError(error)),
    );
  }
  return isOn ? go() : undefined;
}

/**
 * What was thrown, as an error: nothing, or a word such as "route", which frameworks take for no error at all, would let
 * the request pass.
 */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`thrown: ${String(thrown)}`, { cause: thrown });
}

/** Answers a denial with a problem body. */
export function sendProblem(_request: unknown, denial: Denial, response: NodeResponse): void {
  const body = defaultBody(denial);
  response.statusCode = denial.status;
  response.setHeader("Content-Type", PROBLEM_TYPE);
  response.setHeader("Content-Length", Buffer.byteLength(body));
  response.end(body);
}

/** As Node and Fastify keep them: to make a name so each time costs more than to look for its field. */
const LOWER_CASE: ReadonlyMap<string, string> = new Map(
  [
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Cache-Control",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
  ].map((name) => [name, name.toLowerCase()]),
);

/** The same name, in lower case if it is one of those that are looked up in every answer. */
export function fieldKey(name: string): string {
  return LOWER_CASE.get(name) ?? name;
}

/** The fields of an answer of Node's that is not sent yet. */
export function fieldsOfNode(response: NodeResponse): AnswerFields {
  return {
    get: (name) => {
      const value = response.getHeader(fieldKey(name));
      return typeof value === "number" ? String(value) : joined(value);
    },
    set: (name, value) => {
      response.setHeader(name, value);
    },
  };
}

/** Reports how a request ended, once it has: also if its client had left before this listened. */
export function onOutcome(
  response: NodeResponse,
  settle: (outcome: HttpOutcome) => Promise<void>,
): void {
  const ended = (): void => {
    void settle({ status: response.statusCode, aborted: isCutShort(response) });
  };
  if (isClosed(response)) ended();
  else whenOver(response, ended);
}

/**
 * Calls `over` once, as soon as no more of an answer will be sent. Over HTTP/2 "close" may never come, not even when the
 * connection ends: if the request's body is left unread, or the client resets its stream with the code 0 while data waits.
 */
function whenOver(response: NodeResponse, over: () => void): void {
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    over();
  };
  response.once("close", end);
  if (!("stream" in response)) return;
  const { stream } = response;
  stream.once("aborted", end);
  stream.once("finish", () => {
    if (response.writableEnded) end();
  });
  stream.once("end", () => {
    if (stream.closed) end();
  });
}

function isClosed(response: NodeResponse): boolean {
  if (!("stream" in response)) return response.closed;
  const { stream } = response;
  return stream.closed || (response.writableEnded && stream.writableFinished);
}

/** Of HTTP/2 the response says that it is finished however it ended, and a client may reset a stream with the code 0. */
function isCutShort(response: NodeResponse): boolean {
  return "stream" in response
    ? response.stream.aborted || response.stream.rstCode !== 0
    : !response.writableFinished;
}

function joined(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" || value === undefined ? value : value.join(", ");
}

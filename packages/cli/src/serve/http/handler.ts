/** Answers requests of node:http: finds the route, lets in who may ask, reads the body, and sends what the route says. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { monotonicMs } from "../../clock.js";
import { toNodeHandler } from "../../dashboard/node-handler.js";
import { errorText } from "../log.js";
import type { Service } from "../service.js";
import type { Answer } from "./answer.js";
import { codedBody, isJson, objectIn, readBody, tooLarge } from "./body.js";
import { fieldOf } from "./field.js";
import { HttpProblem, problemOf } from "./problem.js";
import type { Method, Route } from "./route.js";

/** `goOn` tells a client that waits for it to send the body; undefined if it does not wait. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  goOn?: () => void,
) => void;

const EMPTY_JSON: Readonly<Record<string, unknown>> = Object.freeze({});

/** A handler of these routes. No path may appear twice with one method. */
export function httpHandler(service: Service, routes: readonly Route[]): Handler {
  const table = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const byMethod = table.get(route.path) ?? new Map<string, Route>();
    table.set(route.path, byMethod);
    for (const method of route.methods) byMethod.set(method, route);
  }
  const { dashboard } = service;
  const board = dashboard && toNodeHandler(dashboard.board);
  return (request, response, goOn) => {
    let url = request.url as string;
    if (!url.startsWith("/")) {
      url = withoutOrigin(url);
      request.url = url;
    }
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    if (board !== undefined && isOfDashboard(path)) {
      goOn?.();
      void board(request, response);
      return;
    }
    const query = mark < 0 ? "" : url.slice(mark + 1);
    const exchange = new Exchange(service, request, response, query, goOn);
    const byMethod = table.get(path);
    const route = byMethod?.get(request.method as Method);
    if (route !== undefined) exchange.begin(route);
    else if (byMethod === undefined) exchange.fail(new HttpProblem("not-found"));
    else {
      const allowed = [...byMethod.keys()].join(", ");
      exchange.fail(new HttpProblem("method-not-allowed", "", [["Allow", allowed]]));
    }
  };
}

/** A target may be a whole URL (RFC 9112, 3.2.2): what precedes its path is ignored. */
function withoutOrigin(target: string): string {
  const [origin] = /^https?:\/\/[^/?#]*/i.exec(target) ?? [];
  if (origin === undefined) return target;
  const path = target.slice(origin.length);
  return path.startsWith("/") ? path : `/${path}`;
}

function isOfDashboard(path: string): boolean {
  return path === "/" || path.startsWith("/api/");
}

/** One request and its answer. */
class Exchange {
  readonly #service: Service;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #query: string;
  readonly #beganMs: number;
  readonly #goOn: (() => void) | undefined;
  #route: Route | undefined;

  constructor(
    service: Service,
    request: IncomingMessage,
    response: ServerResponse,
    query: string,
    goOn: (() => void) | undefined,
  ) {
    this.#service = service;
    this.#request = request;
    this.#response = response;
    this.#query = query;
    this.#goOn = goOn;
    this.#beganMs = service.log.isDebug ? monotonicMs() : 0;
  }

  begin(route: Route): void {
    this.#route = route;
    const problem = this.#refusal(route);
    if (problem !== undefined) {
      this.fail(problem);
      return;
    }
    if (route.takes === "nothing") {
      this.#run(route, undefined);
      return;
    }
    const most = route.mostBytes ?? this.#service.settings.maxBody;
    if (Number(fieldOf(this.#request, "content-length") ?? 0) > most) {
      this.fail(tooLarge(most));
      return;
    }
    this.#goOn?.();
    readBody(this.#request, most, (body, why) => {
      if (body === undefined) this.fail(why);
      else this.#run(route, body);
    });
  }

  /** Answers that it did not go well. An unexpected error is written only to the log. */
  fail(error: unknown): void {
    let problem = problemOf(error);
    if (problem === undefined) {
      const path = this.#route?.path;
      this.#service.log.error("request failed", { path, why: errorText(error) });
      problem = new HttpProblem("internal");
    }
    this.#send(problem.answer());
  }

  /** Why the request is not let in. */
  #refusal({ scopes, takes }: Route): HttpProblem | undefined {
    const { tokens } = this.#service;
    const request = this.#request;
    if (scopes.length > 0 && tokens.areAsked) {
      const holder = tokens.holderOf(fieldOf(request, "authorization"));
      if (holder === undefined) {
        return new HttpProblem("unauthorized", "", [["WWW-Authenticate", 'Bearer realm="sluice"']]);
      }
      if (!scopes.some((scope) => holder.scopes.has(scope))) {
        return new HttpProblem("forbidden", `${scopes.join(" or ")} is needed`);
      }
    }
    if (takes === "nothing") return undefined;
    if (takes === "json" && !isJson(fieldOf(request, "content-type"))) {
      return new HttpProblem("wrong-type");
    }
    const coding = fieldOf(request, "content-encoding");
    return coding === undefined || coding === "identity" ? undefined : codedBody();
  }

  #run(route: Route, bytes: Buffer | undefined): void {
    try {
      const body =
        bytes === undefined ? EMPTY_JSON : route.takes === "json" ? objectIn(bytes) : bytes;
      const answer = route.answer({ request: this.#request, query: this.#query, body });
      if (answer instanceof Promise) {
        answer.then(
          (known) => {
            this.#send(known);
          },
          (error: unknown) => {
            this.fail(error);
          },
        );
      } else this.#send(answer);
    } catch (error) {
      this.fail(error);
    }
  }

  #send({ status, type, fields, body }: Answer): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    const head: string[] = [];
    if (type !== "") head.push("Content-Type", type);
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    head.push("Content-Length", String(length));
    for (const [name, value] of fields) head.push(name, value);
    // A draining service keeps no connection. Node reads and drops the unread rest of a body. If the client still waits to
    // send the body, Node ends the connection, because it cannot know whether the body or the next request comes.
    if (this.#service.isDraining) head.push("Connection", "close");
    response.writeHead(status, head);
    // To HEAD node sends none of it. If each character is a byte, as in nearly all answers, nothing need be encoded.
    if (typeof body === "string") response.end(body, length === body.length ? "latin1" : "utf8");
    else response.end(body);
    if (this.#service.log.isDebug) this.#tell(status);
  }

  #tell(status: number): void {
    const { method } = this.#request;
    const ms = Math.round((monotonicMs() - this.#beganMs) * 1e3) / 1e3;
    this.#service.log.debug("answered", { method, path: this.#route?.path, status, ms });
  }
}

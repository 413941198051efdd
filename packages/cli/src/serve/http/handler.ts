/** Answers requests of node:http: finds the route, lets in who may ask, reads the body, and sends what the route says. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { monotonicMs } from "../../clock.js";
import { toNodeHandler } from "../../dashboard/node-handler.js";
import { errorText } from "../log.js";
import type { Service } from "../service.js";
import type { Answer } from "./answer.js";
import { isJson, objectIn, readBody } from "./body.js";
import { HttpProblem, problemOf } from "./problem.js";
import type { Method, Route } from "./route.js";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const EMPTY_JSON: Readonly<Record<string, unknown>> = Object.freeze({});

/** A handler of these routes. No path may stand there twice with one method. */
export function httpHandler(service: Service, routes: readonly Route[]): Handler {
  const table = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const byMethod = table.get(route.path) ?? new Map<string, Route>();
    table.set(route.path, byMethod);
    for (const method of route.methods) byMethod.set(method, route);
  }
  const { dashboard } = service;
  const board = dashboard && toNodeHandler(dashboard.board);
  return (request, response) => {
    const url = request.url as string;
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    if (board !== undefined && isOfDashboard(path)) {
      void board(request, response);
      return;
    }
    const query = mark < 0 ? "" : url.slice(mark + 1);
    const exchange = new Exchange(service, request, response, query);
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
  #route: Route | undefined;

  constructor(service: Service, request: IncomingMessage, response: ServerResponse, query: string) {
    this.#service = service;
    this.#request = request;
    this.#response = response;
    this.#query = query;
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
    readBody(this.#request, route.mostBytes ?? this.#service.settings.maxBody, (body, why) => {
      if (body === undefined) this.fail(why);
      else this.#run(route, body);
    });
  }

  /** Answers that it did not go well. Anything that nobody foresaw is told to the log alone. */
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
    const { headers } = this.#request;
    if (scopes.length > 0 && tokens.areAsked) {
      const holder = tokens.holderOf(headers.authorization);
      if (holder === undefined) {
        return new HttpProblem("unauthorized", "", [["WWW-Authenticate", 'Bearer realm="sluice"']]);
      }
      if (!scopes.some((scope) => holder.scopes.has(scope))) {
        return new HttpProblem("forbidden", `one of ${scopes.join(", ")} is needed`);
      }
    }
    if (takes === "json" && !isJson(headers["content-type"])) return new HttpProblem("wrong-type");
    return undefined;
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
    // Whoever drains keeps no connection. What was not read of a body, node reads and drops.
    if (this.#service.isDraining) head.push("Connection", "close");
    response.writeHead(status, head);
    // To HEAD node sends none of it.
    response.end(body);
    if (this.#service.log.isDebug) this.#tell(status);
  }

  #tell(status: number): void {
    const { method } = this.#request;
    const ms = Math.round((monotonicMs() - this.#beganMs) * 1e3) / 1e3;
    this.#service.log.debug("answered", { method, path: this.#route?.path, status, ms });
  }
}

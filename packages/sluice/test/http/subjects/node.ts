import { createServer } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { NodeRequest, NodeResponse } from "../../../src/adapters/node-call.js";
import { type NodeHandler, rateLimit } from "../../../src/adapters/node.js";
import type { HttpSubject } from "../../../src/testing/http/subject.js";
import { listenHttp, listenHttp2, SLOW_MS } from "./listen.js";

/** What the responses of both have in common. */
interface Answer {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  write(chunk: string): unknown;
  end(chunk: string): unknown;
}

class Refused extends Error {
  readonly status = 418;
}

const ROUTES: Readonly<Record<string, (answer: Answer) => void>> = {
  "/": (answer) => answer.end("ok"),
  "/cors": (answer) => answer.end("ok"),
  "/unauthorized": (answer) => {
    answer.statusCode = 401;
    answer.end("");
  },
  "/teapot": () => {
    throw new Refused("teapot");
  },
  "/boom": () => {
    throw new Error("boom");
  },
  "/slow": (answer) => {
    setTimeout(() => answer.end("ok"), SLOW_MS);
  },
  "/stream": (answer) => {
    answer.write("first");
    setTimeout(() => answer.end("last"), SLOW_MS);
  },
};

function application(request: NodeRequest, response: NodeResponse): void {
  const answer: Answer = response;
  const route = ROUTES[request.url ?? "/"];
  try {
    answer.setHeader("Content-Type", "text/plain");
    if (route === undefined) answer.statusCode = 404;
    (route ?? ((found) => found.end("")))(answer);
  } catch (error) {
    answer.statusCode = error instanceof Refused ? error.status : 500;
    answer.end("");
  }
}

/** What stands before the limits. */
function behindCors<Req extends NodeRequest, Res extends NodeResponse>(
  handler: NodeHandler<Req, Res>,
): (request: Req, response: Res) => void {
  return (request, response) => {
    if (request.url === "/cors") response.setHeader("Access-Control-Allow-Origin", "*");
    void handler(request, response);
  };
}

export const node: HttpSubject = {
  name: "node",
  start: async (options) => {
    const limited = rateLimit(options);
    return listenHttp(createServer(behindCors(limited(application))));
  },
  startHttp2: async (options) => {
    const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>(options);
    return listenHttp2(createHttp2Server(behindCors(limited(application))));
  },
  weaknesses: {
    errors: "Node takes no errors of handlers: they answer for their own.",
  },
};

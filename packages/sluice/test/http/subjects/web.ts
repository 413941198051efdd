import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Server as HttpServer } from "node:http";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { rateLimit } from "../../../src/adapters/web.js";
import type { HttpSubject, SubjectOptions } from "../../../src/testing/http/subject.js";
import { listenHttp, listenHttp2, SLOW_MS } from "./listen.js";

const TEXT = { headers: { "Content-Type": "text/plain" } };

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const ROUTES: Readonly<Record<string, () => Response | Promise<Response>>> = {
  "/": () => new Response("ok", TEXT),
  "/cors": () => new Response("ok", TEXT),
  "/unauthorized": () => new Response("", { status: 401 }),
  "/teapot": () => {
    // As React Router and SvelteKit do: their errors are answers.
    // oxlint-disable-next-line typescript/only-throw-error
    throw new Response("", { status: 418 });
  },
  "/boom": () => {
    throw new Error("boom");
  },
  "/slow": async () => {
    await after(SLOW_MS);
    return new Response("ok", TEXT);
  },
  "/stream": () => {
    const encoder = new TextEncoder();
    let isFirst = true;
    const body = new ReadableStream({
      pull: async (controller) => {
        if (isFirst) {
          isFirst = false;
          controller.enqueue(encoder.encode("first"));
          return;
        }
        await after(SLOW_MS);
        controller.enqueue(encoder.encode("last"));
        controller.close();
      },
    });
    return new Response(body, TEXT);
  },
};

const missing = (): Response => new Response("", { status: 404 });

/** A server of handlers from Request to Response, in place of a framework's own. */
function listenerOf(options: SubjectOptions): ReturnType<typeof getRequestListener> {
  const { limit } = rateLimit(options as Parameters<typeof rateLimit>[0]);
  return getRequestListener(async (request, env) => {
    const { pathname } = new URL(request.url);
    const address = (env as HttpBindings).incoming.socket.remoteAddress;
    try {
      const response = await limit(request, () => (ROUTES[pathname] ?? missing)(), { address });
      if (pathname === "/cors") response.headers.set("Access-Control-Allow-Origin", "*");
      return response;
    } catch (error) {
      return error instanceof Response ? error : new Response("", { status: 500 });
    }
  });
}

export const web: HttpSubject = {
  name: "web",
  start: async (options) => {
    const listener = listenerOf(options);
    const server: HttpServer = createServer((request, response) => {
      void listener(request, response);
    });
    return listenHttp(server);
  },
  startHttp2: async (options) => {
    const listener = listenerOf(options);
    return listenHttp2(
      createHttp2Server((request, response) => {
        void listener(request, response);
      }),
    );
  },
  weaknesses: {
    fieldsOnThrow: "What is thrown goes on to the runtime, which makes an answer of its own.",
  },
};

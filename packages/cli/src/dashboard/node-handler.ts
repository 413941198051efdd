/** The handler for servers of node:http, and for what is built on them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Dashboard } from "./dashboard.js";

/** What frameworks add to a request: the address as it came, and a body that they have read. */
interface FrameworkRequest extends IncomingMessage {
  readonly originalUrl?: unknown;
  readonly body?: unknown;
}

/**
 * Answers requests of node:http, under any path: `createServer(toNodeHandler(board))`, `app.use("/limits",
 * toNodeHandler(board))` of Express.
 *
 * @throws nothing; the promise resolves when the answer is sent, and never rejects
 * @example
 * import { createServer } from "node:http";
 * import { dashboard, toNodeHandler } from "@sluice/cli/dashboard";
 * import { PolicySet } from "sluice/policies";
 * const policies = new PolicySet({ source: { rules: [] } });
 * const board = dashboard({ policies, token: "a token of 16 characters or more" });
 * const server = createServer(toNodeHandler(board)).listen(0, "127.0.0.1");
 * server.close();
 * await board.close();
 * await policies.close();
 */
export function toNodeHandler(
  board: Dashboard,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    try {
      const { remoteAddress: address } = request.socket;
      await send(await board(requestOf(request), { address }), response);
    } catch {
      // What is no request at all, or a client that has gone.
      if (!response.headersSent) response.writeHead(400).end();
      else response.destroy();
    }
  };
}

function requestOf(incoming: FrameworkRequest): Request {
  const { method = "GET", originalUrl, url = "/", socket } = incoming;
  const scheme = "encrypted" in socket && socket.encrypted === true ? "https" : "http";
  const path = typeof originalUrl === "string" ? originalUrl : url;
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const hasBody = method !== "GET" && method !== "HEAD";
  // The host is what the client says: nothing but the path is taken from the address.
  const address = new URL(`${scheme}://localhost${path.startsWith("/") ? path : "/"}`);
  return new Request(address, {
    method,
    headers,
    ...(hasBody && { body: bodyOf(incoming), duplex: "half" }),
  });
}

/** A framework may have read it already, and parsed it. */
function bodyOf(incoming: FrameworkRequest): ReadableStream | string {
  const { body } = incoming;
  if (!incoming.readableEnded || body === undefined) {
    return Readable.toWeb(incoming) as ReadableStream;
  }
  return typeof body === "string" ? body : JSON.stringify(body);
}

async function send(answer: Response, response: ServerResponse): Promise<void> {
  const body = answer.body === null ? undefined : Buffer.from(await answer.arrayBuffer());
  if (response.destroyed) return;
  const fields = Object.fromEntries(answer.headers);
  const hasLength = answer.status !== 304 && answer.status !== 204;
  const length = hasLength ? { "content-length": body?.length ?? 0 } : {};
  response.writeHead(answer.status, { ...fields, ...length });
  response.end(body);
}

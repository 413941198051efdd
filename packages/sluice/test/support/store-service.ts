/** A small service on loopback that answers POST /v1/store, as the program's does, over any number of stores. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Store } from "../../src/index.js";
import {
  RemoteStore,
  type RemoteStoreOptions,
  type StoreHandler,
  storeHandler,
  type StoreHandlerOptions,
} from "../../src/remote/index.js";

export interface StoreService {
  readonly server: Server;
  readonly port: number;
  /** Requests that came so far. */
  readonly requests: () => number;
  /** The URL under which this store is asked. */
  mount(store: Store, options?: StoreHandlerOptions): string;
  /** A RemoteStore that asks this store. */
  remote(store: Store, options?: Omit<RemoteStoreOptions, "url">): RemoteStore;
  close(): Promise<void>;
}

/** The store scope's token of all services here. */
export const STORE_TOKEN = "the-token-of-the-tests";

export async function startStoreService(port = 0): Promise<StoreService> {
  const handlers: StoreHandler[] = [];
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    void answer(handlers, request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const mount: StoreService["mount"] = (store, options) => {
    handlers.push(storeHandler(store, options));
    return `http://127.0.0.1:${bound}/${handlers.length - 1}`;
  };
  return {
    server,
    port: bound,
    requests: () => requests,
    mount,
    remote: (store, options = {}) =>
      new RemoteStore({ token: STORE_TOKEN, requestTimeout: "60s", ...options, url: mount(store) }),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  handlers: readonly StoreHandler[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  if (request.headers.authorization !== `Bearer ${STORE_TOKEN}`) {
    response.writeHead(401).end();
    return;
  }
  const [, place = "", ...path] = (request.url ?? "").split("/");
  const handler = handlers[Number(place)];
  if (handler === undefined || path.join("/") !== "v1/store") {
    response.writeHead(404).end();
    return;
  }
  const { status, contentType, body } = await handler.handle(Buffer.concat(chunks), gone.signal);
  const length = Buffer.byteLength(body);
  response.writeHead(status, { "content-type": contentType, "content-length": length }).end(body);
}

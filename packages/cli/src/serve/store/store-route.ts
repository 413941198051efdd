/** POST /v1/store: the store of the service, for the library's RemoteStore. */
import { storeHandler } from "sluice/remote";
import { whileConnected } from "../http/connected.js";
import type { Route } from "../http/route.js";
import type { Service } from "../service.js";

/** A published document of a MiB fits, as JSON writes it. */
const MOST_BYTES = 2 ** 21;

/** Holders of the scope may read and change all that the store holds, so no other scope allows it. */
export function storeRoute(service: Service): Route {
  const handler = storeHandler(service.store, { maxBodyBytes: MOST_BYTES });
  // Those that wait for notices would keep the service from its end.
  service.mount({
    close: async () => {
      handler.close();
    },
  });
  return {
    path: "/v1/store",
    methods: ["POST"],
    scopes: ["store"],
    takes: "bytes",
    mostBytes: MOST_BYTES,
    async answer({ request, body }) {
      const {
        status,
        contentType,
        body: text,
      } = await whileConnected(request, (signal) => handler.handle(body as Uint8Array, signal));
      return { status, type: contentType, fields: [], body: text };
    },
  };
}

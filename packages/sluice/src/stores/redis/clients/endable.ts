/**
 * Ends clients of node-redis for good. Version 4 has no `destroy`. And in every version a client that is ended while it
 * connects keeps the connection which it then gets: it does not look whether it was ended meanwhile.
 */

/** Only what is used of node-redis. */
export interface Endable {
  readonly isReady?: boolean;
  on(event: "connect" | "error" | "reconnecting", listener: () => void): unknown;
  connect(): Promise<unknown>;
  destroy?(): unknown;
  disconnect?(): unknown;
}

/** Makes `destroy` end this client whatever it is about, and whether or not it has ended by itself. */
export function endable<Client extends Endable>(client: Client): Client & { destroy(): void } {
  const connect = client.connect.bind(client);
  const endNow = client.destroy?.bind(client) ?? client.disconnect?.bind(client);
  // The clients of a Cluster and of Sentinels have several connections, and no events that tell enough of them.
  const isOne = !("nodeByAddress" in client) && !("getSentinelNode" in client);
  let isEnded = false;
  let isConnecting = isOne;
  const end = (): void => {
    if (isConnecting) return;
    void (async () => endNow?.())().catch(() => {});
  };
  const settled = (): void => {
    isConnecting = false;
    // Not before the client has got to what it does in this event: else its first commands fail where nobody looks.
    if (isEnded) queueMicrotask(end);
  };
  client.on("connect", settled);
  client.on("error", settled);
  client.on("reconnecting", () => {
    // Some versions emit this when they have connected, too.
    isConnecting = isOne && client.isReady !== true;
  });
  return Object.assign(client, {
    connect: async () => {
      const connected = await connect();
      // The nodes of a Cluster that were found meanwhile.
      if (isEnded) settled();
      return connected;
    },
    destroy: () => {
      isEnded = true;
      end();
    },
  });
}

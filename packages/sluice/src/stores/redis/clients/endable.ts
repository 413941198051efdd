/**
 * Ends clients of node-redis so that they stay ended. Version 4 has no `destroy`. And in every version a client that is
 * ended while it connects keeps the connection which it then gets: it does not check whether it has been ended.
 */

/** Only what is used of node-redis. */
export interface Endable {
  readonly isReady?: boolean;
  on(event: "connect" | "error" | "reconnecting", listener: () => void): unknown;
  connect(): Promise<unknown>;
  destroy?(): unknown;
  disconnect?(): unknown;
}

/** Makes `destroy` end this client whatever it is doing, also if it has already ended. */
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
    // Only after the client has handled this event: else its first commands fail as unhandled rejections.
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
      // The nodes of a Cluster that were found in the meantime.
      if (isEnded) settled();
      return connected;
    },
    destroy: () => {
      isEnded = true;
      end();
    },
  });
}

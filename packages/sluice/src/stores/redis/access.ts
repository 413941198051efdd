/** How a store reaches its server: through a client that was passed in, or its own connection. */
import type { Closing } from "../../core/closing.js";
import { InvalidOptionError } from "../../core/errors.js";
import { HIDDEN, InWords } from "../../core/shown.js";
import type { AskScript, NodeOf } from "./clients/client.js";
import { adapterOf, type RedisClientLike } from "./clients/index.js";
import { CONNECT_OPTIONS, type ConnectOptions, connectorTo } from "./connect.js";
import { LazyConnection } from "./lazy-connection.js";

/** How Redis is reached without a client of yours. */
export interface AccessOptions extends ConnectOptions {
  /** A connected client of redis, ioredis, iovalkey, valkey-glide, Upstash or Bun; or a function that runs a script. */
  readonly client?: RedisClientLike | undefined;
  /**
   * Instead of `client`: redis://[user:password@]host[:port][/db], or rediss:// for TLS. The first call connects, with
   * whichever of `redis` and `ioredis` is installed; if that fails, it is a failure of the store, and a later call tries
   * again. `cluster`, `tls`, `username` and `password` belong to it.
   */
  readonly url?: string | undefined;
}

export interface Access {
  readonly ask: AskScript;
  readonly isCluster: boolean;
  /** The node of a slot, if a Cluster's client shows it. */
  readonly nodeOf: NodeOf | undefined;
  /** Whether the client never sends again what may have reached the server. */
  readonly sendsOnce: () => boolean;
  /** Whether a command that the client is given now is on its way when the client returns. */
  readonly writesAtOnce: () => boolean;
  /** Undefined with a client that was passed in. */
  readonly lazy: LazyConnection | undefined;
  /** Undefined until a connection of the store's own is open. */
  readonly clientNow: () => unknown;
}

/** @throws InvalidOptionError */
export function accessBy(options: AccessOptions, closing: Closing): Access {
  const { client, url } = options;
  if (client === undefined && "url" in options) return byUrl(options, closing);
  if (url !== undefined) {
    throw new InvalidOptionError("url", HIDDEN, "no client beside it: one of the two");
  }
  const stray = Object.keys(CONNECT_OPTIONS.checks).find(
    (name) => options[name as keyof ConnectOptions] !== undefined,
  );
  if (stray !== undefined) {
    const allowed = "a url beside it; a client has options of its own";
    throw new InvalidOptionError(stray, HIDDEN, allowed);
  }
  if (client === undefined) {
    throw new InvalidOptionError("client", new InWords("none"), "a client, or a url in its place");
  }
  const adapter = adapterOf(client);
  const cluster = adapter.clusterOf?.(client);
  return {
    ask: adapter.runnerOf(client),
    isCluster: cluster !== undefined,
    nodeOf: cluster?.nodeOf,
    sendsOnce: () => adapter.sendsOnce?.(client) === true,
    writesAtOnce: adapter.writesAtOnce?.bind(adapter, client) ?? never,
    lazy: undefined,
    clientNow: () => client,
  };
}

function byUrl(options: AccessOptions, closing: Closing): Access {
  const lazy = new LazyConnection(connectorTo(options.url, options), closing);
  const isCluster = options.cluster === true;
  return {
    ask: lazy.ask,
    isCluster,
    nodeOf: isCluster ? lazy.nodeOf : undefined,
    sendsOnce: lazy.sendsOnce,
    writesAtOnce: lazy.writesAtOnce,
    lazy,
    clientNow: () => lazy.client,
  };
}

function never(): boolean {
  return false;
}

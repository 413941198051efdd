/**
 * The port for Redis clients: what Sluice needs of one. Everything that is known of one client is in one file of this
 * folder. A client is recognized by the shape of the object that the user made, so none is imported.
 */
import type { ConnectablePackage } from "./own-connection.js";

/** Runs a script by SHA-1 and keeps it loaded; the reply is a flat array of integers. */
export type RunScript = (
  sha: string,
  source: string,
  keys: readonly string[],
  args: readonly string[],
) => Promise<unknown>;

/**
 * Runs a script as RunScript does, and tells one of two functions the outcome, once: without another promise, which would
 * be one more turn between the client's reply and the caller. What it throws was not sent.
 */
export type AskScript = (
  sha: string,
  source: string,
  keys: readonly string[],
  args: readonly string[],
  replied: (reply: unknown) => void,
  failed: (error: unknown) => void,
) => void;

/** A method of a client, whatever it takes. */
export type ClientMethod = (...args: never[]) => unknown;

/** Address of a slot's master, "host:port"; "" if the client does not know it. */
export type NodeOf = (slot: number) => string;

/** A Cluster as its client shows it. */
export interface ClusterView {
  /**
   * Reads the table that the client keeps up to date itself, again for each call, because slots move. Undefined for
   * a client that does not show its table.
   */
  readonly nodeOf: NodeOf | undefined;
}

/** Why a script was refused as a whole; each reason proves that nothing was done. */
export type RefusalReason =
  /** The slot moves to another node, and its keys are not in one place. */
  | "movingSlot"
  /** The keys are in several slots. */
  | "severalSlots"
  /** This user may not access one of the keys. */
  | "unreachableKey";

/** A server behind a client, for questions about the server itself. */
export interface ServerLink {
  /** "host:port"; "" if the client does not say. */
  readonly address: string;
  /** Sends any command, and resolves with what the client makes of the reply. */
  send(command: readonly string[]): Promise<unknown>;
}

/** An option of a client because of which calls count twice, late, or hang. */
export interface ClientHazard {
  /** As in the client's documentation, with the value that is better: `enableOfflineQueue: false`. */
  readonly better: string;
  /** What happens otherwise. */
  readonly harm: string;
  readonly severity: "note" | "warning";
}

/** One kind of client. */
export interface ClientAdapter<Client = object> {
  /** Whether `client` is one of this kind, by its methods alone. */
  fits(client: unknown): client is Client;
  /** How to run scripts through `client`. */
  runnerOf(client: Client): AskScript;
  /** Undefined unless `client` says that it talks to a Cluster. */
  clusterOf?(client: Client): ClusterView | undefined;
  /** The refusal in an error that this client words in its own way, instead of passing on the server's words. */
  refusalIn?(error: Error): RefusalReason | undefined;
  /**
   * Whether what may have reached the server is never sent again, however the connection ends; as the client's options are
   * now. Undefined if that is not known.
   */
  sendsOnce?(client: Client): boolean;
  /** Whether a command that the client is given now is on its way when the client returns. Undefined if it writes later. */
  writesAtOnce?(client: Client): boolean;
  /** Whether this error says that the client has as many commands under way as it takes: then none was sent. */
  saysQueueIsFull?(error: Error): boolean;
  /** The servers behind `client`: of a Cluster its masters. Undefined for clients that run scripts and nothing else. */
  serversOf?(client: Client): Promise<readonly ServerLink[]>;
  /** The options of `client`, as they are now, that docs/redis.md would set otherwise. */
  hazardsOf?(client: Client): readonly ClientHazard[];
  /** Only for clients that can subscribe through a duplicate of themselves. */
  readonly subscriptions?: SubscriptionAdapter;
  /** Only for clients that a RedisStore can open itself. */
  readonly connectable?: ConnectablePackage;
}

export type MessageListener = (message: string, channel: string) => void;

/** A client that subscribes emits events. */
export interface SubscribingClient {
  on(event: string, listener: (...args: never[]) => void): unknown;
  removeListener(event: string, listener: (...args: never[]) => void): unknown;
}

/** How one kind of client subscribes to channels; `sharded` = to those of a Cluster's slots. */
export interface SubscriptionAdapter<Client extends SubscribingClient = SubscribingClient> {
  fits(client: unknown): client is Client;
  /** A second connection like the client's, which tries for ever to connect. */
  duplicate(client: Client, sharded: boolean): Client;
  /** Begins to connect a duplicate; its failures show in its events. */
  connect(duplicate: Client): void;
  /** For clients that have one listener for all channels; returns what removes it. */
  listen?(client: Client, sharded: boolean, listener: MessageListener): () => void;
  /** Resolves once the channel is subscribed; `listener` is for clients that have one for each channel. */
  subscribe(
    client: Client,
    sharded: boolean,
    channel: string,
    listener: MessageListener,
  ): Promise<unknown>;
  unsubscribe(
    client: Client,
    sharded: boolean,
    channel: string,
    listener: MessageListener,
  ): Promise<unknown>;
  /** Ends a duplicate; it does not reconnect. */
  end(duplicate: Client): void;
  /** Whether the client will not connect again. */
  hasGivenUp(client: Client): boolean;
  /** Events after which messages may be lost. */
  lossEvents(client: Client): readonly string[];
  /** Events after which it is worth subscribing again. */
  readonly recoveryEvents: readonly string[];
}

/** Whether `client` is an object with these methods. Functions may have them too, but run scripts by themselves. */
export function isObjectWith(client: unknown, ...methods: readonly string[]): boolean {
  return typeof client === "object" && hasMethods(client, methods);
}

/** Whether `client` has these methods. A subscriber of node-redis is callable in some versions. */
export function hasMethods(client: unknown, methods: readonly string[]): boolean {
  if ((typeof client !== "object" && typeof client !== "function") || client === null) return false;
  const known = client as Readonly<Record<string, unknown>>;
  return methods.every((method) => typeof known[method] === "function");
}

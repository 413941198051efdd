/**
 * One port for every Redis client, by the shape of the object that the user made: nothing is imported.
 * Each adapter turns (script, keys, arguments) into its client's EVALSHA, with EVAL on first use and
 * where the server does not know the script (SCRIPT FLUSH, failover to a server that never saw it).
 */
import { InvalidOptionError } from "../../core/errors.js";
import { nodesOf } from "./nodes.js";
import { slotOf, tagIn } from "./slot.js";

/** Runs a script by SHA-1 and keeps it loaded; the reply is a flat array of integers. */
export type RunScript = (
  sha: string,
  source: string,
  keys: readonly string[],
  args: readonly string[],
) => Promise<unknown>;

type Method = (...args: never[]) => unknown;

/** node-redis: client, Sentinel, pool or Cluster. */
export interface NodeRedisLike {
  evalSha: Method;
  eval: Method;
}
/** ioredis and iovalkey: Redis or Cluster. */
export interface IoRedisLike {
  evalsha: Method;
  eval: Method;
  defineCommand: Method;
}
/** @upstash/redis. */
export interface UpstashLike {
  evalsha: Method;
  eval: Method;
  createScript: Method;
}
/** @valkey/valkey-glide: client or Cluster client. */
export interface GlideLike {
  customCommand: Method;
}
/** Bun's own client. */
export interface BunLike {
  send: Method;
}

/** Any of the clients that Sluice knows, or a function of one's own. */
export type RedisClientLike =
  | NodeRedisLike
  | IoRedisLike
  | UpstashLike
  | GlideLike
  | BunLike
  | RunScript;

type Call = (...args: unknown[]) => Promise<unknown>;
type Client = Readonly<Record<string, unknown>>;

interface Adapter {
  /** The method that gives the client away. */
  readonly mark: string;
  /** The client's EVALSHA and EVAL: `script` is a SHA-1 or a source. */
  call(
    client: Client,
    command: "EVALSHA" | "EVAL",
    script: string,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown>;
}

const method =
  (client: Client, name: string): Call =>
  (...args) =>
    (client[name] as Call).apply(client, args);

/** In the order of detection: some clients have the mark of a later one too. */
const ADAPTERS: readonly Adapter[] = [
  {
    mark: "customCommand",
    call: (client, command, script, keys, args) =>
      method(client, "customCommand")([command, script, String(keys.length), ...keys, ...args]),
  },
  {
    mark: "evalSha",
    call: (client, command, script, keys, args) =>
      method(client, command === "EVAL" ? "eval" : "evalSha")(script, { keys, arguments: args }),
  },
  {
    mark: "defineCommand",
    call: (client, command, script, keys, args) =>
      method(client, command.toLowerCase())(script, keys.length, ...keys, ...args),
  },
  {
    mark: "createScript",
    call: (client, command, script, keys, args) =>
      method(client, command.toLowerCase())(script, keys, args),
  },
  {
    mark: "send",
    call: (client, command, script, keys, args) =>
      method(client, "send")(command, [script, String(keys.length), ...keys, ...args]),
  },
];

/** Not after a bracket: Upstash's errors end with the command, whose key may say anything. */
const UNKNOWN_SCRIPT = /^[^[]*(?:NOSCRIPT|NoScriptError)/;

/** How to run scripts through `client`. */
export function scriptRunner(client: unknown): RunScript {
  if (typeof client === "object" && client !== null) {
    const known = client as Client;
    const adapter = ADAPTERS.find(({ mark }) => typeof known[mark] === "function");
    if (adapter !== undefined) return withReload(adapter, known);
  }
  // node-redis makes clients callable in some versions, so functions are tried last.
  if (typeof client === "function") return client as RunScript;
  throw new InvalidOptionError(
    "client",
    client,
    "a client of redis, ioredis, iovalkey, @valkey/valkey-glide, @upstash/redis or Bun, " +
      "or a function (sha, source, keys, args) => Promise",
  );
}

/**
 * The first time a script goes in full, to each node of a Cluster: asking whether the server knows it would cost
 * a round trip, in which calls that come later, with a script that it does know, would go first.
 */
function withReload(adapter: Adapter, client: Client): RunScript {
  const sent = new Set<string>();
  const nodeOf = nodesOf(client);
  const isFirst = (sha: string, keys: readonly string[]): boolean => {
    const node = nodeOf?.(slotOf(tagIn(keys[0] ?? "")));
    // A Cluster's client that has no table yet sends it to any node.
    if (node === "") return true;
    const place = `${sha} ${node ?? ""}`;
    if (sent.has(place)) return false;
    sent.add(place);
    return true;
  };
  return async (sha, source, keys, args) => {
    if (isFirst(sha, keys)) return adapter.call(client, "EVAL", source, keys, args);
    try {
      return await adapter.call(client, "EVALSHA", sha, keys, args);
    } catch (error) {
      if (!UNKNOWN_SCRIPT.test(String(error))) throw error;
      return adapter.call(client, "EVAL", source, keys, args);
    }
  };
}

/** Whether the client talks to a Cluster, where the keys of a script must share a slot. */
export function isCluster(client: unknown): boolean {
  if (typeof client !== "object" || client === null) return false;
  const { isCluster: ioredis, nodeByAddress: nodeRedis } = client as Client;
  return (
    ioredis === true || nodeRedis !== undefined || client.constructor.name === "GlideClusterClient"
  );
}

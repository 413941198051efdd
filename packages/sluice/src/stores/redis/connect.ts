/** Opens a connection of the store's own, with whichever client is installed. */
import { startTimer } from "../../core/clock.js";
import { InvalidOptionError, StoreUnavailableError } from "../../core/errors.js";
import { checkBoolean, checkOptions } from "../../core/options.js";
import type { RedisClientLike } from "./client.js";
import { disconnectForGood } from "./disconnect.js";
import { type NodeRedisClient, ReconnectingClient } from "./reconnecting-client.js";

export interface ConnectOptions {
  /** The URL names one node of a Cluster. */
  readonly cluster?: boolean;
  /** true, or options for node:tls. A rediss:// URL turns TLS on by itself. */
  readonly tls?: boolean | object;
  /** In place of those in the URL. */
  readonly username?: string;
  readonly password?: string;
}

export interface Connection {
  readonly client: RedisClientLike;
  close(): Promise<void>;
}

/** A checked URL with credentials and TLS taken out of it. */
interface Target {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: object | undefined;
  readonly cluster: boolean;
}

type Open = (module: unknown, target: Target) => Promise<Connection>;

const DRIVERS: readonly { readonly name: string; readonly open: Open }[] = [
  { name: "redis", open: openNodeRedis },
  { name: "ioredis", open: openIoRedis },
];

const DEFAULT_PORT = 6379;
const CONNECT_TIMEOUT_MS = 5000;
/** A connection on which a call waits so long without an answer is given up. */
const SILENCE_MS = 5000;
/** Between attempts to connect again; each waits twice as long. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;
/** After a node of a Cluster went away, the others are asked who serves its slots now. */
const REDISCOVER_MS = 500;
/** A node that hangs tells nobody that another one serves its slots now. */
const SLOTS_REFRESH_MS = 1000;

export async function connect(url: string, options: ConnectOptions): Promise<Connection> {
  const target = parseTarget(url, options);
  for (const { name, open } of DRIVERS) {
    const module = await importIfThere(name);
    if (module === undefined) continue;
    try {
      return await open(module, target);
    } catch (error) {
      throw new StoreUnavailableError(
        `cannot connect to ${target.host}:${target.port} with ${name}: ${String(error)}`,
        { cause: withoutCommand(error) },
      );
    }
  }
  throw new InvalidOptionError(
    "client",
    "none",
    'an installed client: type "npm install redis" or "npm install ioredis"',
  );
}

/** ioredis attaches the command that failed: of a login, the password. */
function withoutCommand(error: unknown): unknown {
  if (!(error instanceof Error) || !("command" in error)) return error;
  return Object.assign(new Error(error.message), { name: error.name });
}

async function importIfThere(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

function parseTarget(text: unknown, options: ConnectOptions): Target {
  checkOptions("options", options, ["cluster", "tls", "username", "password"]);
  const url = parseUrl(text);
  const db = url.pathname === "" || url.pathname === "/" ? "0" : url.pathname.slice(1);
  if (!["redis:", "rediss:"].includes(url.protocol) || url.hostname === "" || !/^\d+$/.test(db)) {
    throw badUrl();
  }
  const tls = checkTls(options.tls ?? url.protocol === "rediss:");
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? DEFAULT_PORT : Number(url.port),
    db: Number(db),
    username: checkCredential("username", options.username) ?? decoded(url.username),
    password: checkCredential("password", options.password) ?? decoded(url.password),
    tls: tls === true ? {} : tls === false ? undefined : tls,
    cluster: checkBoolean("cluster", options.cluster ?? false),
  };
}

function parseUrl(text: unknown): URL {
  try {
    return new URL(text as string);
  } catch {
    throw badUrl();
  }
}

/** The URL may hold a password, so it is not repeated. */
function badUrl(): InvalidOptionError {
  return new InvalidOptionError(
    "url",
    "(hidden)",
    "redis://[user:password@]host[:port][/db], or rediss:// for TLS",
  );
}

function decoded(text: string): string | undefined {
  try {
    return text === "" ? undefined : decodeURIComponent(text);
  } catch {
    throw badUrl();
  }
}

function checkCredential(option: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new InvalidOptionError(option, "(hidden)", "a string");
}

function checkTls(value: unknown): boolean | object {
  if (typeof value === "boolean" || (typeof value === "object" && value !== null)) return value;
  throw new InvalidOptionError("tls", value, "true, false or options for node:tls");
}

/** Rejects when `work` has not settled in time: a server that accepts but never answers. */
function withinTime(work: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = startTimer(CONNECT_TIMEOUT_MS, () => {
      reject(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`));
    });
    work
      .then(() => {
        resolve();
      }, reject)
      .finally(() => {
        timer.cancel();
      });
  });
}

/** Only what is used of node-redis. */
interface NodeRedisModule {
  createClient(options: object): NodeRedisClient;
  createCluster(options: object): NodeRedisClient;
}

/** Failures reach the limiter call by call; an "error" event without listener would end the process. */
function tolerant(client: NodeRedisClient): NodeRedisClient {
  client.on("error", () => {});
  return client;
}

async function openNodeRedis(module: unknown, target: Target): Promise<Connection> {
  const redis = module as NodeRedisModule;
  const { host, port, db, username, password, tls, cluster } = target;
  const socket = { connectTimeout: CONNECT_TIMEOUT_MS, ...(tls && { ...tls, tls: true }) };
  const login = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
  let connected = false;
  // Left to itself the client would try a wrong address or password for ever.
  const reconnectStrategy = (retries: number): number | false =>
    connected && Math.min(FIRST_RETRY_MS * 2 ** retries, LONGEST_RETRY_MS);
  // Without a queue a call fails at once while the server is away, instead of being counted late.
  const disableOfflineQueue = true;
  const client = cluster
    ? tolerant(
        redis.createCluster({
          rootNodes: [{ socket: { host, port } }],
          defaults: { ...login, disableOfflineQueue, socket },
          topologyRefreshOnReconnectionAttemptStrategy: REDISCOVER_MS,
        }),
      )
    : new ReconnectingClient(
        () =>
          tolerant(
            redis.createClient({
              ...login,
              database: db,
              disableOfflineQueue,
              socket: { host, port, ...socket, reconnectStrategy },
            }),
          ),
        SILENCE_MS,
      );
  const close = async (): Promise<void> => {
    client.destroy();
  };
  try {
    await withinTime(client.connect());
  } catch (error) {
    await close();
    throw error;
  }
  connected = true;
  return { client, close };
}

/** Only what is used of ioredis. */
interface IoRedisModule {
  Redis: (new (
    options: object,
  ) => IoRedisClient) & {
    Cluster: new (nodes: readonly object[], options: object) => IoRedisClient;
  };
}
interface IoRedisClient {
  evalsha(...args: never[]): unknown;
  eval(...args: never[]): unknown;
  defineCommand(...args: never[]): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  connect(): Promise<unknown>;
  disconnect(): void;
}

async function openIoRedis(module: unknown, target: Target): Promise<Connection> {
  const { Redis } = module as IoRedisModule;
  const { host, port, db, username, password, tls, cluster } = target;
  const options = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    lazyConnect: true,
    // A call that is sent again after a reconnect could count twice.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    socketTimeout: SILENCE_MS,
  };
  const client = cluster
    ? new Redis.Cluster([{ host, port }], {
        lazyConnect: true,
        // Connections to the nodes begin with their first call: others must not fail meanwhile.
        enableOfflineQueue: true,
        // What was under way when a node died may have been counted.
        retryDelayOnFailover: 0,
        slotsRefreshInterval: SLOTS_REFRESH_MS,
        // Sent again to any node, a call would outlive its caller and hide why from it.
        retryDelayOnClusterDown: 0,
        // The store does it better: it sends apart what cannot go together.
        retryDelayOnTryAgain: 1,
        redisOptions: options,
      })
    : new Redis({ ...options, host, port, db });
  let failure: Error | undefined;
  client.on("error", (error) => {
    failure ??= error;
  });
  const close = async (): Promise<void> => {
    disconnectForGood(client);
  };
  try {
    await withinTime(client.connect());
  } catch (error) {
    await close();
    // The rejection only says that the connection is closed; the event before it says why.
    throw failure ?? error;
  }
  if (failure !== undefined && !cluster) {
    // A database that is not there is only an event too: the client goes on with number 0.
    await close();
    throw failure;
  }
  return { client, close };
}

/** Opens a connection of the store's own: checks the URL and picks whichever client is installed. */
import { InvalidOptionError, StoreUnavailableError } from "../../core/errors.js";
import { unchecked, checkBoolean, optionReader } from "../../core/options.js";
import { HIDDEN, InWords, withoutText } from "../../core/shown.js";
import { connectablePackages } from "./clients/index.js";
import type { ConnectablePackage, ConnectTarget, OwnConnection } from "./clients/own-connection.js";
import type { Connector } from "./lazy-connection.js";

/** Options of `RedisStore.connect`. */
export interface ConnectOptions {
  /** Whether the URL names one node of a Cluster; default false. */
  readonly cluster?: boolean | undefined;
  /** true, or options for node:tls. Default: TLS for a rediss:// URL alone. */
  readonly tls?: boolean | object | undefined;
  /** Instead of those in the URL. */
  readonly username?: string | undefined;
  /** Instead of that in the URL; never shown. */
  readonly password?: string | undefined;
}

/** They are checked with the URL. */
export const CONNECT_OPTIONS = optionReader<ConnectOptions>()(
  unchecked("cluster", "tls", "username", "password"),
);

const URL_FORM = "redis://[user:password@]host[:port][/db], or rediss:// for TLS";
const DEFAULT_PORT = 6379;

/** Checks the URL and the options, and returns what connects. */
export function connectorTo(url: unknown, options: ConnectOptions): Connector {
  const target = parseTarget(url, options);
  return {
    // What fails here fails again when a connection is opened, which says so.
    load: () => installedClient().then(nothing, nothing),
    open: (closed) => openConnection(target, closed),
  };
}

function nothing(): void {}

async function openConnection(target: ConnectTarget, closed: AbortSignal): Promise<OwnConnection> {
  const { connectable, module } = await installedClient();
  closed.throwIfAborted();
  try {
    return await connectable.open(module, target, closed);
  } catch (error) {
    throw new StoreUnavailableError(
      `cannot connect to ${target.host}:${target.port} with ${connectable.name}: ${String(error)}`,
      { cause: error },
    );
  }
}

/** The first client that is installed, loaded. @throws InvalidOptionError if there is none; what keeps it from loading */
async function installedClient(): Promise<{
  readonly connectable: ConnectablePackage;
  readonly module: unknown;
}> {
  for (const connectable of connectablePackages) {
    const module = await importIfThere(connectable.name);
    if (module !== undefined) return { connectable, module };
  }
  throw new InvalidOptionError(
    "client",
    new InWords("none"),
    'an installed client: type "npm install redis" or "npm install ioredis"',
  );
}

async function importIfThere(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

function parseTarget(text: unknown, options: ConnectOptions): ConnectTarget {
  const url = parseUrl(text);
  const db = url.pathname === "" || url.pathname === "/" ? "0" : url.pathname.slice(1);
  if (!["redis:", "rediss:"].includes(url.protocol) || url.hostname === "" || !/^\d+$/.test(db)) {
    throw badUrl();
  }
  if (url.search !== "" || url.hash !== "") {
    throw badUrl("no ? and no #: the database is the path, TLS is rediss://, all else an option");
  }
  const { cluster = false } = options;
  checkBoolean("cluster", cluster);
  if (cluster && Number(db) !== 0) throw badUrl("a Cluster has no databases but number 0");
  const { tls: givenTls = url.protocol === "rediss:" } = options;
  const tls = checkTls(givenTls);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? DEFAULT_PORT : Number(url.port),
    db: Number(db),
    username: checkCredential("username", options.username) ?? decodedPart(url.username),
    password: checkCredential("password", options.password) ?? decodedPart(url.password),
    tls: tls === true ? {} : tls === false ? undefined : tls,
    cluster,
  };
}

function parseUrl(text: unknown): URL {
  // Not hidden: a promise, or the options in the URL's place, is a slip that the message should name.
  if (typeof text !== "string") throw new InvalidOptionError("url", withoutText(text), URL_FORM);
  try {
    return new URL(text);
  } catch {
    throw badUrl();
  }
}

/** The URL may hold a password, so it is not repeated. */
function badUrl(hint?: string): InvalidOptionError {
  return new InvalidOptionError("url", HIDDEN, URL_FORM, hint === undefined ? {} : { hint });
}

function decodedPart(text: string): string | undefined {
  try {
    return text === "" ? undefined : decodeURIComponent(text);
  } catch {
    throw badUrl();
  }
}

function checkCredential(option: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new InvalidOptionError(option, HIDDEN, "a string");
}

function checkTls(value: unknown): boolean | object {
  if (typeof value === "boolean" || (typeof value === "object" && value !== null)) return value;
  throw new InvalidOptionError("tls", HIDDEN, "true, false or options for node:tls");
}

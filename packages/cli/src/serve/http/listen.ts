/** Listens on ports and Unix sockets, within the limits of the settings, and stops without losing a request. */
import { lstat, unlink } from "node:fs/promises";
import { createServer, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { connect, type ListenOptions, type Server as NetServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { closedWithin } from "../patience.js";
import { SettingError } from "../read-settings.js";
import type { Entrance } from "../service.js";
import type { ServiceSettings } from "../settings.js";
import { readTls, type ServerTls } from "../tls.js";
import type { Handler } from "./handler.js";
import { HttpProblem, type ProblemReason } from "./problem.js";

/** A server that listens, and its address. */
export interface HttpEntrance extends Entrance {
  /** `http://127.0.0.1:8088`, with the port that it got; or `unix:/path`. */
  readonly address: string;
}

/** How often node looks for requests that take too long. */
const LOOKS_EVERY_MS = 1000;

/**
 * Listens on each address of the settings.
 *
 * @throws SettingError; the system's error if an address is not available
 */
export async function listenHttp(
  settings: ServiceSettings,
  handler: Handler,
): Promise<readonly HttpEntrance[]> {
  const entrances: HttpEntrance[] = [];
  const tls = await readTls(settings);
  try {
    for (const address of settings.listen) {
      entrances.push(await listenAt(address, settings, tls, handler));
    }
    return entrances;
  } catch (error) {
    await Promise.all(entrances.map((entrance) => entrance.close(0)));
    throw error;
  }
}

async function listenAt(
  address: string,
  settings: ServiceSettings,
  tls: ServerTls | undefined,
  handler: Handler,
): Promise<HttpEntrance> {
  const place = placeOf("listen", address);
  const { path } = place;
  const isTls = path === undefined && tls !== undefined;
  const server = isTls ? makeTlsServer(settings, tls) : createServer(optionsOf(settings));
  serve(server, settings, handler);
  if (path !== undefined) await removeStale(path);
  await listening(server, place);
  const bound = server.address();
  const port = typeof bound === "object" ? bound?.port : undefined;
  const host = place.host?.includes(":") === true ? `[${place.host}]` : place.host;
  return {
    address: path === undefined ? `${isTls ? "https" : "http"}://${host}:${port}` : `unix:${path}`,
    close: (withinMs) => closeServer(server, withinMs),
    renewTls: "setSecureContext" in server ? (next) => server.setSecureContext(next) : undefined,
  };
}

/** Resolves when the server listens there; rejects with the system's error if it cannot. */
export function listening(server: NetServer, place: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(place, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** @throws SettingError that names the setting */
export function placeOf(setting: "listen" | "grpc", address: string): ListenOptions {
  if (address.startsWith("unix:/")) return { path: address.slice("unix:".length) };
  const [, inBrackets, name, port] =
    /^(?:\[([\da-fA-F:.]+)\]|([^\s:/]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = inBrackets ?? name;
  if (host !== undefined && Number(port) < 65_536) return { host, port: Number(port) };
  throw new SettingError(`${setting}: ${address} is none of host:port, [::]:port and unix:/path`);
}

function optionsOf({ maxHeaders, requestTimeout, idleTimeout }: ServiceSettings): ServerOptions {
  return {
    maxHeaderSize: maxHeaders,
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: idleTimeout,
    connectionsCheckingInterval: Math.min(LOOKS_EVERY_MS, requestTimeout),
    // A request without Host is no HTTP/1.1; nothing here depends on it.
    requireHostHeader: false,
  };
}

/** Whoever opens a connection and does not begin to speak TLS waits as long as for the head of a request. */
function makeTlsServer(settings: ServiceSettings, tls: ServerTls): TlsServer {
  const { requestTimeout: handshakeTimeout } = settings;
  return createTlsServer({ ...optionsOf(settings), ...tls, handshakeTimeout });
}

function serve(server: Server, { maxConnections }: ServiceSettings, handler: Handler): void {
  server.on("request", (request, response) => {
    handler(request, response);
  });
  server.on("checkContinue", (request, response) => {
    handler(request, response, () => {
      response.writeContinue();
    });
  });
  server.maxConnections = maxConnections;
  server.on("clientError", refuse);
}

const REASONS: Readonly<Record<string, ProblemReason>> = {
  HPE_HEADER_OVERFLOW: "headers-too-large",
  ERR_HTTP_REQUEST_TIMEOUT: "request-timeout",
};

/** Nothing can be sent: before the end of the handshake of TLS an answer would wait for ever. */
const MUTE: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "ERR_TLS_HANDSHAKE_TIMEOUT"]);

/** What is no request, or comes too slowly, is answered if possible, and its connection ended. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (MUTE.has(error.code) || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, type, body } = new HttpProblem(
    REASONS[error.code ?? ""] ?? "bad-request",
  ).answer();
  const length = Buffer.byteLength(body);
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${String(body)}`,
  );
}

/**
 * A socket that a process left behind when it was killed keeps the next one out.
 *
 * @throws SettingError if something else is there: it is not ours to remove
 */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SettingError(`listen: ${path} is there already, and is no socket`);
  }
  const isUsed = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", ({ code }: NodeJS.ErrnoException) => {
      resolve(code !== "ECONNREFUSED");
    });
  });
  if (!isUsed) await unlink(path);
}

async function closeServer(server: Server, withinMs: number): Promise<void> {
  // What has come in until now is read, and is answered with the end of its connection.
  await nextTurn();
  await nextTurn();
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  await closedWithin(closed, withinMs, () => {
    server.closeAllConnections();
  });
}

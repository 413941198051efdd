/** A server of Envoy's rate limit service and of gRPC's health, on ports and Unix sockets. */
import { createServer, type ListenOptions, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { Server, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { InvalidOptionError, SluiceError } from "sluice";
import type { PolicySet } from "sluice/policies";
import { listening } from "../http/listen.js";
import { decideRls, type RlsAnswer, type RlsRequest, RlsRequestError } from "../rls/index.js";
import { closedWithin } from "../patience.js";
import type { Entrance } from "../service.js";
import type { ServerTls } from "../tls.js";
import type { Tokens } from "../tokens.js";
import { Health, healthDefinition } from "./health.js";
import { type GrpcLibrary, type LoadedGrpc, loadGrpc } from "./load-grpc.js";
import { readRls, writeRls } from "./rls-codec.js";

export interface GrpcServerOptions {
  readonly rules: PolicySet;
  /** Whether all descriptors of a request are decided together; default true. */
  readonly atomic?: boolean | undefined;
  /** Who may ask, by the metadata `authorization`; default: everybody. Health is everybody's. */
  readonly tokens?: Pick<Tokens, "areAsked" | "holderOf"> | undefined;
  /** For the health; default: always. */
  readonly isReady?: (() => Promise<boolean>) | undefined;
  /** PEM. Default: no TLS. */
  readonly tls?: ServerTls | undefined;
  /** How long the handshake of TLS may take; default 10,000 ms. */
  readonly handshakeMs?: number | undefined;
  /** Bytes of a request; default 65,536. */
  readonly maxMessage?: number | undefined;
  /** At once, at each address; default 10,000. */
  readonly maxConnections?: number | undefined;
  /** Requests at once on a connection; default 1,000. */
  readonly maxStreams?: number | undefined;
  /** How often a quiet connection is pinged; default 60,000 ms. One that does not answer for a third of it is closed. */
  readonly keepaliveMs?: number | undefined;
  /** Gets unforeseen errors. */
  readonly failed?: ((error: unknown) => void) | undefined;
}

const DEFAULT_MESSAGE = 65_536;
const DEFAULT_CONNECTIONS = 10_000;
const DEFAULT_STREAMS = 1000;
const DEFAULT_KEEPALIVE_MS = 60_000;
const DEFAULT_HANDSHAKE_MS = 10_000;

type Call = ServerUnaryCall<RlsRequest | RlsRequestError, RlsAnswer>;

/**
 * A server that is to listen.
 * @throws SettingError if @grpc/grpc-js is not installed
 */
export async function grpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  return new GrpcServer(await loadGrpc(), options);
}

export class GrpcServer implements Entrance {
  readonly #grpc: GrpcLibrary;
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  readonly #health: Health;
  readonly #listeners: NetServer[] = [];
  readonly #tlsListeners: TlsServer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #inject: (socket: Socket) => void;

  constructor(loaded: LoadedGrpc, options: GrpcServerOptions) {
    const { grpc } = loaded;
    const { keepaliveMs = DEFAULT_KEEPALIVE_MS } = options;
    this.#grpc = grpc;
    this.#options = options;
    this.#server = new grpc.Server({
      "grpc.max_receive_message_length": options.maxMessage ?? DEFAULT_MESSAGE,
      "grpc.max_concurrent_streams": options.maxStreams ?? DEFAULT_STREAMS,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": Math.ceil(keepaliveMs / 3),
      "grpc.enable_channelz": 0,
    });
    this.#health = new Health(grpc, options.isReady ?? (async () => true));
    this.#server.addService(...this.#rateLimits(loaded));
    this.#server.addService(healthDefinition(loaded.health), this.#health.handlers);
    // It gets connections whose TLS, if they have any, is ours.
    const credentials = grpc.ServerCredentials.createInsecure();
    const injector = this.#server.createConnectionInjector(credentials);
    this.#inject = (socket) => {
      injector.injectConnection(socket);
    };
  }

  /** Listens there too; resolves with the port, 0 for a Unix socket. */
  async listen(place: ListenOptions): Promise<number> {
    const { tls } = this.#options;
    const listener = tls === undefined ? createServer({ noDelay: true }) : this.#tlsListener(tls);
    listener.on("connection", (socket: Socket) => this.#keep(socket));
    listener.on(tls === undefined ? "connection" : "secureConnection", this.#inject);
    listener.maxConnections = this.#options.maxConnections ?? DEFAULT_CONNECTIONS;
    await listening(listener, place);
    this.#listeners.push(listener);
    const address = listener.address();
    return typeof address === "object" ? (address?.port ?? 0) : 0;
  }

  /** Shows this certificate to those who connect from now on. */
  readonly renewTls = (tls: ServerTls): void => {
    for (const listener of this.#tlsListeners) listener.setSecureContext(tls);
  };

  #tlsListener(tls: ServerTls): TlsServer {
    const { handshakeMs: handshakeTimeout = DEFAULT_HANDSHAKE_MS } = this.#options;
    const options = { ...tls, handshakeTimeout, ALPNProtocols: ["h2"], noDelay: true };
    const listener = createTlsServer(options);
    listener.on("secureConnection", (socket) => this.#keep(socket));
    listener.on("tlsClientError", (_, socket) => socket.destroy());
    this.#tlsListeners.push(listener);
    return listener;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    // A client that disconnects in the middle is no error.
    socket.on("error", () => socket.destroy());
  }

  async close(withinMs: number): Promise<void> {
    const closed = this.#listeners.map(
      (listener) => new Promise<void>((resolve) => listener.close(() => resolve())),
    );
    this.#health.end();
    await closedWithin(this.#ended(closed), withinMs, () => {
      this.#server.forceShutdown();
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  async #ended(closed: readonly Promise<void>[]): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
    // What never became a session ends with the others.
    for (const socket of this.#sockets) socket.end();
    await Promise.all(closed);
  }

  #rateLimits({ rateLimits }: LoadedGrpc): Parameters<Server["addService"]> {
    const method = rateLimits["ShouldRateLimit"] as NonNullable<(typeof rateLimits)[string]>;
    const definition = {
      ShouldRateLimit: { ...method, requestDeserialize: readRls, responseSerialize: writeRls },
    };
    const ShouldRateLimit = (call: Call, answer: sendUnaryData<RlsAnswer>): void => {
      // Its deadline was over before its turn came: its client no longer waits, and nothing is counted.
      if (call.cancelled) return;
      const refuse = (error: unknown): void => answer(this.#statusOf(error));
      try {
        const decided = this.#decide(call);
        if (decided instanceof Promise) decided.then((known) => answer(null, known), refuse);
        else answer(null, decided);
      } catch (error) {
        refuse(error);
      }
    };
    return [definition, { ShouldRateLimit }];
  }

  /** @throws whatever keeps the request from being decided */
  #decide({ request, metadata }: Call): RlsAnswer | Promise<RlsAnswer> {
    const { rules, atomic = true, tokens } = this.#options;
    if (tokens?.areAsked === true) {
      const [authorization] = metadata.get("authorization");
      const holder = tokens.holderOf(String(authorization ?? ""));
      if (holder === undefined) throw new Refused("UNAUTHENTICATED", "a bearer token is needed");
      if (!holder.scopes.has("decide")) {
        throw new Refused("PERMISSION_DENIED", "the token does not have the scope decide");
      }
    }
    if (request instanceof RlsRequestError) throw request;
    return decideRls(rules, request, atomic);
  }

  #statusOf(error: unknown): { readonly code: number; readonly details: string } {
    const { status } = this.#grpc;
    if (error instanceof Refused) return { code: status[error.status], details: error.message };
    if (error instanceof RlsRequestError || error instanceof InvalidOptionError) {
      return { code: status.INVALID_ARGUMENT, details: error.message };
    }
    if (error instanceof SluiceError && UNAVAILABLE.has(error.code)) {
      return { code: status.UNAVAILABLE, details: "the store does not answer" };
    }
    this.#options.failed?.(error);
    return { code: status.INTERNAL, details: "the service failed" };
  }
}

const UNAVAILABLE: ReadonlySet<string> = new Set([
  "STORE_UNAVAILABLE",
  "STORE_TIMEOUT",
  "STORE_FULL",
  "CLOSED",
]);

/** A caller who may not ask. */
class Refused extends Error {
  readonly status: "UNAUTHENTICATED" | "PERMISSION_DENIED";

  constructor(status: Refused["status"], message: string) {
    super(message);
    this.status = status;
  }
}

/** Calls of handlers in Nest, whatever they came by, as the gate wants them described. */
import type { ExecutionContext } from "@nestjs/common";
import { type AnswerFields, PROBLEM_TYPE } from "../http/answer.js";
import type { HttpCall } from "../http/call.js";
import { FASTIFY_TRUST, trustOf } from "./fastify-trust.js";
import {
  EXPRESS_TRUST,
  fieldsOfNode,
  NodeCall,
  type NodeRequest,
  type NodeResponse,
} from "./node-call.js";

/** The fields of an answer over HTTP. */
export interface NestAnswer extends AnswerFields {
  /** Says that the body will be a problem; the filter that writes it keeps that. */
  beforeProblem(): void;
}

export interface Described {
  readonly call: HttpCall;
  /** Takes the fields; undefined in a call that did not come by HTTP. */
  readonly answer: NestAnswer | undefined;
  readonly response: NodeResponse | undefined;
}

/** A request of Express, which is Node's, or of Fastify, which has that in `raw`. */
type PlatformRequest = NodeRequest & {
  readonly raw?: NodeRequest;
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly res?: PlatformResponse;
  readonly app?: { readonly get?: (name: string) => unknown };
};

type PlatformResponse = NodeResponse & {
  readonly raw?: NodeResponse;
  /** Of Fastify, which keeps fields until it sends them. */
  header?(name: string, value: string): unknown;
};

/** What the resolvers of an operation share, by the names that Apollo's, Yoga's and Mercurius' drivers give it. */
interface ResolverContext {
  readonly req?: PlatformRequest;
  readonly res?: PlatformResponse;
  readonly reply?: PlatformResponse & { readonly request?: PlatformRequest };
}

/** A client of socket.io, or of ws. */
interface Client {
  readonly handshake?: {
    readonly address?: string;
    readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  };
  readonly _socket?: { readonly remoteAddress?: string };
}

/** What a call of a handler is to the gate. */
export function describe(context: ExecutionContext): Described {
  switch (context.getType<string>()) {
    case "http":
      return ofHttp(context.getArgByIndex(0), context.getArgByIndex(1));
    case "graphql":
      return ofResolver(context.getArgByIndex<ResolverContext | undefined>(2) ?? {});
    case "ws":
      return ofClient(context.getArgByIndex(0));
    default:
      return { call: NOBODY, answer: undefined, response: undefined };
  }
}

function ofHttp(request: PlatformRequest, response: PlatformResponse): Described {
  const raw = response.raw ?? response;
  return {
    call: new PlatformCall(request, raw),
    answer: answerOf(response),
    response: raw,
  };
}

/** A subscription came by a socket: there is a request that opened it, and no answer. */
function ofResolver({ req, res, reply }: ResolverContext): Described {
  const request = req ?? reply?.request;
  const response = res ?? reply ?? request?.res;
  if (request === undefined) return { call: NOBODY, answer: undefined, response: undefined };
  if (response !== undefined) return ofHttp(request, response);
  const { headers, method = "GET" } = request.raw ?? request;
  const address = request.ip ?? (request.raw ?? request).socket.remoteAddress;
  return { call: { method, address, header: headerIn(headers) }, answer: undefined, response };
}

function ofClient({ handshake, _socket }: Client): Described {
  const address = handshake?.address ?? _socket?.remoteAddress;
  const call = { method: "GET", address, header: headerIn(handshake?.headers ?? {}) };
  return { call, answer: undefined, response: undefined };
}

const NOBODY: HttpCall = { method: "GET", address: undefined, header: () => undefined };

class PlatformCall extends NodeCall {
  readonly #request: PlatformRequest;

  constructor(request: PlatformRequest, response: NodeResponse) {
    super(request.raw ?? request, response);
    this.#request = request;
  }

  /** As far as the platform trusts its proxies. */
  override get address(): string | undefined {
    return this.#request.ip ?? super.address;
  }

  override trust(): "everybody" | "nobody" | "some" {
    const request = this.#request;
    if (request.raw !== undefined) return trustOf(request);
    const proxies = request.app?.get?.("trust proxy") ?? "unknown";
    if (proxies === true) return "everybody";
    return proxies === false || proxies === 0 ? "nobody" : "some";
  }

  override get trustSetting(): string {
    return this.#request.raw === undefined ? EXPRESS_TRUST : FASTIFY_TRUST;
  }
}

function answerOf(response: PlatformResponse): NestAnswer {
  const { raw } = response;
  const below = fieldsOfNode(raw ?? response);
  const answer =
    raw === undefined
      ? below
      : {
          // Middleware writes to Node's own.
          get: (name: string) => fieldsOfNode(response).get(name) ?? below.get(name),
          set: (name: string, value: string): void => {
            response.header?.(name, value);
          },
        };
  return {
    get: (name) => answer.get(name),
    set: (name, value) => {
      answer.set(name, value);
    },
    beforeProblem: () => {
      answer.set("Content-Type", PROBLEM_TYPE);
    },
  };
}

const headerIn =
  (headers: Readonly<Record<string, string | readonly string[] | undefined>>) =>
  (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === "string" || value === undefined ? value : value.join(", ");
  };

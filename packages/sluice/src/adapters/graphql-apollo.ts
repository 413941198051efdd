/** Limits for operations, as a plugin of Apollo Server. */
import type { DocumentNode, GraphQLSchema, OperationDefinitionNode } from "graphql";
import type { Limit } from "../http/chargeable.js";
import type { AnswerFields } from "../http/answer.js";
import type { HttpCall } from "../http/call.js";
import {
  type GraphqlOptions,
  OperationGate,
  type OperationPass,
  outcomeOf,
  OwnFields,
} from "./graphql-gate.js";

/** What Apollo passes about a request; its own types name more. */
export interface ApolloRequest {
  /** The context of the operation. */
  readonly contextValue: unknown;
  /** The schema that it runs on. */
  readonly schema: GraphQLSchema;
  /** Its parsed document. */
  readonly document?: DocumentNode | undefined;
  /** The operation of it that runs; null or undefined if it is not resolved yet. */
  readonly operation?: OperationDefinitionNode | null | undefined;
  /** The HTTP request behind it. */
  readonly request: {
    readonly variables?: Readonly<Record<string, unknown>> | undefined;
    readonly http?:
      | { readonly method: string; readonly headers: { get(name: string): string | undefined } }
      | undefined;
  };
  /** The answer in the making. */
  readonly response: {
    readonly http: { readonly status?: number | undefined; readonly headers: AnswerFields };
    readonly body?: unknown;
  };
}

/** A plugin of Apollo Server. */
export interface ApolloRateLimit {
  /** Apollo calls it once, before it serves. */
  serverWillStart(service: { readonly schema: GraphQLSchema }): Promise<void>;
  /** Apollo calls it for each request. */
  requestDidStart(): Promise<{
    didResolveOperation(request: ApolloRequest): Promise<void>;
    willSendResponse(request: ApolloRequest): Promise<void>;
    willSendSubsequentPayload(
      request: ApolloRequest,
      payload: { readonly hasNext: boolean },
    ): Promise<void>;
  }>;
}

/** What contexts have of a request by custom: Express's `req`. */
interface RequestInContext {
  readonly req?: {
    readonly ip?: string;
    readonly socket?: { readonly remoteAddress?: string };
  };
}

/**
 * Limits for operations of Apollo Server. They are asked once for each operation, before it is executed: what it costs is
 * read from its document. Apollo does not tell when a client leaves: what is settled is never aborted.
 *
 * @param options what an operation is charged; a limiter or semaphore alone charges each one unit of the address of
 *   `contextValue.req`
 * @throws InvalidOptionError
 * @example
 * import { ApolloServer } from "@apollo/server";
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { apolloRateLimit } from "sluice/graphql";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
 * const plugin = apolloRateLimit({ charge: ({ cost }) => ({ limiter, key: "everybody", cost }) });
 * const typeDefs = "type Query { a: Int }";
 * const server = new ApolloServer({ typeDefs, plugins: [plugin], stopOnTerminationSignals: false });
 * const ask = async () => (await server.executeOperation({ query: "{ a b: a }" })).http.status;
 * console.log(await ask()); // undefined
 * console.log(await ask()); // 429
 */
export function apolloRateLimit<Context = unknown>(
  options: Limit | GraphqlOptions<Context>,
): ApolloRateLimit {
  const gate = new OperationGate(options);
  const own = new OwnFields();
  return {
    serverWillStart: async ({ schema }) => {
      gate.check(schema);
    },
    requestDidStart: async () => {
      let pass: OperationPass | undefined;
      let isSent = false;
      return {
        didResolveOperation: async (request) => {
          const { schema, document, operation, contextValue } = request;
          if (document === undefined || !operation) return;
          const about = { schema, document, operation, variables: request.request.variables ?? {} };
          pass = await gate.enter(about, contextValue as Context, callOf(request));
          // Another plugin may have failed in the meantime.
          if (isSent) await pass.settle?.({ status: 500, aborted: false });
          if (pass.error !== undefined) throw pass.error;
        },
        willSendResponse: async ({ response }) => {
          isSent = true;
          if (pass === undefined) return;
          own.write(pass.fields, response.http.headers);
          const { kind, singleResult } = response.body as {
            readonly kind: string;
            readonly singleResult?: unknown;
          };
          if (kind !== "single") return;
          const outcome = outcomeOf(singleResult);
          const status = response.http.status ?? outcome.status;
          void pass.settle?.({ ...outcome, status, aborted: false });
        },
        willSendSubsequentPayload: async (_request, { hasNext }) => {
          if (!hasNext) void pass?.settle?.({ status: 200, aborted: false });
        },
      };
    },
  };
}

function callOf({ request: { http }, contextValue }: ApolloRequest): HttpCall {
  const { req } = (contextValue ?? {}) as RequestInContext;
  return {
    method: http?.method ?? "POST",
    address: req?.ip ?? req?.socket?.remoteAddress,
    header: (name) => http?.headers.get(name),
  };
}

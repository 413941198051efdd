/** sluice/graphql: limits for operations, as a plugin of Yoga, of Envelop and of Apollo. */
import type { DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode } from "graphql";
import type { Limit } from "../http/chargeable.js";
import type { HttpCall, HttpOutcome } from "../http/call.js";
import {
  type GraphqlOptions,
  OperationGate,
  type OperationPass,
  outcomeOf,
  OwnFields,
} from "./graphql-gate.js";

export { type ApolloRateLimit, apolloRateLimit, type ApolloRequest } from "./graphql-apollo.js";
export type * from "../http/index.js";
export type { WeighedOperation } from "./graphql-cost.js";
export type { NamedLimiters } from "./named-limiters.js";
export { type GraphqlOperation, type GraphqlOptions, rateLimitDirective } from "./graphql-gate.js";

/** What Envelop tells before it executes or subscribes; its own types name more. */
export interface StartPayload {
  /** The arguments of graphql's execute. */
  readonly args: {
    readonly schema: GraphQLSchema;
    readonly document: DocumentNode;
    readonly operationName?: string | null | undefined;
    readonly variableValues?: Readonly<Record<string, unknown>> | null | undefined;
    /** Newer versions name it beside the arguments, too. */
    readonly contextValue?: unknown;
  };
  /** Answers instead of the operation. */
  setResultAndStopExecution(result: { readonly errors: readonly GraphQLError[] }): void;
}

/** Executes, or subscribes; servers differ in what they say of it. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Execute = (args: any) => any;

/** What Envelop passes before an operation runs. */
export interface ExecutePayload extends StartPayload {
  /** What would run it. */
  readonly executeFn: Execute;
  /** Replaces what runs it. */
  setExecuteFn(execute: Execute): void;
}

/** What Envelop passes before a subscription begins. */
export interface SubscribePayload extends StartPayload {
  /** What would begin it. */
  readonly subscribeFn: Execute;
  /** Replaces what begins it. */
  setSubscribeFn(subscribe: Execute): void;
}

/** What Envelop passes with the result. */
export interface DonePayload {
  /** The result, or an iterable of results. */
  readonly result: unknown;
  /** Replaces the result. */
  readonly setResult: (result: never) => void;
}

/** A plugin of Envelop, and of Yoga, which also lets it write the fields of answers. */
export interface EnvelopRateLimit {
  /** Envelop calls it with each schema. */
  onSchemaChange(payload: { readonly schema: unknown }): void;
  /** Envelop calls it before an operation runs. */
  onExecute(
    payload: ExecutePayload,
  ): Promise<{ onExecuteDone(payload: DonePayload): void } | undefined>;
  /** Envelop calls it before a subscription begins. */
  onSubscribe(
    payload: SubscribePayload,
  ): Promise<{ onSubscribeResult(payload: DonePayload): void } | undefined>;
  /** Yoga calls it before it sends a response. */
  onResponse(payload: { readonly request: object; readonly response: Response }): void;
}

/** What a context has of its request: Yoga's `request`, Node's `req`. */
interface RequestContext {
  readonly request?: {
    readonly method?: string;
    readonly headers?: { get(name: string): string | null };
    readonly signal?: AbortSignal;
  };
  readonly req?: {
    readonly ip?: string;
    readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
    readonly socket?: { readonly remoteAddress?: string };
  };
}

/**
 * Limits for operations of Yoga, or of another server made with Envelop. They are asked once for each operation, before
 * it is executed: what it costs is read from its document.
 *
 * @param options what an operation is charged; a limiter or semaphore alone charges each one unit of its client's address
 * @throws InvalidOptionError
 * @example
 * import { createSchema, createYoga } from "graphql-yoga";
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { useRateLimit } from "sluice/graphql";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
 * const plugin = useRateLimit({ charge: ({ cost }) => ({ limiter, key: "everybody", cost }) });
 * const schema = createSchema({ typeDefs: "type Query { a: Int }" });
 * const yoga = createYoga({ schema, plugins: [plugin], logging: false });
 * const ask = (query: string) => yoga.fetch(`http://localhost/graphql?query=${query}`);
 * console.log((await ask("{ a b: a }")).status); // 200
 * console.log((await ask("{ a b: a }")).status); // 429
 */
export function useRateLimit<Context = unknown>(
  options: Limit | GraphqlOptions<Context>,
): EnvelopRateLimit {
  // Not every server made with Envelop lets plugins see answers. In lower case, for Yoga sends others twice once they
  // are set again.
  const gate = new OperationGate(options, (fields) => ({
    headers: Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
  }));
  const answers = new RequestAnswers();
  const start = async (payload: StartPayload): Promise<Started | undefined> => {
    const { schema, document, operationName, variableValues } = payload.args;
    const context = payload.args.contextValue;
    const operation = operationOf(document, operationName);
    // Then there is nothing to execute, and the server says so.
    if (operation === undefined) return undefined;
    const call = new ContextCall(context ?? {});
    const about = { schema, document, operation, variables: variableValues ?? {} };
    const pass = await gate.enter(about, context as Context, call);
    const started = new Started(pass, call.signal);
    answers.add(call.request, pass, started);
    if (pass.error === undefined) return started;
    payload.setResultAndStopExecution({ errors: [pass.error as GraphQLError] });
    return undefined;
  };
  return {
    onSchemaChange: ({ schema }) => {
      gate.check(schema as GraphQLSchema);
    },
    onExecute: async (payload) => {
      const started = await start(payload);
      if (started?.isOpen !== true) return undefined;
      payload.setExecuteFn(started.watching(payload.executeFn));
      return { onExecuteDone: (done) => started.done(done) };
    },
    onSubscribe: async (payload) => {
      const started = await start(payload);
      if (started?.isOpen !== true) return undefined;
      payload.setSubscribeFn(started.watching(payload.subscribeFn));
      return { onSubscribeResult: (done) => started.done(done) };
    },
    onResponse: ({ request, response }) => {
      answers.write(request, response);
    },
  };
}

function operationOf(
  document: DocumentNode,
  name: string | null | undefined,
): OperationDefinitionNode | undefined {
  const operations = document.definitions.filter(
    (node): node is OperationDefinitionNode => (node.kind as string) === "OperationDefinition",
  );
  if (name) return operations.find((operation) => operation.name?.value === name);
  return operations.length === 1 ? operations[0] : undefined;
}

class ContextCall implements HttpCall {
  readonly request: RequestContext["request"];
  readonly #req: RequestContext["req"];

  constructor({ request, req }: RequestContext) {
    this.request = request;
    this.#req = req;
  }

  get method(): string {
    return this.request?.method ?? "POST";
  }

  get address(): string | undefined {
    return this.#req?.ip ?? this.#req?.socket?.remoteAddress;
  }

  get signal(): AbortSignal | undefined {
    return this.request?.signal;
  }

  header(name: string): string | undefined {
    const value = this.request?.headers?.get(name) ?? this.#req?.headers?.[name];
    return typeof value === "string" || value === undefined ? value : value.join(", ");
  }

  gone(): AbortSignal {
    return this.signal ?? new AbortController().signal;
  }
}

/** An operation that may go on, until it has ended. */
class Started {
  readonly #settle: OperationPass["settle"];
  readonly #signal: AbortSignal | undefined;
  /** Whether its result has come, which may still be followed by more. */
  hasResult = false;

  constructor({ settle }: OperationPass, signal: AbortSignal | undefined) {
    this.#settle = settle;
    this.#signal = signal;
  }

  get isOpen(): boolean {
    return this.#settle !== undefined;
  }

  /** The function that executes, or subscribes, but that its errors are noticed. */
  watching(execute: Execute): Execute {
    return async (args: unknown): Promise<unknown> => {
      try {
        return await execute(args);
      } catch (error) {
        this.end({ status: 500, error });
        throw error;
      }
    };
  }

  done({ result, setResult }: DonePayload): void {
    this.hasResult = true;
    if (isIterable(result)) setResult(this.#untilEnd(result) as never);
    else this.end(outcomeOf(result));
  }

  end(outcome: Omit<HttpOutcome, "aborted">): void {
    void this.#settle?.({ aborted: this.#signal?.aborted === true, ...outcome });
  }

  #untilEnd(results: AsyncIterable<unknown>): AsyncIterableIterator<unknown> {
    const iterator = results[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<unknown>> => {
      try {
        const step = await iterator.next();
        if (step.done === true) this.end({ status: 200 });
        return step;
      } catch (error) {
        this.end({ status: 500, error });
        throw error;
      }
    };
    const stop = async (value?: unknown): Promise<IteratorResult<unknown>> => {
      // A reader that stops early has disconnected, or was disconnected.
      void this.#settle?.({ status: 200, aborted: true });
      return (await iterator.return?.(value)) ?? { done: true, value };
    };
    return {
      next,
      return: stop,
      throw: async (error: unknown) => {
        await stop();
        throw error;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

function isIterable(result: unknown): result is AsyncIterable<unknown> {
  return typeof result === "object" && result !== null && Symbol.asyncIterator in result;
}

/** What Yoga's answers are still to say: a refusal before all others, else what came last. */
class RequestAnswers {
  readonly #own = new OwnFields();
  readonly #byRequest = new WeakMap<object, { pass: OperationPass; started: Started[] }>();

  add(request: object | undefined, pass: OperationPass, started: Started): void {
    if (request === undefined) return;
    const known = this.#byRequest.get(request);
    if (known === undefined) {
      this.#byRequest.set(request, { pass, started: [started] });
      return;
    }
    known.started.push(started);
    if (known.pass.denial === undefined) known.pass = pass;
  }

  write(request: object, response: Response): void {
    const known = this.#byRequest.get(request);
    if (known === undefined) return;
    this.#own.write(known.pass.fields, response.headers);
    // Another plugin may have failed in between: what has no result by now will have none.
    for (const started of known.started) {
      if (!started.hasResult) started.end({ status: response.status });
    }
  }
}

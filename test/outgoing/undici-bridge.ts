/**
 * Node 20 bundles undici 6, whose handlers have other callbacks than undici 7's. This gives its
 * dispatcher the `compose` of undici 7 for one interceptor: handlers are wrapped on the way in and
 * unwrapped on the way to the connection, as lib/handler/wrap-handler.js and unwrap-handler.js of
 * undici 7 do it.
 */
import type {
  Controller,
  Dispatch,
  DispatchOptions,
  Handler,
} from "../../src/outgoing/undici-types.js";

interface OldHandler {
  onConnect?(abort: (reason?: Error) => void, context?: unknown): void;
  onUpgrade?(status: number, headers: Buffer[], socket: unknown): void;
  onHeaders?(status: number, headers: Buffer[], resume: () => void, message: string): boolean;
  onData?(chunk: Buffer): boolean;
  onComplete?(trailers: Buffer[]): void;
  onError?(error: Error): void;
  onBodySent?(chunkSize: number, total: number): void;
}

interface OldDispatcher {
  dispatch(options: DispatchOptions, handler: OldHandler): boolean;
  request(options: DispatchOptions & { signal?: AbortSignal }): Promise<OldResponse>;
  destroy(): Promise<void>;
}

export interface OldResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: NodeJS.ReadableStream & { text(): Promise<string>; destroy(): void };
}

/** A dispatcher with the interceptor, and its `request` and `fetch`. */
export interface Composed {
  readonly dispatch: Dispatch;
  readonly request: OldDispatcher["request"];
  readonly fetch: typeof fetch;
  destroy(): Promise<void>;
}

const GLOBAL_DISPATCHER = Symbol.for("undici.globalDispatcher.1");

export async function compose(interceptor: (dispatch: Dispatch) => Dispatch): Promise<Composed> {
  // The first fetch makes the global dispatcher.
  await fetch("data:,").then((response) => response.text());
  const { constructor } = Reflect.get(globalThis, GLOBAL_DISPATCHER) as OldDispatcher;
  const agent = new (constructor as unknown as new () => OldDispatcher)();
  const inner = interceptor((options, handler) => agent.dispatch(options, new Unwrapped(handler)));
  const dispatch: Dispatch = (options, handler) =>
    inner(options, handler.onRequestStart === undefined ? wrap(handler) : handler);
  const composed = { dispatch };
  return {
    dispatch,
    request: (options) => agent.request.call(composed, options),
    fetch: (input, init) =>
      fetch(input, { ...init, dispatcher: composed } as unknown as RequestInit),
    destroy: () => agent.destroy(),
  };
}

function wrap(old: OldHandler): Handler {
  return {
    onRequestStart: (controller, context) =>
      old.onConnect?.((reason) => controller.abort(reason as Error), context),
    onRequestUpgrade: (_, status, headers, socket) => old.onUpgrade?.(status, raw(headers), socket),
    onResponseStart: (controller, status, headers, message = "") => {
      const goOn = old.onHeaders?.(status, raw(headers), () => controller.resume(), message);
      if (goOn === false) controller.pause();
    },
    onResponseData: (controller, chunk) => {
      if (old.onData?.(chunk as Buffer) === false) controller.pause();
    },
    onResponseEnd: (_, trailers) => old.onComplete?.(raw(trailers)),
    onResponseError: (_, error) => old.onError?.(error),
  };
}

function raw(fields: Readonly<Record<string, string | string[] | undefined>>): Buffer[] {
  return Object.entries(fields).flatMap(([name, value]) =>
    [value ?? ""].flat().flatMap((line) => [Buffer.from(name), Buffer.from(line)]),
  );
}

class Unwrapped implements OldHandler {
  readonly #handler: Handler;
  #resume: () => void = () => {};
  #controller: Controller = new BridgeController(
    () => {},
    () => {},
  );

  constructor(handler: Handler) {
    this.#handler = handler;
  }

  onConnect(abort: (reason?: Error) => void, context?: unknown): void {
    this.#controller = new BridgeController(abort, () => this.#resume());
    this.#handler.onRequestStart?.(this.#controller, context);
  }

  onUpgrade(status: number, headers: Buffer[], socket: unknown): void {
    this.#handler.onRequestUpgrade?.(this.#controller, status, cooked(headers), socket as object);
  }

  onHeaders(status: number, headers: Buffer[], resume: () => void, message: string): boolean {
    this.#resume = resume;
    this.#handler.onResponseStart?.(this.#controller, status, cooked(headers), message);
    return !this.#controller.paused;
  }

  onData(chunk: Buffer): boolean {
    this.#handler.onResponseData?.(this.#controller, chunk);
    return !this.#controller.paused;
  }

  onComplete(): void {
    this.#handler.onResponseEnd?.(this.#controller, {});
  }

  onError(error: Error): void {
    this.#handler.onResponseError?.(this.#controller, error);
  }
}

function cooked(headers: Buffer[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    fields[String(headers[i]).toLowerCase()] = String(headers[i + 1]);
  }
  return fields;
}

class BridgeController implements Controller {
  paused = false;
  reason: Error | null = null;
  readonly #abort: (reason?: Error) => void;
  readonly #resume: () => void;

  constructor(abort: (reason?: Error) => void, resume: () => void) {
    this.#abort = abort;
    this.#resume = resume;
  }

  get aborted(): boolean {
    return this.reason !== null;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#resume();
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.reason = reason;
    this.#abort(reason);
  }
}

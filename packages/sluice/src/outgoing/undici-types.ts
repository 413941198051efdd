/** What undici's dispatchers look like, as far as it matters here. */

export interface Controller {
  readonly aborted: boolean;
  readonly reason: Error | null;
  readonly paused: boolean;
  readonly rawHeaders?: unknown;
  readonly rawTrailers?: unknown;
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

type Fields = Readonly<Record<string, string | string[] | undefined>>;

/** The socket of an upgraded connection. */
export interface Socket {
  once?(event: "close", listener: () => void): unknown;
}

/** What undici also passes about a request: after redirects, the addresses that were asked, the one that answers last. */
export interface RequestContext {
  readonly history?: readonly URL[];
}

/** The callbacks of a request, since undici 7. */
export interface Handler {
  onRequestStart?(controller: Controller, context: RequestContext): void;
  onRequestUpgrade?(controller: Controller, status: number, headers: Fields, socket: Socket): void;
  onResponseStart?(
    controller: Controller,
    status: number,
    headers: Fields,
    statusMessage?: string,
  ): void;
  onResponseData?(controller: Controller, chunk: Uint8Array): void;
  onResponseEnd?(controller: Controller, trailers: Fields): void;
  onResponseError?(controller: Controller, error: Error): void;
  onBodySent?(chunk: unknown, totalBytesSent?: number): void;
  onRequestSent?(): void;
  /** Before the headers are read. */
  onResponseStarted?(): void;
}

export interface DispatchOptions {
  readonly origin?: string | URL;
  readonly path: string;
  readonly method: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly query?: unknown;
}

export type Dispatch = (options: DispatchOptions, handler: Handler) => boolean;

/** One request through undici, with its tries: to the handler that asked they look like one. */
import type { Call, Gate, Release } from "./gate.js";
import type { Controller, Dispatch, DispatchOptions, Handler } from "./undici-types.js";

export class Exchange {
  readonly #dispatch: Dispatch;
  readonly #options: DispatchOptions;
  readonly #handler: Handler;
  readonly #gate: Gate;
  readonly #controller = new StableController();

  constructor(dispatch: Dispatch, options: DispatchOptions, handler: Handler, gate: Gate) {
    this.#dispatch = dispatch;
    this.#options = options;
    this.#handler = handler;
    this.#gate = gate;
  }

  /** The handler gets its controller before the wait, so that it can end the wait. */
  start(makeCall: (signal: AbortSignal) => Call): void {
    this.#handler.onRequestStart?.(this.#controller, {});
    this.#run(makeCall).catch((error: unknown) => {
      this.#handler.onResponseError?.(this.#controller, error as Error);
    });
  }

  async #run(makeCall: (signal: AbortSignal) => Call): Promise<void> {
    const call = makeCall(this.#controller.signal);
    for (;;) {
      const release = await this.#gate.enter(call);
      const delayMs = await this.#try(call, release);
      if (delayMs === undefined) return;
      await this.#gate.backOff(call, delayMs);
    }
  }

  /** Milliseconds after which to try again, or undefined where the handler has had its answer. */
  async #try(call: Call, release: Release): Promise<number | undefined> {
    try {
      return await new Promise((resolve, reject) => {
        const target = { handler: this.#handler, controller: this.#controller };
        this.#dispatch(
          this.#options,
          new Try(target, this.#gate, call, { resolve, reject, release }),
        );
      });
    } finally {
      release();
    }
  }
}

interface Target {
  readonly handler: Handler;
  readonly controller: StableController;
}

interface Ending {
  readonly resolve: (delayMs: number | undefined) => void;
  readonly reject: (error: Error) => void;
  readonly release: Release;
}

/** What undici and the sockets below it call a failure of the network rather than of the caller. */
const NETWORK_ERRORS: ReadonlySet<unknown> = new Set([
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_SOCKET",
]);

/** More of a refusal's body is not read for the sake of its connection. */
const MAX_DISCARDED_BYTES = 65_536;

/** The handler of one try: passes everything on, unless the answer is one to be tried again. */
class Try implements Handler {
  readonly #handler: Handler;
  readonly #controller: StableController;
  readonly #gate: Gate;
  readonly #call: Call;
  readonly #ending: Ending;
  /** Set where the answer is to be thrown away. */
  #delayMs: number | undefined;
  #discardedBytes = 0;
  #hasAnswer = false;

  constructor({ handler, controller }: Target, gate: Gate, call: Call, ending: Ending) {
    this.#handler = handler;
    this.#controller = controller;
    this.#gate = gate;
    this.#call = call;
    this.#ending = ending;
  }

  onRequestStart(controller: Controller): void {
    this.#controller.follow(controller);
  }

  onBodySent(...sent: Parameters<NonNullable<Handler["onBodySent"]>>): void {
    this.#handler.onBodySent?.(...sent);
  }

  onRequestSent(): void {
    this.#handler.onRequestSent?.();
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  onRequestUpgrade(
    ...[, status, headers, socket]: Parameters<NonNullable<Handler["onRequestUpgrade"]>>
  ): void {
    const { resolve } = this.#ending;
    if (socket.once === undefined) resolve(undefined);
    else socket.once("close", () => resolve(undefined));
    this.#handler.onRequestUpgrade?.(this.#controller, status, headers, socket);
  }

  onResponseStart(
    ...[, status, headers, message]: Parameters<NonNullable<Handler["onResponseStart"]>>
  ): void {
    // 1xx: the answer is still to come.
    if (status >= 200) {
      this.#hasAnswer = true;
      this.#delayMs = this.#gate.answered(this.#call, status, headers);
    }
    if (this.#delayMs === undefined) {
      this.#handler.onResponseStart?.(this.#controller, status, headers, message);
    }
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    if (this.#delayMs === undefined) {
      this.#handler.onResponseData?.(this.#controller, chunk);
      return;
    }
    this.#discardedBytes += chunk.byteLength;
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) controller.abort(new Error("not read further"));
  }

  onResponseEnd(...[, trailers]: Parameters<NonNullable<Handler["onResponseEnd"]>>): void {
    const { resolve, release } = this.#ending;
    release();
    if (this.#delayMs === undefined) this.#handler.onResponseEnd?.(this.#controller, trailers);
    resolve(this.#delayMs);
  }

  onResponseError(_: Controller, error: Error): void {
    const { resolve, reject } = this.#ending;
    const isNetworkError = NETWORK_ERRORS.has((error as { code?: unknown }).code);
    try {
      if (!this.#hasAnswer && isNetworkError) this.#delayMs = this.#gate.failed(this.#call);
    } catch (thrown) {
      // undici would let it end the process, and the try would never end.
      reject(thrown as Error);
    }
    if (this.#delayMs === undefined) reject(error);
    else resolve(this.#delayMs);
  }
}

/** The controller that the handler keeps, whichever connection carries its request at the moment. */
class StableController implements Controller {
  readonly #abort = new AbortController();
  #paused = false;
  #current: Controller | undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get aborted(): boolean {
    return this.signal.aborted;
  }

  get reason(): Error | null {
    return this.aborted ? (this.signal.reason as Error) : null;
  }

  get paused(): boolean {
    return this.#current?.paused ?? this.#paused;
  }

  get rawHeaders(): unknown {
    return this.#current?.rawHeaders;
  }

  get rawTrailers(): unknown {
    return this.#current?.rawTrailers;
  }

  follow(controller: Controller): void {
    this.#current = controller;
    if (this.#paused) controller.pause();
    if (this.reason !== null) controller.abort(this.reason);
  }

  pause(): void {
    this.#paused = true;
    this.#current?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#current?.resume();
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.#abort.abort(reason);
    this.#current?.abort(reason);
  }
}

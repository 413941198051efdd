/** One request through undici, with its tries: to the handler that asked they look like one. */
import type { Call, OutgoingGate, Release } from "./gate.js";
import { isNetworkError } from "./network-error.js";
import type {
  Controller,
  Dispatch,
  DispatchOptions,
  Handler,
  RequestContext,
} from "./undici-types.js";

export class Exchange {
  readonly #dispatch: Dispatch;
  readonly #options: DispatchOptions;
  readonly #handler: Handler;
  readonly #gate: OutgoingGate;
  readonly #controller = new StableController();

  constructor(dispatch: Dispatch, options: DispatchOptions, handler: Handler, gate: OutgoingGate) {
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
      const refused = await this.#try(call, release);
      if (refused === undefined) return;
      try {
        await this.#gate.backOff(call, refused.delayMs);
      } finally {
        refused.stopReading();
      }
    }
  }

  /** What to do about the next try, or undefined if the handler has had its answer. */
  async #try(call: Call, release: Release): Promise<Refused | undefined> {
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

/** A try after which there is to be another. */
interface Refused {
  readonly delayMs: number;
  /** Ends what is left of the answer: a body that never ends would keep its connection for ever. */
  stopReading(): void;
}

interface Ending {
  readonly resolve: (refused: Refused | undefined) => void;
  readonly reject: (error: Error) => void;
  readonly release: Release;
}

/** More of a refusal's body is not read for the sake of its connection. */
const MAX_DISCARDED_BYTES = 65_536;

/** The handler of one try: passes everything on, unless the answer is one to be tried again. */
class Try implements Handler {
  readonly #handler: Handler;
  readonly #controller: StableController;
  readonly #gate: OutgoingGate;
  readonly #call: Call;
  readonly #ending: Ending;
  /** Set if the answer is to be discarded. */
  #delayMs: number | undefined;
  #discardedBytes = 0;
  #hasAnswer = false;
  #hasEnded = false;
  /** undici's own for this try. */
  #current: Controller | undefined;
  #context: RequestContext | undefined;

  constructor({ handler, controller }: Target, gate: OutgoingGate, call: Call, ending: Ending) {
    this.#handler = handler;
    this.#controller = controller;
    this.#gate = gate;
    this.#call = call;
    this.#ending = ending;
  }

  onRequestStart(controller: Controller, context: RequestContext | undefined): void {
    this.#current = controller;
    this.#context = context;
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
    if (socket.once === undefined || this.#gate.releasesAtHeaders) resolve(undefined);
    else socket.once("close", () => resolve(undefined));
    this.#handler.onRequestUpgrade?.(this.#controller, status, headers, socket);
  }

  onResponseStart(
    ...[, status, headers, message]: Parameters<NonNullable<Handler["onResponseStart"]>>
  ): void {
    // 1xx: the answer is still to come.
    if (status >= 200) {
      this.#hasAnswer = true;
      const url = this.#context?.history?.at(-1)?.href;
      this.#delayMs = this.#gate.answered(this.#call, { status, headers, url });
      // The body of a refusal is read to its end, so that its connection can be reused, but the
      // next try does not wait for it.
      if (this.#delayMs !== undefined) this.#tryAgainAfter(this.#delayMs);
      else if (this.#gate.releasesAtHeaders) this.#ending.release();
    }
    if (this.#delayMs === undefined) {
      this.#handler.onResponseStart?.(this.#controller, status, headers, message);
    }
  }

  #tryAgainAfter(delayMs: number): void {
    this.#ending.resolve({ delayMs, stopReading: () => this.#stopReading() });
  }

  #stopReading(): void {
    if (!this.#hasEnded) this.#current?.abort(new Error("not read further"));
  }

  onResponseData(_: Controller, chunk: Uint8Array): void {
    if (this.#delayMs === undefined) {
      this.#handler.onResponseData?.(this.#controller, chunk);
      return;
    }
    this.#discardedBytes += chunk.byteLength;
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.#stopReading();
  }

  onResponseEnd(...[, trailers]: Parameters<NonNullable<Handler["onResponseEnd"]>>): void {
    const { resolve, release } = this.#ending;
    this.#hasEnded = true;
    release();
    if (this.#delayMs === undefined) this.#handler.onResponseEnd?.(this.#controller, trailers);
    resolve(undefined);
  }

  onResponseError(_: Controller, error: Error): void {
    this.#hasEnded = true;
    const { reject } = this.#ending;
    let delayMs: number | undefined;
    try {
      if (!this.#hasAnswer && isNetworkError(error)) delayMs = this.#gate.failed(this.#call);
    } catch (thrown) {
      // undici would let it end the process, and the try would never end.
      reject(thrown as Error);
    }
    if (delayMs === undefined) reject(error);
    else this.#tryAgainAfter(delayMs);
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

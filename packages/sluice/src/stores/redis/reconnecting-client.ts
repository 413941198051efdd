/**
 * A client of node-redis that is made anew when its connection goes silent: open, but nothing comes back, as
 * behind a network that swallows. No option of node-redis sees to it, for its socketTimeout counts what is
 * written too: as long as somebody calls, if only to ask whether the server is back, the connection stays.
 */
import { startTimer, type Timer } from "../../core/clock.js";

type Method = (...args: never[]) => unknown;

/** Only what is used of node-redis. */
export interface NodeRedisClient {
  evalSha: Method;
  eval: Method;
  sSubscribe: Method;
  duplicate: Method;
  on(event: "connect" | "ready" | "error" | "end", listener: () => void): unknown;
  connect(): Promise<unknown>;
  destroy(): void;
}

export class ReconnectingClient {
  readonly #make: () => NodeRedisClient;
  readonly #silenceMs: number;
  #client: NodeRedisClient;
  #isClosed = false;

  /** `make` makes a client that tries for ever to connect, once it was connected. */
  constructor(make: () => NodeRedisClient, silenceMs: number) {
    this.#make = make;
    this.#silenceMs = silenceMs;
    this.#client = this.#open();
  }

  evalSha(...args: never[]): Promise<unknown> {
    return this.#answered(this.#client, this.#client.evalSha(...args));
  }

  eval(...args: never[]): Promise<unknown> {
    return this.#answered(this.#client, this.#client.eval(...args));
  }

  /** By this the store knows how to subscribe; it does so on a duplicate. */
  sSubscribe(...args: never[]): unknown {
    return this.#client.sSubscribe(...args);
  }

  duplicate(...args: never[]): unknown {
    return this.#client.duplicate(...args);
  }

  connect(): Promise<unknown> {
    return this.#client.connect();
  }

  destroy(): void {
    this.#isClosed = true;
    this.#client.destroy();
  }

  #open(): NodeRedisClient {
    const client = this.#make();
    // A server that accepts and then says nothing would hold up the connecting for ever.
    let greeting: Timer | undefined;
    const settled = (): void => {
      greeting?.cancel();
    };
    client.on("connect", () => {
      settled();
      greeting = this.#patience(client);
    });
    client.on("ready", settled);
    client.on("end", settled);
    client.on("error", settled);
    return client;
  }

  async #answered(client: NodeRedisClient, answer: unknown): Promise<unknown> {
    const patience = this.#patience(client);
    try {
      return await answer;
    } finally {
      patience.cancel();
    }
  }

  #patience(client: NodeRedisClient): Timer {
    const timer = startTimer(this.#silenceMs, () => {
      this.#leave(client);
    });
    timer.unref();
    return timer;
  }

  #leave(silent: NodeRedisClient): void {
    if (this.#isClosed || silent !== this.#client) return;
    silent.destroy();
    this.#client = this.#open();
    void this.#client.connect().catch(() => {});
  }
}

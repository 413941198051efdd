/**
 * A client of node-redis that is replaced when its connection goes silent: open, but no answer comes back, as behind a
 * network that drops packets. No option of node-redis prevents that. Its socketTimeout counts what is written too, so the
 * dead connection stays as long as there are calls, if only probes.
 */
import { startTimer, type Timer } from "../../../core/clock.js";
import type { ClientMethod } from "./client.js";

/** Only what is used of node-redis. */
export interface ConnectingNodeRedis {
  evalSha: ClientMethod;
  eval: ClientMethod;
  sSubscribe: ClientMethod;
  sendCommand: ClientMethod;
  duplicate: ClientMethod;
  on(
    event: "connect" | "ready" | "error" | "end" | "reconnecting",
    listener: (error?: unknown) => void,
  ): unknown;
  connect(): Promise<unknown>;
  destroy(): void;
}

export class ReconnectingClient {
  readonly #make: () => ConnectingNodeRedis;
  readonly #silenceMs: number;
  #client: ConnectingNodeRedis;
  #isClosed = false;

  /** `make` makes a client that tries for ever to connect again, once it was connected. */
  constructor(make: () => ConnectingNodeRedis, silenceMs: number) {
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

  sendCommand(...args: never[]): Promise<unknown> {
    return this.#answered(this.#client, this.#client.sendCommand(...args));
  }

  /** The store recognizes by this method how to subscribe; it does so on a duplicate. */
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

  #open(): ConnectingNodeRedis {
    const client = this.#make();
    // A server that accepts a connection and never answers would keep the client connecting for ever.
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

  async #answered(client: ConnectingNodeRedis, answer: unknown): Promise<unknown> {
    const patience = this.#patience(client);
    try {
      return await answer;
    } finally {
      patience.cancel();
    }
  }

  #patience(client: ConnectingNodeRedis): Timer {
    const timer = startTimer(this.#silenceMs, () => {
      this.#leave(client);
    });
    timer.unref();
    return timer;
  }

  #leave(silent: ConnectingNodeRedis): void {
    if (this.#isClosed || silent !== this.#client) return;
    silent.destroy();
    this.#client = this.#open();
    void this.#client.connect().catch(() => {});
  }
}

/** A store's own connection, opened by the first call. If that fails, a later call tries again. */
import type { Closing } from "../../core/closing.js";
import type { Submitted } from "../hand-over.js";
import { handOverNow, notSent } from "./batcher.js";
import type { AskScript, NodeOf } from "./clients/client.js";
import { adapterOf } from "./clients/index.js";
import type { OwnConnection } from "./clients/own-connection.js";

/** How a connection is opened. To load the client's package may take longer than all the rest. */
export interface Connector {
  /** Resolves once the client's package is loaded, or cannot be; never rejects. */
  load(): Promise<void>;
  /** Connects; gives up once `closed` fires. */
  open(closed: AbortSignal): Promise<OwnConnection>;
}

interface Opened {
  readonly connection: OwnConnection;
  readonly ask: AskScript;
  readonly nodeOf: NodeOf | undefined;
  readonly sendsOnce: boolean;
  readonly writesAtOnce: () => boolean;
}

export class LazyConnection {
  readonly #connector: Connector;
  readonly #closing: Closing;
  /** Begins with the store: the first call is not to wait for a disk. */
  readonly #loading: Promise<void>;
  #isLoaded = false;
  #opening: Promise<Opened> | undefined;
  #opened: Opened | undefined;

  /** `closing` is the store's. */
  constructor(connector: Connector, closing: Closing) {
    this.#connector = connector;
    this.#closing = closing;
    this.#loading = connector.load().then(() => {
      this.#isLoaded = true;
    });
  }

  /** Undefined until it is open. */
  get client(): object | undefined {
    return this.#opened?.connection.client;
  }

  /** Waits for the connection, then runs the script. */
  readonly ask: AskScript = (...script) => {
    if (this.#opened !== undefined) {
      this.#opened.ask(...script);
      return;
    }
    const failed = script[5];
    this.open()
      .then(({ ask }) => {
        ask(...script);
      })
      .catch(failed);
  };

  /** The node of a slot; "" as long as it is not known. */
  readonly nodeOf: NodeOf = (slot) => this.#opened?.nodeOf?.(slot) ?? "";

  /** Whether what may have reached the server is never sent again. */
  readonly sendsOnce = (): boolean => this.#opened?.sendsOnce === true;

  /** Whether a command that is given to its client now is on its way when that returns. */
  readonly writesAtOnce = (): boolean => this.#opened?.writesAtOnce() === true;

  /** All calls during an attempt wait for the same one. */
  open(): Promise<Opened> {
    if (this.#opening === undefined) {
      this.#opening = this.#begin();
      // Before the waiting calls go on, so that no new call overtakes them.
      this.#opening.then(
        (opened) => {
          this.#opened = opened;
        },
        () => {
          this.#opening = undefined;
        },
      );
    }
    return this.#opening;
  }

  /**
   * Sends a call once the connection is open, in the order of asking. Once the client's package is loaded, the wait counts
   * against the server, as after a hand-over; before that the call waits in this process. A call that its caller has given
   * up is not sent, and so not counted.
   */
  whenOpen(call: Submitted, send: () => void, fail: (error: Error) => void): void {
    if (this.#isLoaded) call.handOver = handOverNow();
    else {
      void this.#loading.then(() => {
        call.handOver ??= handOverNow();
      });
    }
    this.open().then(() => {
      if (call.abandoned === true) fail(notSent());
      else send();
    }, fail);
  }

  async close(): Promise<void> {
    // An attempt that failed, or that the end of the store ended, has closed what it opened.
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.connection.close();
  }

  async #begin(): Promise<Opened> {
    try {
      this.#closing.throwIfClosed();
      const connection = await this.#connector.open(this.#closing.signal);
      const { client } = connection;
      const adapter = adapterOf(client);
      const nodeOf = adapter.clusterOf?.(client)?.nodeOf;
      const sendsOnce = adapter.sendsOnce?.(client) === true;
      const writesAtOnce = (): boolean => adapter.writesAtOnce?.(client) === true;
      return { connection, ask: adapter.runnerOf(client), nodeOf, sendsOnce, writesAtOnce };
    } catch (error) {
      throw this.#closing.isClosed ? this.#closing.error() : error;
    }
  }
}

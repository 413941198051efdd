/** A client on raw sockets: it costs little, and always the same, so that what is left of a difference is the server's. */
import { connect } from "node:net";

/** @typedef {{ status: number, head: string }} Reply */

/** One connection that is kept alive; one request at a time. */
class Connection {
  /** @readonly @type {import("node:net").Socket} */
  #socket;
  #read = "";
  /** @type {((reply: Reply) => void) | undefined} */
  #resolve;
  /** @type {((error: Error) => void) | undefined} */
  #reject;

  /** @param {number} port */
  constructor(port) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (/** @type {string} */ data) => {
      this.#read += data;
      this.#take();
    });
    this.#socket.on("error", (error) => this.#reject?.(error));
    this.#socket.on("close", () => this.#reject?.(new Error("the server closed the connection")));
  }

  /**
   * @param {string} request
   * @returns {Promise<Reply>}
   */
  ask(request) {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      if (this.#socket.destroyed) reject(new Error("the server had closed the connection"));
      this.#socket.write(request, "latin1");
    });
  }

  close() {
    this.#resolve = undefined;
    this.#reject = undefined;
    this.#socket.destroy();
  }

  #take() {
    const end = this.#read.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#read.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      if (!this.#read.endsWith("\r\n0\r\n\r\n")) return;
    } else if (this.#read.length < end + 4 + Number(length)) return;
    this.#read = "";
    this.#resolve?.({ status: Number(head.slice(9, 12)), head });
  }
}

export class Client {
  /** @readonly @type {Connection[]} */
  #connections;
  /** @readonly @type {readonly string[]} */
  #requests;
  #next = 0;

  /**
   * @param {number} port
   * @param {{ connections: number, keys: number }} options
   */
  constructor(port, { connections, keys }) {
    this.#connections = Array.from({ length: connections }, () => new Connection(port));
    this.#requests = Array.from(
      { length: keys },
      (_, i) => `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User: user-${i}\r\n\r\n`,
    );
  }

  /**
   * Sends `count` requests, shared by all connections, and hands each reply to `check`.
   * @param {number} count
   * @param {(reply: Reply) => void} check
   */
  async send(count, check) {
    let left = count;
    await Promise.all(
      this.#connections.map(async (connection) => {
        while (left > 0) {
          left -= 1;
          this.#next = (this.#next + 1) % this.#requests.length;
          check(await connection.ask(this.#requests[this.#next] ?? ""));
        }
      }),
    );
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }
}

/** A client of HTTP/1.1 that shows an answer as it came over the wire, and sends whatever it is given. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { patiently } from "./patience.js";

/** A request as a case writes it. */
export interface RawRequest {
  readonly path: string;
  /** Default GET. */
  readonly method?: string | undefined;
  /** Values byte for byte, as latin1. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

/** An answer whose body has ended. */
export class RawAnswer {
  readonly status: number;
  /** In the order of the wire, names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;

  constructor(
    status: number,
    fields: readonly (readonly [name: string, value: string])[],
    body: string,
  ) {
    this.status = status;
    this.fields = fields;
    this.body = body;
  }

  /** undefined if there is none; a field in two lines is a mistake. */
  field(name: string): string | undefined {
    const values = this.fields.filter(([other]) => other === name.toLowerCase());
    assert.ok(values.length <= 1, `${name} stands in ${values.length} lines`);
    return values[0]?.[1];
  }
}

const HEAD_END = "\r\n\r\n";

export class RawConnection {
  /** Everything that came, as latin1, but for the answers that were taken. */
  #received = "";
  #isEnded = false;
  readonly #socket: Socket;
  #arrived: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.#received += text;
      this.#arrived();
    });
    // That it is reset is one of the ways in which a connection ends.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#isEnded = true;
      this.#arrived();
    });
  }

  /** Of an address such as "http://127.0.0.1:8080". */
  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const connection = new RawConnection(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return connection;
  }

  /** Whether the server has closed it. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** As latin1, byte for byte. */
  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Several are sent in one piece. */
  send(...requests: readonly RawRequest[]): void {
    this.write(requests.map(textOf).join(""));
  }

  /** The next answer, of a request with this method. */
  async answer(method = "GET"): Promise<RawAnswer> {
    const headEnd = await this.#find(HEAD_END);
    const [statusLine = "", ...lines] = this.#take(headEnd + HEAD_END.length)
      .slice(0, headEnd)
      .split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
    assert.ok(status >= 200, `no answer starts with ${JSON.stringify(statusLine)}`);
    const fields = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    const hasBody = method !== "HEAD" && status !== 204 && status !== 304;
    return new RawAnswer(status, fields, hasBody ? await this.#body(fields) : "");
  }

  /** Waits until this text has come. */
  async until(text: string): Promise<void> {
    await this.#find(text);
  }

  /** Whether this text has come. */
  has(text: string): boolean {
    return this.#received.includes(text);
  }

  /** Leaves, without a word. */
  leave(): void {
    this.#socket.destroy();
  }

  async #body(fields: readonly (readonly [name: string, value: string])[]): Promise<string> {
    const known = new Map(fields);
    const length = known.get("content-length");
    if (length !== undefined) return this.#bytes(Number(length));
    if (known.get("transfer-encoding")?.toLowerCase() === "chunked") return this.#chunks();
    await this.#when(() => this.#isEnded);
    return this.#take(this.#received.length);
  }

  async #chunks(): Promise<string> {
    let body = "";
    for (;;) {
      const sizeEnd = await this.#find("\r\n");
      const size = Number.parseInt(this.#take(sizeEnd + 2), 16);
      assert.ok(size >= 0, "a chunk has no size");
      body += await this.#bytes(size);
      assert.equal(await this.#bytes(2), "\r\n", "a chunk has another size than it says");
      if (size === 0) return body;
    }
  }

  async #bytes(count: number): Promise<string> {
    await this.#when(() => this.#received.length >= count);
    return this.#take(count);
  }

  async #find(text: string): Promise<number> {
    await this.#when(() => this.#received.includes(text));
    return this.#received.indexOf(text);
  }

  #take(count: number): string {
    const taken = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return taken;
  }

  async #when(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      assert.ok(!this.#isEnded, `the server closed the connection after ${this.#shown()}`);
      const more = new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
      await patiently(more, `what comes after ${this.#shown()}`);
    }
  }

  #shown(): string {
    return this.#received === "" ? "nothing" : JSON.stringify(this.#received.slice(0, 500));
  }
}

function textOf({ path, method = "GET", fields = {} }: RawRequest): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`;
}

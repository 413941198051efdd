/** A client of HTTP/2: one connection, many requests. */
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { patiently } from "./patience.js";
import { RawAnswer, type RawRequest } from "./raw-connection.js";

type Head = IncomingHttpHeaders & IncomingHttpStatusHeader;

export class Http2Client {
  readonly #session: ClientHttp2Session;

  /** `window` is how many bytes of a body may come before the client asks for more. */
  constructor(url: string, window?: number) {
    this.#session = connect(url, {
      ...(window !== undefined && { settings: { initialWindowSize: window } }),
    });
    this.#session.on("error", () => undefined);
  }

  /** Sends a request and waits for the whole answer. */
  async ask(request: RawRequest): Promise<RawAnswer> {
    const stream = this.begin(request);
    const head = await this.head(stream);
    stream.setEncoding("latin1");
    let body = "";
    stream.on("data", (text: string) => {
      body += text;
    });
    await patiently(once(stream, "end"), "the end of the answer");
    const fields = Object.entries(head).flatMap(([name, value]): [string, string][] =>
      name.startsWith(":") || value === undefined ? [] : [[name, String(value)]],
    );
    return new RawAnswer(Number(head[":status"]), fields, body);
  }

  /** Sends a request, which the case may then reset. */
  begin({ path, method = "GET", fields = {} }: RawRequest): ClientHttp2Stream {
    const stream = this.#session.request({ ":path": path, ":method": method, ...fields });
    stream.on("error", () => undefined);
    return stream;
  }

  async head(stream: ClientHttp2Stream): Promise<Head> {
    const [head] = (await patiently(once(stream, "response"), "an answer")) as [Head];
    return head;
  }

  close(): void {
    this.#session.destroy();
  }
}

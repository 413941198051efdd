/** Clients with addresses of their own, and what they get. */
import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { APP_SAYS } from "./neighbours.js";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** How long it took. */
  readonly ms: number;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

let clients = 0;

/** The address of a client that nobody has seen yet: all of 127.0.0.0/8 is this machine. */
export function newAddress(): string {
  clients += 1;
  return `127.7.${clients >> 8}.${clients & 255}`;
}

/** Asks a proxy by a connection of its own, as the client that has the address `from`. */
export async function ask(
  proxy: string,
  from: string,
  path: string,
  { method = "GET", headers = {}, body = "" }: Asked = {},
): Promise<Reply> {
  const beganMs = performance.now();
  const [host, port] = proxy.split(":");
  const length = body === "" ? {} : { "content-length": Buffer.byteLength(body) };
  const outgoing = request({
    host,
    port,
    method,
    path,
    localAddress: from,
    agent: false,
    headers: { ...headers, ...length },
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response")) as [
    AsyncIterable<Buffer> & { statusCode: number; headers: IncomingHttpHeaders },
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const { statusCode: status, headers: fields } = incoming;
  const ms = performance.now() - beganMs;
  return { status, headers: fields, body: Buffer.concat(chunks).toString(), ms };
}

/** Sends a request line as it is, whatever it holds, and gives back the status. */
export async function askRaw(proxy: string, from: string, line: string): Promise<number> {
  const [host = "", port] = proxy.split(":");
  const socket = connect({ host, port: Number(port), localAddress: from });
  socket.write(`${line} HTTP/1.1\r\nHost: ${proxy}\r\nConnection: close\r\n\r\n`);
  let answer = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    answer += text;
  });
  await once(socket, "close");
  return Number(/^HTTP\/1\.\d (\d{3})/.exec(answer)?.[1] ?? 0);
}

const FIELDS = ["RateLimit", "RateLimit-Policy", "Retry-After"];

/** What a client sees of an answer, in a cell of a table. */
export function sightOf({ status, headers, body }: Reply): string {
  const fields = FIELDS.filter((name) => headers[name.toLowerCase()] !== undefined);
  return [`${status}, ${writerOf(headers["content-type"] ?? "", body)}`, ...fields].join("<br>");
}

function writerOf(type: string, body: string): string {
  if (body.startsWith(APP_SAYS)) return "the application's";
  if (!type.startsWith("application/problem+json")) return "neither's";
  return body.includes("violated-policies") ? "Sluice's body" : "the proxy's body";
}

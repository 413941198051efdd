/** One request over a socket of its own: what came back, as it came. */
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  /** Names as they were sent. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** By a name in lower case; several lines joined by ", ". */
  field(name: string): string | undefined;
}

/** `line` is the method and the path, "GET /". */
export async function ask(
  url: string,
  line = "GET /",
  fields: Readonly<Record<string, string>> = {},
  body = "",
): Promise<RawAnswer> {
  const socket = open(url, line, { Connection: "close", ...fields }, body);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return answerOf(Buffer.concat(chunks).toString("latin1"));
}

/** Sends a request, and leaves what comes to the caller. */
export function open(
  url: string,
  line: string,
  fields: Readonly<Record<string, string>> = {},
  body = "",
): Socket {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  const length = body === "" ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
  const head = Object.entries({ Host: "localhost", ...length, ...fields });
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.write(`${line} HTTP/1.1\r\n${lines}\r\n${body}`);
  return socket;
}

function answerOf(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const fields = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  return {
    status: Number(first.split(" ")[1]),
    fields,
    body: text.slice(end + 4),
    field: (name) => {
      const values = fields.filter(([other]) => other.toLowerCase() === name);
      return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
    },
  };
}

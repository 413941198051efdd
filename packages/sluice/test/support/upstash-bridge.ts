/** Upstash's REST protocol in front of a real Redis, on loopback: what @upstash/redis talks to. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Redis } from "ioredis";

export interface UpstashBridge {
  readonly url: string;
  readonly token: string;
  readonly close: () => Promise<void>;
}

const TOKEN = "loopback-token";

type Reply = { readonly result: unknown } | { readonly error: string };

/**
 * A command is a POST of a JSON array to `/`; several go to `/pipeline` and answer in order. A command's
 * error is the status 400, but in a pipeline an element of its own.
 */
export async function startUpstashBridge(redis: Redis): Promise<UpstashBridge> {
  const run = async (command: readonly unknown[], encoded: boolean): Promise<Reply> => {
    const [name = "", ...args] = command.map(String);
    try {
      const result = await redis.call(name, ...args);
      return { result: encoded ? base64(result) : result };
    } catch (error) {
      return { error: (error as Error).message };
    }
  };

  const answer = async (request: IncomingMessage): Promise<[status: number, body: unknown]> => {
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      return [401, { error: "WRONGPASS invalid or missing auth token" }];
    }
    const body = JSON.parse(await textOf(request)) as unknown[];
    const encoded = request.headers["upstash-encoding"] === "base64";
    if (request.url === "/pipeline") {
      const replies = (body as unknown[][]).map((command) => run(command, encoded));
      return [200, await Promise.all(replies)];
    }
    const reply = await run(body, encoded);
    return ["error" in reply ? 400 : 200, reply];
  };

  const server = createServer((request, response) => {
    answer(request).then(
      ([status, body]) => response.writeHead(status).end(JSON.stringify(body)),
      (error: unknown) => response.writeHead(500).end(JSON.stringify({ error: String(error) })),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: TOKEN,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** Text becomes base64 wherever it stands; numbers stay, and so does the status OK. */
function base64(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((element) => base64(element));
  return typeof value === "string" && value !== "OK"
    ? Buffer.from(value).toString("base64")
    : value;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

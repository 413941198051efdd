/** A server that answers as it is told, and tells what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

export interface Script {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Instead of an answer: whatever the test wants done. */
  readonly act?: (request: IncomingMessage, response: ServerResponse) => void;
}

export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly atMs: number;
}

export interface ScriptedServer {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  /** Requests under way right now, and the most there ever were. */
  readonly load: { now: number; peak: number };
  /** What is done with connections that are to speak another protocol. */
  onUpgrade(act: (socket: Duplex) => void): void;
  close(): Promise<void>;
}

/** Answers the first request by the first entry and so on; when they run out, 200 with "ok". */
export async function serve(...scripts: readonly Script[]): Promise<ScriptedServer> {
  const arrivals: Arrival[] = [];
  const load = { now: 0, peak: 0 };
  const upgraded: Duplex[] = [];
  const server = createServer((request, response) => {
    const atMs = performance.now();
    load.now += 1;
    load.peak = Math.max(load.peak, load.now);
    response.on("close", () => {
      load.now -= 1;
    });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { act, status = 200, headers = {}, body = "ok" } = scripts[arrivals.length] ?? {};
      const { method = "", url = "" } = request;
      arrivals.push({ method, url, body: Buffer.concat(chunks).toString(), atMs });
      if (act !== undefined) act(request, response);
      // Connections that stay open would outlive the test that made them.
      else response.writeHead(status, { connection: "close", ...headers }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrivals,
    load,
    onUpgrade: (act) => {
      server.on("upgrade", (_, socket) => {
        upgraded.push(socket);
        act(socket);
      });
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }),
  };
}

/** Servers of node:http and node:http2 on a free port of loopback. */
import type { Server as HttpServer } from "node:http";
import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { RunningServer } from "../../../src/testing/http/subject.js";

/** How long `/slow` and `/stream` take. */
export const SLOW_MS = 300;

export async function listenHttp(server: HttpServer): Promise<RunningServer> {
  return {
    url: await urlOf(server),
    close: async () => {
      server.closeAllConnections();
      await closed(server);
    },
  };
}

export async function listenHttp2(server: Http2Server): Promise<RunningServer> {
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  return {
    url: await urlOf(server),
    close: async () => {
      for (const session of sessions) session.destroy();
      await closed(server);
    },
  };
}

async function urlOf(server: Server): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.close((error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

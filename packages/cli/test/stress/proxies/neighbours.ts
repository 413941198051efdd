/** What stands behind a proxy: the application, and before the service something that sees what it is asked. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, request, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it arrived. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** The same with all repetitions: name, value, name, value. */
  readonly raw: readonly string[];
  readonly body: string;
}

export interface Neighbour {
  /** host:port */
  readonly address: string;
  /** All that has arrived. */
  readonly seen: Seen[];
  stop(): Promise<void>;
}

type Answer = (seen: Seen, ...rest: Parameters<RequestListener>) => void;

async function listening(answer: Answer, port = 0): Promise<Neighbour> {
  const seen: Seen[] = [];
  const server = createServer({ maxHeaderSize: 2 ** 20 }, (incoming, outgoing) => {
    let body = "";
    incoming.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    incoming.on("end", () => {
      const { method = "", url = "", headers, rawHeaders: raw } = incoming;
      const one = { method, url, headers, raw, body };
      seen.push(one);
      answer(one, incoming, outgoing);
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    address,
    seen,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** What the application says, to be told from all that a proxy says itself. */
export const APP_SAYS = "from the application";

/** An application: at /forbidden it answers 403, 500 at /failing, and at /broken it ends the connection. */
export function startApp(): Promise<Neighbour> {
  const statuses: Readonly<Record<string, number>> = { "/forbidden": 403, "/failing": 500 };
  return listening(({ url, body }, incoming, outgoing) => {
    if (url === "/broken") {
      incoming.socket.destroy();
      return;
    }
    outgoing.writeHead(statuses[url] ?? 200, { "Content-Type": "text/plain" });
    outgoing.end(`${APP_SAYS}: ${body}`);
  });
}

/** How the service is: as it is, or as it must never be. */
export type Health = "well" | "silent" | "resetting" | "failing" | "refusing";

export interface Lookout extends Neighbour {
  health: Health;
  /** Nobody listens there any more; {@link revive} brings it back. */
  die(): Promise<void>;
  revive(): Promise<void>;
}

/** Stands before the service, at an address of its own, passes on, and adds a field that is for nobody else. */
export async function startLookout(service: string): Promise<Lookout> {
  const seen: Seen[] = [];
  const open = (port?: number): Promise<Neighbour> =>
    listening((one, incoming, outgoing) => {
      seen.push(one);
      const { health } = lookout;
      if (health === "silent") return;
      if (health === "resetting") incoming.socket.destroy();
      else if (health === "failing") outgoing.writeHead(503, { "Retry-After": "1" }).end("503");
      else if (health === "refusing") outgoing.writeHead(401).end("401");
      else passOn(service, one, outgoing);
    }, port);
  let server = await open();
  const lookout: Lookout = {
    address: server.address,
    seen,
    health: "well",
    die: () => server.stop(),
    async revive() {
      server = await open(Number(server.address.split(":")[1]));
    },
    stop: () => server.stop(),
  };
  return lookout;
}

function passOn(
  service: string,
  { method, url, raw }: Seen,
  outgoing: Parameters<RequestListener>[1],
): void {
  const { hostname: host, port } = new URL(service);
  const asked = request(
    { host, port, method, path: url, headers: [...raw], agent: false },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, [...answer.rawHeaders, "X-Sluice-Inner", "1"]);
      answer.pipe(outgoing);
    },
  );
  asked.on("error", () => outgoing.destroy());
  asked.end();
}

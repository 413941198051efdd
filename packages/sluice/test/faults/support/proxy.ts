/** A TCP proxy before a server, which does to connections what networks do. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** From the clients to the server, or back. */
export type Direction = "requests" | "replies";

export interface Proxy {
  readonly port: number;
  readonly url: string;
  /** Bytes forwarded so far. */
  readonly forwarded: Readonly<Record<Direction, number>>;
  /** How many connections were ended in the middle of what they carried. */
  readonly cuts: number;
  /** Holds everything back so long, in the order in which it came; 0 = no longer. */
  delay(ms: number): void;
  /** Lets at most so many bytes pass in a second, each way; 0 = any number. */
  throttle(bytesPerSecond: number): void;
  /** Lets `bytes` more pass in that direction, then ends the connection that carries them. */
  cutAfter(direction: Direction, bytes: number): void;
  /** Connections of now, and the next so many, stay open and carry nothing, for good; later ones do. */
  strand(next?: number): void;
  /** No more of any fault, but what is stranded stays so. */
  heal(): void;
  /** Ends every connection. */
  endAll(): void;
  stop(): Promise<void>;
}

const TICK_MS = 10;

export async function startProxy(serverPort: number): Promise<Proxy> {
  const forwarded = { requests: 0, replies: 0 };
  const pairs = new Set<readonly [Socket, Socket]>();
  let delayMs = 0;
  let bytesPerSecond = 0;
  const stranded = new Set<readonly [Socket, Socket]>();
  let strandNext = 0;
  let cuts = 0;
  let cutAt: { readonly direction: Direction; left: number } | undefined;

  const end = (pair: readonly [Socket, Socket]): void => {
    pairs.delete(pair);
    stranded.delete(pair);
    for (const socket of pair) socket.destroy();
  };

  const endAll = (): void => {
    for (const pair of pairs) end(pair);
  };

  /** Passes on what one side says; `due` keeps the order when delays change. */
  const forward = (pair: readonly [Socket, Socket], from: Socket, to: Socket): void => {
    const direction: Direction = from === pair[0] ? "requests" : "replies";
    const write = (chunk: Buffer): void => {
      if (stranded.has(pair) || to.destroyed) return;
      if (cutAt?.direction === direction && chunk.length > cutAt.left) {
        cuts += 1;
        forwarded[direction] += cutAt.left;
        const part = chunk.subarray(0, cutAt.left);
        cutAt = undefined;
        // The part must arrive before the end does.
        pairs.delete(pair);
        from.destroy();
        to.end(part, () => to.destroy());
        return;
      }
      if (cutAt?.direction === direction) cutAt.left -= chunk.length;
      forwarded[direction] += chunk.length;
      to.write(chunk);
    };
    let queue: { readonly dueMs: number; chunk: Buffer }[] = [];
    let timer: NodeJS.Timeout | undefined;
    const drain = (): void => {
      timer = undefined;
      let budget = bytesPerSecond === 0 ? Infinity : Math.ceil((bytesPerSecond * TICK_MS) / 1e3);
      while (queue.length > 0 && budget > 0) {
        const [first] = queue;
        if (first === undefined || first.dueMs > performance.now()) break;
        const part = first.chunk.subarray(0, budget);
        write(part);
        budget -= part.length;
        first.chunk = first.chunk.subarray(part.length);
        if (first.chunk.length === 0) queue.shift();
      }
      if (queue.length > 0) timer = setTimeout(drain, TICK_MS);
    };
    from.on("data", (chunk: Buffer) => {
      if (delayMs === 0 && bytesPerSecond === 0 && queue.length === 0) {
        write(chunk);
        return;
      }
      queue.push({ dueMs: performance.now() + delayMs, chunk });
      timer ??= setTimeout(drain, TICK_MS);
    });
    from.on("error", () => {});
    from.on("close", () => {
      clearTimeout(timer);
      queue = [];
      if (pairs.has(pair)) end(pair);
    });
  };

  const server = createServer((client) => {
    const upstream = connect(serverPort, "127.0.0.1");
    const pair = [client, upstream] as const;
    for (const socket of pair) socket.setNoDelay(true);
    pairs.add(pair);
    if (strandNext > 0) {
      strandNext -= 1;
      stranded.add(pair);
    }
    forward(pair, client, upstream);
    forward(pair, upstream, client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    forwarded,
    get cuts() {
      return cuts;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    throttle: (limit) => {
      bytesPerSecond = limit;
    },
    cutAfter: (direction, bytes) => {
      cutAt = { direction, left: bytes };
    },
    strand: (next = 0) => {
      for (const pair of pairs) stranded.add(pair);
      strandNext = next;
    },
    heal: () => {
      delayMs = 0;
      bytesPerSecond = 0;
      cutAt = undefined;
      strandNext = 0;
    },
    endAll,
    stop: async () => {
      endAll();
      server.close();
      await once(server, "close");
    },
  };
}

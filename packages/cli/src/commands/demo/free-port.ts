/** Finds a port on which nothing listens. */
import { createServer } from "node:net";
import { UsageError } from "../../command-line/options.js";

/** How many ports are looked at. */
const LOOKS = 100;
const HIGHEST = 65_535;

/**
 * The first free port from `port` on; 0 = any.
 *
 * @throws UsageError if the next hundred are taken, or this machine has no such address
 */
export async function freePort(host: string, port: number): Promise<number> {
  for (let each = port; each < port + LOOKS && each <= HIGHEST; each++) {
    const found = await tryPort(host, each);
    if (found !== undefined) return found;
  }
  throw new UsageError(`no port from ${port} on is free on ${host}`);
}

/** The port; undefined if it is taken. */
function tryPort(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", ({ code }: NodeJS.ErrnoException) => {
      if (code === "EADDRINUSE" || code === "EACCES") resolve(undefined);
      else reject(new UsageError(`cannot listen on ${host}: ${code ?? "unknown"}`));
    });
    server.listen({ host, port }, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  });
}

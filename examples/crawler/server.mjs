// A small site that limits its visitors: 5 requests at once and 10 a second. Who asks for more gets 429.
import { createServer } from "node:http";

const AT_ONCE = 5;
const A_SECOND = 10;
const PAGES = 40;

/** Starts it on a free port. `seen` tells what its visitors did. */
export async function startSite() {
  const seen = { served: 0, refused: 0, peak: 0 };
  /** @type {number[]} */
  let admitted = [];
  let busy = 0;
  const server = createServer((request, response) => {
    const now = performance.now();
    admitted = admitted.filter((at) => at > now - 1000);
    if (busy >= AT_ONCE || admitted.length >= A_SECOND) {
      seen.refused += 1;
      response.writeHead(429, { "retry-after": "1" }).end("slow down\n");
      return;
    }
    admitted.push(now);
    busy += 1;
    seen.peak = Math.max(seen.peak, busy);
    setTimeout(() => {
      busy -= 1;
      seen.served += 1;
      const page = Number(request.url?.slice(1)) || 0;
      const links = [2 * page + 1, 2 * page + 2].filter((next) => next < PAGES);
      response.setHeader("content-type", "application/json").end(JSON.stringify({ page, links }));
    }, 100);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

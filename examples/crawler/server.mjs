// A small site that limits its visitors, all of them together: 6 requests at once and 12 in any second. Who asks
// for more gets 429. It notes what each visitor did, refused requests included.
import { createServer } from "node:http";

const AT_ONCE = 6;
const A_SECOND = 12;
const PAGES = 40;
/** Pages from here on come from the archive, which is slow. */
const ARCHIVE = 20;
const PAGE_MS = 20;
const ARCHIVED_PAGE_MS = 1000;

/**
 * @typedef {object} Visitor
 * @property {number[]} arrivalsMs
 * @property {number} underWay
 * @property {number} mostUnderWay
 * @property {number} refused
 */

/** Starts it on a free port. `visitor` tells what those with a user agent did. */
export async function startSite() {
  /** @type {Map<string, Visitor>} */
  const visitors = new Map();
  /** @param {string} agent */
  function visitor(agent) {
    const known = visitors.get(agent);
    if (known !== undefined) return known;
    const made = { arrivalsMs: [], underWay: 0, mostUnderWay: 0, refused: 0 };
    visitors.set(agent, made);
    return made;
  }

  /** @type {number[]} */
  let admittedMs = [];
  let busy = 0;
  const server = createServer((request, response) => {
    const nowMs = performance.now();
    const from = visitor(request.headers["user-agent"] ?? "");
    from.arrivalsMs.push(nowMs);
    from.underWay += 1;
    from.mostUnderWay = Math.max(from.mostUnderWay, from.underWay);

    admittedMs = admittedMs.filter((atMs) => atMs > nowMs - 1000);
    if (busy >= AT_ONCE || admittedMs.length >= A_SECOND) {
      from.refused += 1;
      from.underWay -= 1;
      response.writeHead(429, { "retry-after": "1" }).end("slow down\n");
      return;
    }
    admittedMs.push(nowMs);
    busy += 1;
    const page = Number(request.url?.slice(1)) || 0;
    setTimeout(
      () => {
        busy -= 1;
        from.underWay -= 1;
        const links = [1, 2, 3].map((n) => 3 * page + n).filter((next) => next < PAGES);
        response.setHeader("content-type", "application/json").end(JSON.stringify({ page, links }));
      },
      page < ARCHIVE ? PAGE_MS : ARCHIVED_PAGE_MS,
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    visitor,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

import assert from "node:assert/strict";
import { serve } from "@hono/node-server";
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import { clientAddress } from "sluice/http";
import { rateLimit, type WebConnection } from "sluice/web";

const limiter = new RateLimiter({
  policy: tokenBucket({ name: "burst", limit: 100, period: "1m" }),
});
const { limit, limited } = rateLimit({
  address: clientAddress({ trust: 1 }),
  charge: (request, { address }) => [
    { limiter, key: request.headers.get("x-api-key") ?? address },
    request.method === "POST" && { limiter: new Semaphore({ limit: 5 }), key: address },
  ],
  onDenied: (_request, denial) => Response.json(denial.problem, { status: denial.status }),
});

// A route handler of Next, with what it gets beside the request.
interface Context {
  readonly params: Promise<{ id: string }>;
}
const GET = limited(async (_request: Request, { params }: Context) =>
  Response.json({ id: (await params).id }),
);
const headers = { "x-api-key": "k" };
const asked = new Request("https://example.org/items/7", { headers });
const found = await GET(asked, { params: Promise.resolve({ id: "7" }) });
assert.equal(found.headers.get("RateLimit"), '"burst";r=99;t=1');

// A hook of SvelteKit, and the handlers of Bun, Deno and Workers.
type Handler = (request: Request, connection: WebConnection) => Promise<Response>;
const handle: Handler = (request, connection) =>
  limit(request, () => new Response("hello"), connection);
assert.equal((await handle(new Request(asked.url), { address: "192.0.2.7" })).status, 200);

const server = serve({
  fetch: (request) => limit(request, () => new Response("hello"), { address: "192.0.2.7" }),
  hostname: "127.0.0.1",
  port: 0,
});
server.close();

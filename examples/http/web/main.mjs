// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { serve } from "@hono/node-server";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/web";

const perAddress = rateLimit(
  new RateLimiter({ policy: tokenBucket({ name: "address", limit: 100, period: "1m" }) }),
);
const failures = new RateLimiter({
  policy: fixedWindow({ name: "failures", limit: 3, window: "10m", align: "first" }),
  blockFor: "1h",
});

/** @param {Request} request */
function credentials(request) {
  const authorization = request.headers.get("authorization") ?? "";
  const [name = "", password = ""] = atob(authorization.replace("Basic ", "")).split(":");
  return { name, password };
}

const { limited } = rateLimit({
  charge: (request) => ({
    limiter: failures,
    key: credentials(request).name,
    settle: ({ status }) => (status === 401 ? 1 : 0),
    show: false,
  }),
});
const login = limited((/** @type {Request} */ request) => {
  const isRight = credentials(request).password === "secret";
  return new Response(null, { status: isRight ? 204 : 401 });
});

/** @param {Request} request */
async function handle(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/login") return login(request);
  return pathname === "/" ? new Response("hello\n") : new Response("", { status: 404 });
}

const server = serve(
  {
    // In Bun the second argument has requestIP, in Deno remoteAddr.
    fetch: async (request, { incoming }) =>
      new URL(request.url).pathname === "/health"
        ? new Response("ok\n")
        : perAddress.limit(request, () => handle(request), {
            address: incoming.socket.remoteAddress,
          }),
    hostname: "127.0.0.1",
    port: Number(process.env.PORT ?? 3000),
  },
  ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
);
process.once("SIGTERM", () => void server.close());

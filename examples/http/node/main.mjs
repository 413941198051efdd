// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { once } from "node:events";
import { createServer } from "node:http";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { by } from "sluice/http";
import { rateLimit } from "sluice/node";

const perAddress = by.address(
  new RateLimiter({ policy: tokenBucket({ name: "address", limit: 100, period: "1m" }) }),
);
const failures = new RateLimiter({
  policy: fixedWindow({ name: "failures", limit: 3, window: "10m", align: "first" }),
  blockFor: "1h",
});

/** @param {string} authorization */
function credentials(authorization = "") {
  const [name = "", password = ""] = atob(authorization.replace("Basic ", "")).split(":");
  return { name, password };
}

const limited = rateLimit({
  charge: (request, call) => [
    request.url !== "/health" && perAddress(request, call),
    request.url === "/login" && {
      limiter: failures,
      key: credentials(request.headers.authorization).name,
      settle: ({ status }) => (status === 401 ? 1 : 0),
      show: false,
    },
  ],
});

const server = createServer(
  limited((request, response) => {
    switch (request.url) {
      case "/":
        return response.end("hello\n");
      case "/health":
        return response.end("ok\n");
      case "/login": {
        const { password } = credentials(request.headers.authorization);
        return response.writeHead(password === "secret" ? 204 : 401).end();
      }
      default:
        return response.writeHead(404).end();
    }
  }),
);

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`listening on http://127.0.0.1:${port}`);
process.once("SIGTERM", () => server.close());

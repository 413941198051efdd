// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { once } from "node:events";
import Koa from "koa";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/koa";

const perAddress = new RateLimiter({
  policy: tokenBucket({ name: "address", limit: 100, period: "1m" }),
});
const failures = new RateLimiter({
  policy: fixedWindow({ name: "failures", limit: 3, window: "10m", align: "first" }),
  blockFor: "1h",
});

/** @param {string} authorization */
function credentials(authorization = "") {
  const [name = "", password = ""] = atob(authorization.replace("Basic ", "")).split(":");
  return { name, password };
}

const app = new Koa();
app.use(
  rateLimit({
    charge: ({ ip, path, headers }) => [
      path !== "/health" && { limiter: perAddress, key: ip },
      path === "/login" && {
        limiter: failures,
        key: credentials(headers.authorization).name,
        settle: ({ status }) => (status === 401 ? 1 : 0),
        show: false,
      },
    ],
  }),
);
app.use((ctx) => {
  if (ctx.path === "/") ctx.body = "hello\n";
  if (ctx.path === "/health") ctx.body = "ok\n";
  if (ctx.path === "/login") {
    ctx.status = credentials(ctx.headers.authorization).password === "secret" ? 204 : 401;
  }
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`listening on http://127.0.0.1:${port}`);
process.once("SIGTERM", () => server.close());

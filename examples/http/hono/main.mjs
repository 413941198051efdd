// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { serve } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono } from "hono";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/hono";

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

const app = new Hono();
app.get("/health", (c) => c.text("ok\n"));
// What is above is free, as are answers that are given before.
app.use(rateLimit(perAddress, { address: (c) => getConnInfo(c).remote.address }));
app.get("/", (c) => c.text("hello\n"));
app.post(
  "/login",
  rateLimit({
    charge: (c) => ({
      limiter: failures,
      key: credentials(c.req.header("authorization")).name,
      settle: ({ status }) => (status === 401 ? 1 : 0),
      show: false,
    }),
  }),
  (c) => {
    const { password } = credentials(c.req.header("authorization"));
    return c.body(null, password === "secret" ? 204 : 401);
  },
);

const server = serve(
  { fetch: app.fetch, hostname: "127.0.0.1", port: Number(process.env.PORT ?? 3000) },
  ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
);
process.once("SIGTERM", () => void server.close());

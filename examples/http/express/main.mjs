// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { once } from "node:events";
import express from "express";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/express";

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

const app = express();
app.get("/health", (_request, response) => {
  response.send("ok\n");
});
// What is above is free.
app.use(rateLimit(perAddress));
app.get("/", (_request, response) => {
  response.send("hello\n");
});
app.post(
  "/login",
  rateLimit({
    charge: (request) => ({
      limiter: failures,
      key: credentials(request.headers.authorization).name,
      settle: ({ status }) => (status === 401 ? 1 : 0),
      show: false,
    }),
  }),
  (request, response) => {
    const { password } = credentials(request.headers.authorization);
    response.sendStatus(password === "secret" ? 204 : 401);
  },
);

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`listening on http://127.0.0.1:${port}`);
process.once("SIGTERM", () => server.close());

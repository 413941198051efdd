// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
import { fastify } from "fastify";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/fastify";
import { addressKey } from "sluice/http";

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

const app = fastify();
await app.register(rateLimit, { limiter: perAddress });

app.get("/", () => "hello\n");
app.get("/health", { config: { rateLimit: false } }, () => "ok\n");
app.post(
  "/login",
  {
    config: {
      rateLimit: {
        charge: (request) => [
          { limiter: perAddress, key: addressKey(request.ip) },
          {
            limiter: failures,
            key: credentials(request.headers.authorization).name,
            settle: ({ status }) => (status === 401 ? 1 : 0),
            show: false,
          },
        ],
      },
    },
  },
  (request, reply) => {
    const { password } = credentials(request.headers.authorization);
    return reply.code(password === "secret" ? 204 : 401).send();
  },
);

const url = await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT ?? 3000) });
console.log(`listening on ${url}`);
process.once("SIGTERM", () => void app.close());

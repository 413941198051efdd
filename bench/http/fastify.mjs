/** Fastify: bare, behind Sluice, and behind its own plugin. */
import peer from "@fastify/rate-limit";
import { fastify } from "fastify";
import { Redis } from "ioredis";
import { rateLimit } from "sluice/fastify";
import { KEEP_ALIVE_MS, limitOf, WINDOW_MS } from "./scenarios.mjs";
import { sluiceLimiter } from "./sluice-limiter.mjs";

/** @typedef {import("./variant.mjs").Variant} Variant */

export const PEER = "@fastify/rate-limit";

/**
 * @param {(app: import("fastify").FastifyInstance) => unknown} prepare
 * @returns {Promise<Variant>}
 */
async function serve(prepare) {
  const app = fastify({ forceCloseConnections: true, keepAliveTimeout: KEEP_ALIVE_MS });
  await prepare(app);
  app.get("/", async () => "ok");
  const address = await app.listen({ port: 0, host: "127.0.0.1" });
  return { port: Number(new URL(address).port), close: () => app.close() };
}

/**
 * @param {import("./scenarios.mjs").Scenario} scenario
 * @param {string} url
 * @returns {Promise<Record<string, Variant>>}
 */
export async function variants(scenario, url) {
  const { limiter, close } = sluiceLimiter(scenario, url);
  const charge = (/** @type {import("fastify").FastifyRequest} */ request) => ({
    limiter,
    key: String(request.headers["x-user"]),
  });
  const sluice = await serve((app) => app.register(rateLimit, { charge }));
  const client = scenario.store === "redis" ? new Redis(url, { db: 2 }) : undefined;
  const theirs = await serve((app) =>
    app.register(peer, {
      max: limitOf(scenario),
      timeWindow: WINDOW_MS,
      keyGenerator: (request) => String(request.headers["x-user"]),
      ...(client && { redis: client }),
    }),
  );
  return {
    bare: await serve(() => {}),
    sluice: { ...sluice, close: () => sluice.close().then(close) },
    [PEER]: { ...theirs, close: () => theirs.close().then(() => client?.disconnect()) },
  };
}

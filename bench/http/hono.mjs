/** Hono on Node: bare, behind Sluice, and behind hono-rate-limiter. */
import { serve as listen } from "@hono/node-server";
import { Hono } from "hono";
import { rateLimiter as peer } from "hono-rate-limiter";
import { rateLimit } from "sluice/hono";
import { KEEP_ALIVE_MS, limitOf, WINDOW_MS } from "./scenarios.mjs";
import { sluiceLimiter } from "./sluice-limiter.mjs";

/** @typedef {import("./variant.mjs").Variant} Variant */

export const PEER = "hono-rate-limiter";

/** @param {import("hono").MiddlewareHandler[]} before @returns {Promise<Variant>} */
function serve(...before) {
  const app = new Hono();
  for (const handler of before) app.use(handler);
  app.get("/", (context) => context.text("ok"));
  return new Promise((resolve) => {
    const options = { fetch: app.fetch, port: 0, hostname: "127.0.0.1" };
    const serverOptions = { keepAliveTimeout: KEEP_ALIVE_MS };
    const server = listen({ ...options, serverOptions }, ({ port }) => {
      const close = () => {
        /** @type {import("node:http").Server} */ (server).closeAllConnections();
        return new Promise((done) => server.close(done));
      };
      resolve({ port, close: async () => void (await close()) });
    });
  });
}

/**
 * @param {import("./scenarios.mjs").Scenario} scenario
 * @param {string} url
 * @returns {Promise<Record<string, Variant>>}
 */
export async function variants(scenario, url) {
  const { limiter, close } = sluiceLimiter(scenario, url);
  const charge = (/** @type {import("hono").Context} */ context) => ({
    limiter,
    key: context.req.header("x-user"),
  });
  const sluice = await serve(rateLimit({ charge }));
  return {
    bare: await serve(),
    sluice: { ...sluice, close: () => sluice.close().then(close) },
    [PEER]: await serve(
      peer({
        windowMs: WINDOW_MS,
        limit: limitOf(scenario),
        standardHeaders: "draft-7",
        keyGenerator: (context) => context.req.header("x-user") ?? "",
      }),
    ),
  };
}

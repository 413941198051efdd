/** Express: bare, behind Sluice, and behind express-rate-limit. */
import express from "express";
import { rateLimit as peer } from "express-rate-limit";
import { Redis } from "ioredis";
import { RedisStore as PeerStore } from "rate-limit-redis";
import { rateLimit } from "sluice/express";
import { KEEP_ALIVE_MS, limitOf, WINDOW_MS } from "./scenarios.mjs";
import { sluiceLimiter } from "./sluice-limiter.mjs";

/** @typedef {import("./variant.mjs").Variant} Variant */

export const PEER = "express-rate-limit";

/** @param {import("express").RequestHandler[]} before @returns {Promise<Variant>} */
function serve(...before) {
  const app = express();
  for (const handler of before) app.use(handler);
  app.get("/", (_request, response) => {
    response.send("ok");
  });
  return new Promise((resolve) => {
    const server = app.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.keepAliveTimeout = KEEP_ALIVE_MS;
      const close = () => {
        server.closeAllConnections();
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
  const charge = (/** @type {import("express").Request} */ request) => ({
    limiter,
    key: request.get("x-user"),
  });
  const sluice = await serve(rateLimit({ charge }));
  const client = scenario.store === "redis" ? new Redis(url, { db: 2 }) : undefined;
  const theirs = await serve(
    peer({
      windowMs: WINDOW_MS,
      limit: limitOf(scenario),
      standardHeaders: "draft-8",
      legacyHeaders: false,
      keyGenerator: (request) => request.get("x-user") ?? "",
      validate: false,
      ...(client && {
        store: new PeerStore({
          sendCommand: (command, ...args) =>
            /** @type {Promise<string>} */ (client.call(command, ...args)),
        }),
      }),
    }),
  );
  return {
    bare: await serve(),
    sluice: { ...sluice, close: () => sluice.close().then(close) },
    [PEER]: { ...theirs, close: () => theirs.close().then(() => client?.disconnect()) },
  };
}

/**
 * A server behind Express whose requests are all charged to one key: node http-server.mjs <dist> <redis url> <policy>
 * <timeout>. It prints its port, serves until its input ends, and then prints what it decided.
 */
import { once } from "node:events";
import { pathToFileURL } from "node:url";
import express from "express";
import { Redis } from "ioredis";

const [dist, url, policy, timeout] = /** @type {[string, string, string, string]} */ (
  /** @type {unknown} */ (process.argv.slice(2))
);
const { RateLimiter } = /** @type {typeof import("../../../src/index.js")} */ (
  await import(pathToFileURL(`${dist}/index.js`).href)
);
const { RedisStore } = /** @type {typeof import("../../../src/stores/redis/index.js")} */ (
  await import(pathToFileURL(`${dist}/stores/redis/index.js`).href)
);
const { rateLimit } = /** @type {typeof import("../../../src/adapters/express.js")} */ (
  await import(pathToFileURL(`${dist}/adapters/express.js`).href)
);

const client = new Redis(url, {
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
});
client.on("error", () => {});
await once(client, "ready");

const limiter = new RateLimiter({
  policy: /** @type {import("../../../src/index.js").Policy} */ (JSON.parse(policy)),
  store: new RedisStore({ client }),
  namespace: "served",
  timeout,
  hooks: { onError: () => {} },
});
/** @type {{ atUs: number, allowed: boolean, source: string }[]} */
const decided = [];
limiter.events.on("decision", ({ decision: { decidedAtUs: atUs, allowed, source } }) => {
  decided.push({ atUs, allowed, source });
});

const app = express();
app.use(rateLimit({ charge: () => ({ limiter, key: "everybody" }) }));
app.get("/", (_request, response) => {
  response.send("ok");
});
const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
process.stdout.write(`${port}\n`);

process.stdin.resume();
await once(process.stdin, "end");
server.closeAllConnections();
server.close();
await limiter.close();
client.disconnect();
process.stdout.write(`${JSON.stringify(decided)}\n`);

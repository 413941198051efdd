// Preloaded into the crawler: notes when the limiter let calls start, and what came to the server when, apart
// from what limiter, crawler and server say of themselves. WATCH_DIST is the package's, WATCH_LOG where the notes go.
import { subscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { WATCH_DIST: dist, WATCH_LOG: log, WATCH_AGENT: agent } = process.env;
const { RateLimiter } = /** @type {typeof import("../../src/index.js")} */ (
  await import(pathToFileURL(`${dist}/index.js`).href)
);
const { systemClock } = /** @type {typeof import("../../src/core/clock.js")} */ (
  await import(pathToFileURL(`${dist}/core/clock.js`).href)
);

/** @type {number[]} */
const startsUs = [];
const prototype = /** @type {{ acquire: import("../../src/index.js").RateLimiter["acquire"] }} */ (
  /** @type {unknown} */ (RateLimiter.prototype)
);
const acquire = prototype.acquire;
prototype.acquire = async function watched(key, options) {
  const start = await acquire.call(this, key, options);
  startsUs.push(start.readyAtUs);
  return start;
};

/** @type {number[]} */
const arrivalsUs = [];
let underWay = 0;
let mostUnderWay = 0;
subscribe("http.server.request.start", (message) => {
  const { request, response } =
    /** @type {{ request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse }} */ (
      message
    );
  if (request.headers["user-agent"] !== agent) return;
  arrivalsUs.push(systemClock.nowUs());
  underWay += 1;
  mostUnderWay = Math.max(mostUnderWay, underWay);
  response.once("close", () => {
    underWay -= 1;
  });
});

process.once("exit", () => {
  writeFileSync(String(log), JSON.stringify({ startsUs, arrivalsUs, mostUnderWay }));
});

// A process whose limiter asks a service for its store, and logs each attempt. Arguments: the compiled library, the service's
// URL and token, the log's file, and how many calls at least. It goes on until one was allowed: on a busy machine another
// process may have taken all there is until then. Prints how many it made.
import { setImmediate as inNextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [dist, url = "", token = "", file = "", calls = ""] = process.argv.slice(2);
/** @param {string} path */
const from = (path) => import(pathToFileURL(`${dist}/${path}`).href);
const { RateLimiter, slidingLog, tokenBucket } =
  /** @type {typeof import("../../src/index.js")} */ (await from("index.js"));
const { RemoteStore } = /** @type {typeof import("../../src/remote/index.js")} */ (
  await from("remote/index.js")
);
const { AttemptLog } = /** @type {typeof import("../../src/log/index.js")} */ (
  await from("log/index.js")
);

const store = new RemoteStore({ url, token, requestTimeout: "60s", maxBatch: 40 });
const limiter = new RateLimiter({
  store,
  timeout: "60s",
  onStoreFailure: "throw",
  policy: [
    tokenBucket({ name: "burst", limit: 200, period: "1s", burst: 40 }),
    slidingLog({ name: "peak", limit: 60, window: "500ms" }),
  ],
});
const log = new AttemptLog({ file });
log.add(limiter);
let allowed = 0;
let made = 0;
async function work() {
  while (made < Number(calls) || allowed === 0) {
    made += 1;
    const decision = await limiter.consume(`k${made % 3}`, { cost: 1 + (made % 2) });
    if (decision.allowed) allowed += 1;
    // What the deny cache answers takes no turn of the event loop, and would leave none to anything else.
    await inNextTurn();
  }
}
await Promise.all(Array.from({ length: 16 }, work));
await limiter.close();
await log.close();
await store.close();
process.stdout.write(String(made));

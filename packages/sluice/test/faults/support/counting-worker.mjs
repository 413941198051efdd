// Calls limiters of every kind, keeps its own books of what came of each call, and prints them beside `stats()`.
// Arguments: the directory of the build, and the URL of a Redis. Each line on stdin is so many rounds of calls.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [dist = "", url = ""] = process.argv.slice(2);
const from = (/** @type {string} */ file) => pathToFileURL(join(dist, file)).href;
const { RateLimiter, fixedWindow } = /** @type {typeof import("../../../src/index.js")} */ (
  await import(from("index.js"))
);
const { RedisStore } = /** @type {typeof import("../../../src/stores/redis/index.js")} */ (
  await import(from("stores/redis/index.js"))
);

const policy = fixedWindow({ limit: 500, window: "1d" });
const store = await RedisStore.connect(url);
const common = {
  policy,
  store,
  timeout: "200ms",
  breaker: { probeEvery: "20ms" },
  hooks: { onError: () => {} },
};
const limiters = [
  new RateLimiter({ ...common, namespace: "local" }),
  new RateLimiter({ ...common, namespace: "open", onStoreFailure: "open", denyCache: false }),
  new RateLimiter({ ...common, namespace: "closed", onStoreFailure: "closed" }),
  new RateLimiter({ ...common, namespace: "throw", onStoreFailure: "throw" }),
  new RateLimiter({ ...common, namespace: "shadow", enforce: false }),
  new RateLimiter({ ...common, namespace: "ahead", prefetch: { size: 20, ttl: "100ms" } }),
];

/** @typedef {{ limiter: string, allowed: number, denied: number, shadowDenied: number, withoutStore: number, aborted: number, failed: number, units: number }} Book */

/** @type {Book[]} */
const books = limiters.map((limiter) => ({
  limiter: limiter.stats().limiter,
  allowed: 0,
  denied: 0,
  shadowDenied: 0,
  withoutStore: 0,
  aborted: 0,
  failed: 0,
  units: 0,
}));
/** Each has a key of its own: no denial of one is remembered in the next. */
let phase = 0;
const WITHOUT_STORE = new Set(["local", "fail-open", "fail-closed", "fallback"]);

/** @param {Book} book @param {import("../../../src/index.js").Decision & { granted?: number }} decision @param {number} cost */
function note(book, decision, cost) {
  const { allowed, reason, source, granted = cost } = decision;
  if (WITHOUT_STORE.has(source)) book.withoutStore += 1;
  if (reason === "ok" || source === "fail-open") {
    book.allowed += 1;
    book.units += granted;
  } else if (allowed) book.shadowDenied += 1;
  else book.denied += 1;
}

/** @param {number} i @param {number} round */
async function call(i, round) {
  const limiter = /** @type {import("../../../src/index.js").RateLimiter} */ (limiters[i]);
  const book = /** @type {Book} */ (books[i]);
  const abort = new AbortController();
  const cost = 1 + (round % 3);
  const asked =
    // A shadow shows its caller a whole grant, and counts the true one.
    round % 5 === 1 && book.limiter !== "shadow"
      ? limiter.consumeUpTo(`k${phase}`, { cost, signal: abort.signal })
      : limiter.consume(`k${phase}`, { cost, signal: abort.signal });
  if (round % 11 === 3) abort.abort(new Error("given up"));
  try {
    note(book, await asked, cost);
  } catch (error) {
    if (error === abort.signal.reason) book.aborted += 1;
    else book.failed += 1;
  }
}

for await (const line of createInterface(process.stdin)) {
  phase += 1;
  for (let round = 0; round < Number(line); round++) {
    await Promise.all(limiters.map((_, i) => Promise.all([call(i, round), call(i, round + 1)])));
  }
  process.stdout.write("done\n");
}
const stats = limiters.map((limiter) => {
  const {
    limiter: name,
    allowed,
    denied,
    shadowDenied,
    withoutStore,
    aborted,
    failed,
    units,
  } = limiter.stats();
  return {
    limiter: name,
    allowed,
    denied,
    shadowDenied,
    withoutStore,
    aborted,
    failed,
    units: units.allowed,
  };
});
const sources = limiters.flatMap((limiter) =>
  limiter
    .stats()
    .decisions.filter(({ count }) => count > 0)
    .map(({ source }) => source),
);
for (const limiter of limiters) await limiter.close();
const prefetch = limiters.at(-1)?.stats().prefetch;
const { calls } = store.stats();
await store.close();
process.stdout.write(`${JSON.stringify({ books, stats, sources, prefetch, calls })}\n`);

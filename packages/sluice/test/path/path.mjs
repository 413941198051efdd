// Prints, as JSON, the modules of the built package in which a function runs while a call is decided, whichever it is.
// Arguments: the directory of the build, and "redis" or "memory".
import { Session } from "node:inspector/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [built = "", kind = ""] = process.argv.slice(2);
const from = (/** @type {string} */ file) => pathToFileURL(join(built, "dist", file)).href;
const { RateLimiter, tokenBucket } = /** @type {typeof import("../../src/index.js")} */ (
  await import(from("index.js"))
);
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await import(from("stores/redis/index.js"))
);

/** A client in the shape of ioredis whose server admits every consume. */
const client = {
  status: "ready",
  defineCommand() {},
  eval: async () => [Date.now() * 1000, 64, 9000, 100],
  evalsha: async () => [Date.now() * 1000, 64, 9000, 100],
};
const policy = tokenBucket({ limit: 10, period: "1h" });
const onRedis = new RateLimiter({ policy, store: new RedisStore({ client }) });
const inMemory = new RateLimiter({ policy });
const call = async () => {
  const { allowed, source } =
    kind === "redis" ? await onRedis.consume("k") : inMemory.consumeSync("k");
  if (!allowed || source !== "store") throw new Error(`not decided by the store: ${source}`);
};

await call();
const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
await session.post("Profiler.takePreciseCoverage");
const root = pathToFileURL(join(built, "dist/")).href;
/** The modules in which a function ran since they were last asked for. */
async function modulesOfCall() {
  await call();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  return result
    .filter(({ url }) => url.startsWith(root))
    .filter(({ functions }) => functions.some(({ ranges }) => (ranges[0]?.count ?? 0) > 0))
    .map(({ url }) => url.slice(root.length))
    .toSorted();
}
const [first, ...others] = [await modulesOfCall(), await modulesOfCall(), await modulesOfCall()];
// One of them may sweep too, which a store in memory does once a second.
const modules = first.filter((each) => others.every((other) => other.includes(each)));
process.stdout.write(JSON.stringify(modules));

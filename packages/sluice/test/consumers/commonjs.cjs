const assert = require("node:assert/strict");
const { MemoryStore, RateLimiter, tokenBucket } = require("sluice");
const { auditFiles } = require("sluice/audit");
const { describePolicy } = require("sluice/describe");
const { publish } = require("sluice/diagnostics");
const { limitFetch } = require("sluice/fetch");
const { parseRateLimit } = require("sluice/headers");
const { instrument } = require("sluice/otel");
const { limitInterceptor } = require("sluice/undici");
const { AttemptLog } = require("sluice/log");
const { RedisStore } = require("sluice/redis");
const { report } = require("sluice/report");
const { limitsOf } = require("sluice/simulate");
const { ManualClock } = require("sluice/testing");

async function main() {
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 2, period: "1m" }),
    store: new MemoryStore({ clock: new ManualClock() }),
  });
  assert.equal((await limiter.consume("k")).allowed, true);
  assert.equal((await limiter.consume("k")).allowed, true);
  assert.equal((await limiter.consume("k")).retryAfterMs, 30_000);
  assert.equal(limiter.consumeSync("other").allowed, true);
  assert.equal(typeof auditFiles, "function");
  publish([limiter])();
  assert.match(describePolicy(tokenBucket({ limit: 2, period: "1m" })), /: 2 per 1 min, burst 2$/);
  assert.deepEqual(limitsOf([tokenBucket({ limit: 2, period: "1m" })]).notes, []);
  assert.throws(() => new AttemptLog({ file: "" }), { name: "InvalidOptionError" });
  instrument({ trace: { getActiveSpan: () => undefined } }, [limiter])();
  await report({ store: limiter.store, limiters: [limiter] }).end();
  assert.equal(typeof RedisStore.connect, "function");
  // Connects with its first call, which never comes.
  await new RedisStore({ url: "redis://127.0.0.1:1" }).close();
  assert.equal(parseRateLimit({ "retry-after": "2" }).retryAfterMs, 2000);
  assert.equal(typeof limitFetch(), "function");
  assert.equal(typeof limitInterceptor(), "function");
  await limiter.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

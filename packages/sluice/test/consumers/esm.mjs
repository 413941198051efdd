import assert from "node:assert/strict";
import { subscribe } from "node:diagnostics_channel";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
import { auditLogs, headerLine, keyId, recordLine } from "sluice/audit";
import { describeAlgorithms, describeBound } from "sluice/describe";
import { CHANNELS, publish } from "sluice/diagnostics";
import { limitFetch } from "sluice/fetch";
import { parseRateLimit } from "sluice/headers";
import { metrics } from "sluice/prometheus";
import { AttemptLog } from "sluice/log";
import { instrument } from "sluice/otel";
import { compilePolicies, parsePolicies } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { RemoteStore, storeHandler } from "sluice/remote";
import { readReports, report } from "sluice/report";
import { limitsOf, readLoggedAttempts, simulate } from "sluice/simulate";
import { ManualClock } from "sluice/testing";
import { limitInterceptor } from "sluice/undici";

assert.equal(keyId("user:42"), "6j_UO-HlfWLhY9rhn8dAvQ");
assert.throws(() => tokenBucket({ limit: -1, period: "1s" }), { name: "InvalidOptionError" });
const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1m" }) });
const decisions = [];
for (let call = 0; call < 3; call += 1) decisions.push(await limiter.consume("k"));
assert.deepEqual(
  decisions.map((decision) => decision.allowed),
  [true, true, false],
);
assert.ok(decisions[2].retryAfterMs > 0);
assert.equal(limiter.consumeSync("other").allowed, true);
await limiter.close();

const clock = new ManualClock();
const timed = new RateLimiter({
  policy: tokenBucket({ limit: 1, period: "1m" }),
  store: new MemoryStore({ clock }),
});
assert.equal(timed.consumeSync("k").allowed, true);
assert.equal(timed.consumeSync("k").retryAfterMs, 60_000);
clock.advance(60_000);
assert.equal(timed.consumeSync("k").allowed, true);
await timed.close();

const audited = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
let log = headerLine([tokenBucket({ limit: 1, period: "1m" })]);
for (let call = 0; call < 2; call += 1) {
  log += recordLine({ key: keyId("k"), cost: 1 }, await audited.consume("k"));
}
async function* open() {
  yield log;
}
assert.equal((await auditLogs([{ name: "log", open }])).report.passed, true);
const loggedAttempts = await readLoggedAttempts([{ name: "log", open }]);
const stricter = limitsOf([tokenBucket({ limit: 0, period: "1m" })]);
assert.equal((await simulate(loggedAttempts, { limits: stricter })).all.newlyDenied, 1);
assert.match(describeBound(tokenBucket({ limit: 1, period: "1m" })), /^≤ 1 \+ 1·D \/ 1 min in /);
assert.ok(describeAlgorithms().some(({ id }) => id === "gcra"));
await audited.close();

const { document } = parsePolicies(
  '{ "rules": [{ "name": "api", "key": ["user"], "policy": { "algorithm": "gcra", "limit": 5, "period": "1s" } }] }',
);
const [met] = compilePolicies(document).match({ entries: { user: "acme" } }, 0);
assert.deepEqual([met.rule, met.identity], ["api", "user=acme"]);

const counted = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
const reporter = report({ store: counted.store, limiters: [counted] });
for (let call = 0; call < 3; call += 1) await counted.consume("k");
await reporter.end();
const reports = await readReports({ store: counted.store });
assert.deepEqual([reports.limiters[0].asked, reports.limiters[0].denied], [3, 2]);
await counted.close();

const messages = [];
const published = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
const endPublishing = publish([published]);
subscribe(CHANNELS.decision, (message) => messages.push(message));
await published.consume("k");
endPublishing();
await published.consume("k");
assert.deepEqual(
  messages.map(({ limiter, decision }) => [limiter, decision.allowed]),
  [["sluice", true]],
);

const watched = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
assert.equal((await watched.consume("k")).allowed, true);
assert.match(metrics([watched]).render().body, /^sluice_units_total\{.*outcome="allowed"\} 1$/m);
assert.equal(watched.stats().allowed, 1);
const attempts = join(mkdtempSync(join(tmpdir(), "sluice-consumer-")), "attempts.jsonl");
const attempted = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
const attemptLog = new AttemptLog({ file: attempts });
attemptLog.add(attempted);
for (let call = 0; call < 2; call += 1) await attempted.consume("k");
await attemptLog.close();
const readAttempts = { name: attempts, open: () => createReadStream(attempts) };
assert.equal((await auditLogs([readAttempts])).report.tally.denied, 1);
rmSync(dirname(attempts), { recursive: true });

const spanEvents = [];
const activeSpan = {
  isRecording: () => true,
  addEvent: (name, attributes) => spanEvents.push([name, attributes["sluice.outcome"]]),
};
const traced = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
const endTracing = instrument({ trace: { getActiveSpan: () => activeSpan } }, [traced]);
for (let call = 0; call < 2; call += 1) await traced.consume("k");
endTracing();
await traced.consume("k");
assert.deepEqual(spanEvents, [["sluice.decision", "denied"]]);

assert.equal(typeof RedisStore.connect, "function");

const handler = storeHandler(new MemoryStore());
const service = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { status, contentType, body } = await handler.handle(Buffer.concat(chunks));
  response.writeHead(status, { "content-type": contentType }).end(body);
});
await new Promise((resolve) => service.listen(0, "127.0.0.1", resolve));
const remoteStore = new RemoteStore({ url: `http://127.0.0.1:${service.address().port}` });
const distant = new RateLimiter({
  policy: tokenBucket({ limit: 2, period: "1m" }),
  store: remoteStore,
  timeout: "60s",
  onStoreFailure: "throw",
});
assert.equal((await distant.consume("k")).remaining, 1);
await distant.close();
await remoteStore.close();
handler.close();
await new Promise((resolve) => service.close(resolve));

assert.equal(parseRateLimit(new Headers({ ratelimit: '"a";r=0;t=3' })).tightest.resetAfterMs, 3000);
let tries = 0;
const polite = limitFetch({
  retries: { baseDelay: "1ms" },
  fetch: async () => {
    tries += 1;
    return tries === 1 ? new Response("", { status: 429 }) : new Response("hello");
  },
});
assert.equal(await (await polite("https://example.org/")).text(), "hello");
assert.equal(tries, 2);
assert.equal(limitInterceptor()(() => true).length, 2);

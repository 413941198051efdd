import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import {
  type Decision,
  type LimiterStats,
  limited,
  MemoryStore,
  type Policy,
  RateLimiter,
  tokenBucket,
} from "sluice";
import { type AuditReport, auditLogs, headerLine, LogError } from "sluice/audit";
import { type DescribedAlgorithm, describeAlgorithms, describePolicy } from "sluice/describe";
import { type ChannelMessages, CHANNELS, publish } from "sluice/diagnostics";
import { limitFetch } from "sluice/fetch";
import { parseRateLimit } from "sluice/headers";
import { type Metrics, metrics } from "sluice/prometheus";
import { AttemptLog, type AttemptLogOptions } from "sluice/log";
import { type CompiledPolicies, compilePolicies, parsePolicies } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { RemoteStore, type StoreAnswer, storeHandler } from "sluice/remote";
import { readReports, report, type Reporter, type Reports } from "sluice/report";
import { type Limits, limitsOf, readLoggedAttempts, type SimulationReport } from "sluice/simulate";
import { ManualClock } from "sluice/testing";
import { limitInterceptor } from "sluice/undici";

const policy: Policy = tokenBucket({ limit: 2, period: "1m" });
const clock = new ManualClock();

await using limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
const reporter: Reporter = report({ store: limiter.store, limiters: [limiter] });
await reporter.flush();
const { limiters }: Reports = await readReports({ store: limiter.store, minutes: 1 });
assert.equal(limiters.length, 0);
await reporter.end();
const decisions: Decision[] = [];
for (let call = 0; call < 3; call += 1) decisions.push(await limiter.consume("k"));
assert.deepEqual(
  decisions.map((decision) => decision.allowed),
  [true, true, false],
);
assert.equal(limiter.consumeSync("other").allowed, true);

async function* open(): AsyncGenerator<string> {
  yield headerLine([policy]);
}
await assert.rejects(auditLogs([{ name: "empty", open }]), LogError);
export const refutedKeys = ({ keys }: AuditReport): string[] =>
  keys.filter(({ passed }) => !passed).map(({ key }) => key);

const refused: StoreAnswer = await storeHandler(limiter.store).handle(new Uint8Array());
assert.equal(refused.status, 400);
const remote: RemoteStore = new RemoteStore({ url: "http://127.0.0.1:1", maxBatch: 5 });
await remote.close();
const described: readonly DescribedAlgorithm[] = describeAlgorithms();
assert.ok(described.length > 0);
assert.match(describePolicy(policy), /burst 2$/);
const limits: Limits = limitsOf([policy]);
assert.deepEqual(limits.notes, []);
await assert.rejects(readLoggedAttempts([]), LogError);
export const newlyDenied = ({ all }: SimulationReport): number => all.newlyDenied;

publish([limiter], { exposeIds: true })();

const compiled: CompiledPolicies = compilePolicies(parsePolicies({ rules: [] }).document);
export const matched: readonly string[] = compiled
  .match({ entries: { user: "acme" } }, 0)
  .map(({ rule }) => rule);

const watched: Metrics = metrics([limiter], { store: "main" });
const page: Response = watched.fetch(new Request("http://localhost/metrics"));
assert.equal(page.status, 200);
const handle: RequestListener = watched.node;
assert.equal(typeof handle, "function");
const stats: LimiterStats = limiter.stats();
assert.equal(stats.withoutStore, 0);
export const remaining = (message: ChannelMessages[typeof CHANNELS.decision]): number =>
  message.decision.remaining;

export const logOf = (options: AttemptLogOptions): (() => void) =>
  new AttemptLog(options).add(limiter, { name: "api" });

const waits: string[] = [];
class Mailer {
  @limited({ limiter: { acquire: async (key) => waits.push(key) }, key: (user: string) => user })
  async send(user: string, text: string): Promise<string> {
    return `${user}: ${text}`;
  }
}
assert.equal(await new Mailer().send("ann", "hello"), "ann: hello");
assert.deepEqual(waits, ["ann"]);

export const polite: typeof fetch = limitFetch({ maxWait: "1s" });
assert.equal(parseRateLimit(new Headers({ "retry-after": "2" })).retryAfterMs, 2000);
const dispatch = (_options: { path: string }, _handler: object): boolean => true;
assert.equal(limitInterceptor()(dispatch)({ path: "/" }, { onRequestStart() {} }), true);

export async function overRedis(url: string): Promise<RateLimiter<RedisStore>> {
  const store = await RedisStore.connect(url);
  const shared = new RateLimiter({ policy, store });
  // @ts-expect-error a store outside the process cannot answer synchronously
  assert.throws(() => shared.consumeSync("k"));
  return shared;
}

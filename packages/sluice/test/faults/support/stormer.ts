/**
 * One of many processes: `stormer <client> <url> <log>`. It says "ready" when the store has answered, asks
 * until it is told to stop by the end of its input, and prints what came out.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { headerLine, keyId, recordLine } from "../../../src/audit/record.js";
import { RateLimiter, tokenBucket } from "../../../src/index.js";
import { RedisStore } from "../../../src/stores/redis/index.js";
import { startLagProbe } from "./lag.js";

/** What the test reads. */
export interface Stormed {
  readonly store: number;
  readonly failed: number;
  /** Answers that came later than the deadline allows, in line and sent, and the event loop. */
  readonly late: number;
}

/** Longer than a busy machine stalls: who never has an answer in time is never ready. */
const TIMEOUT_MS = 1000;
const PAUSE_MS = 50;
const policy = tokenBucket({ limit: 100, period: "1s", burst: 25 });
const [client = "", url = "", log = ""] = process.argv.slice(2);

const rejected: unknown[] = [];
process.on("unhandledRejection", (error) => rejected.push(error));

/** Loads one of the two clients only: there are fifty such processes. */
async function connect(): Promise<{ store: RedisStore; end: () => void }> {
  if (client === "ioredis") {
    const { Redis } = await import("ioredis");
    const redis = new Redis(url, {
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    });
    redis.on("error", () => {});
    await redis.connect();
    return {
      store: new RedisStore({ client: redis }),
      end: () => {
        redis.disconnect();
      },
    };
  }
  const { createClient } = await import("redis");
  const redis = createClient({ url, disableOfflineQueue: true });
  redis.on("error", () => {});
  await redis.connect();
  return {
    store: new RedisStore({ client: redis }),
    end: () => {
      redis.destroy();
    },
  };
}

const { store, end } = await connect();
const limiter = new RateLimiter({
  store,
  policy,
  namespace: "storm",
  timeout: TIMEOUT_MS,
  onStoreFailure: "closed",
  // Else an outage is a warning of the process.
  hooks: { onError: () => {} },
});
const lag = startLagProbe();
const spans: { readonly startMs: number; readonly endMs: number }[] = [];
const lines: string[] = [headerLine([policy])];
const counts = { store: 0, failed: 0 };
const over = new AbortController();
let answeredSince = 0;
process.stdin.on("data", () => {
  answeredSince = 0;
});
process.stdin.on("end", () => {
  over.abort();
});

for (let i = 0; !over.signal.aborted; i++) {
  const key = `key:${i % 3}`;
  const startMs = performance.now();
  const decision = await limiter.consume(key);
  spans.push({ startMs, endMs: performance.now() });
  lines.push(recordLine({ key: keyId(key), cost: 1 }, decision));
  if (decision.source === "store") {
    counts.store += 1;
    answeredSince += 1;
    // Once at the start, and once after each word of the test: every key was answered for.
    if (answeredSince === 3) process.stdout.write("ready\n");
  } else if (decision.source === "fail-closed") counts.failed += 1;
  await sleep(PAUSE_MS);
}
await lag.stop();
await limiter.close();
end();
writeFileSync(log, lines.join(""));
const late = spans.filter(
  ({ startMs, endMs }) => endMs - startMs > 2 * TIMEOUT_MS + lag.lateMs(startMs, endMs),
).length;
process.stdout.write(`${JSON.stringify({ ...counts, late } satisfies Stormed)}\n`);
if (rejected.length > 0) throw new Error(`unhandled: ${rejected.map(String).join(", ")}`);

// What unique keys of 4 kB take of the heap: node --expose-gc scripts/hostile-keys.mjs [keys, 5,000,000]
// Fails if a store of default size takes more than its maxBytes of 256 MB, and what the garbage collector has yet to free.
import { MemoryStore, RateLimiter, tokenBucket } from "sluice";

const keys = Number(process.argv[2] ?? 5_000_000);
const padding = "x".repeat(4000);
const store = new MemoryStore();
const limiter = new RateLimiter({ store, policy: tokenBucket({ limit: 5, period: "1h" }) });
const taken = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
const before = taken();
let highest = 0;
for (let i = 1; i <= keys; i++) {
  limiter.consumeSync(`${i}:${padding}`);
  if (i % Math.ceil(keys / 10) !== 0) continue;
  const bytes = taken() - before;
  highest = Math.max(highest, bytes);
  console.log(`${i} keys sent, ${store.size} kept: ${(bytes / 1e6).toFixed(1)} MB of heap`);
}
const mostBytes = 256 * 2 ** 20 + 8e6;
console.log(`at most ${(highest / 1e6).toFixed(1)} MB, allowed ${(mostBytes / 1e6).toFixed(1)} MB`);
if (highest > mostBytes) process.exitCode = 1;

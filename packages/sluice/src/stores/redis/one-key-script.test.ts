/** What the server refuses is a failure of the store, whatever asked it: the error is one of ours, with the client's own behind it. */
import { afterAll, expect, test } from "vitest";
import { RateLimiter, StoreUnavailableError, tokenBucket } from "../../index.js";
import { PublishedPolicies } from "../../policies/published-policies.js";
import { RedisStore } from "./redis-store.js";

const refusal = new Error("OOM command not allowed when used memory > 'maxmemory'");
const store = new RedisStore({ client: () => Promise.reject(refusal) });
const published = new PublishedPolicies({ store });
const limiter = new RateLimiter({
  policy: tokenBucket({ limit: 1, period: "1h" }),
  store,
  overrides: true,
  hooks: { onError: () => {} },
});

afterAll(() => limiter.close());

test.each<[string, () => Promise<unknown>]>([
  ["publish", () => published.publish({ rules: [] }, { expected: 0 })],
  ["rollback", () => published.rollback(1)],
  ["version", () => published.version()],
  ["read", () => published.read()],
  ["history", () => published.history()],
  ["override", () => limiter.override("k", "deny")],
  ["overrides", () => limiter.overrides()],
])("%s rejects with a StoreUnavailableError", async (_, ask) => {
  const error: unknown = await ask().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StoreUnavailableError);
  expect(error).toMatchObject({ message: `the store failed: ${refusal.message}`, cause: refusal });
});

// Run by Jest with Node's own modules.
import { InvalidOptionError, MemoryStore, RateLimiter, tokenBucket } from "sluice";
import { keyId } from "sluice/audit";
import { limitFetch } from "sluice/fetch";

/* global expect, test */
const { jest } = import.meta;
const policy = tokenBucket({ limit: 1, period: "1m" });

test("limits, by the runner's fake time", async () => {
  jest.useFakeTimers();
  const limiter = new RateLimiter({ policy, store: new MemoryStore() });
  expect(limiter.consumeSync("k").allowed).toBe(true);
  expect(limiter.consumeSync("k").retryAfterMs).toBe(60_000);
  jest.advanceTimersByTime(60_000);
  expect(limiter.consumeSync("k").allowed).toBe(true);
  jest.useRealTimers();
  await limiter.close();
});

test("tells errors apart in the runner's realm, and has the same ids", () => {
  expect(() => tokenBucket({ limit: -1, period: "1s" })).toThrow(InvalidOptionError);
  expect(keyId("user:42")).toBe("6j_UO-HlfWLhY9rhn8dAvQ");
});

test("tries a network error of another realm again", async () => {
  let tries = 0;
  const fetch = limitFetch({
    retries: { baseDelay: "1ms" },
    fetch: async () => {
      tries += 1;
      if (tries === 1) throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
      return new Response("hello");
    },
  });
  expect(await (await fetch("https://example.org/")).text()).toBe("hello");
  expect(tries).toBe(2);
});

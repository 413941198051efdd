/** Sluice's limiter of a scenario, with its defaults. */
import { Redis } from "ioredis";
import { fixedWindow, RateLimiter } from "sluice";
import { RedisStore } from "sluice/redis";
import { limitOf, WINDOW_MS } from "./scenarios.mjs";

/**
 * @param {import("./scenarios.mjs").Scenario} scenario
 * @param {string} url
 */
export function sluiceLimiter(scenario, url) {
  const policy = fixedWindow({ limit: limitOf(scenario), window: WINDOW_MS });
  if (scenario.store === "memory") {
    const limiter = new RateLimiter({ policy });
    return { limiter, close: () => limiter.close() };
  }
  const client = new Redis(url, { db: 1 });
  const store = new RedisStore({ client });
  const limiter = new RateLimiter({ policy, store });
  const close = async () => {
    await limiter.close();
    await store.close();
    client.disconnect();
  };
  return { limiter, close };
}

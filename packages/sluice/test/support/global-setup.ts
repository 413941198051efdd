import type { TestProject } from "vitest/node";
import { startRedis } from "../../../../scripts/redis-server.mjs";

declare module "vitest" {
  export interface ProvidedContext {
    /** URL of the Redis that all test files share: use keys or namespaces of your own. */
    redisUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis();
  project.provide("redisUrl", redis.url);
  return () => redis.stop();
}

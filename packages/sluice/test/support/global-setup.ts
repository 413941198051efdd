import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startRedis } from "../../../../scripts/redis-server.mjs";

declare module "vitest" {
  export interface ProvidedContext {
    /** URL of the Redis that all test files share: use keys or namespaces of your own. */
    redisUrl: string;
    /** A directory for what the first test file compiles that asks for it. See built.ts. */
    compiled: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis();
  project.provide("redisUrl", redis.url);
  const compiled = mkdtempSync(join(tmpdir(), "sluice-compiled-"));
  project.provide("compiled", compiled);
  return () => {
    rmSync(compiled, { recursive: true, force: true });
    return redis.stop();
  };
}
